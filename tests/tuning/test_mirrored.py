"""Training on several devices, here logical processors, whose number is set before TensorFlow computes."""

import json
import subprocess
import sys

import pytest
from helpers import TESTS

# Sets the number of devices, the first argument.
DEVICES = """
import json, sys
import tensorflow as tf
number, results = int(sys.argv[1]), {}
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)

import keras_hypernet as kh
from keras_hypernet.tuning import get_strategy

def refusal(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except ValueError as error:
        return str(error)

def mirrored(task, method, recipe):
    with get_strategy("mirrored").scope():
        return kh.build_model(task, method, recipe)
"""

# Measures a model on a validation split that the devices cannot divide evenly.
UNEVEN = """
# The last of the batches of an evaluation has fewer examples than there are devices.
task = kh.tasks.SyntheticTask("inner", dim=4, num_train=66, num_validation=102, num_test=7)
recipe = kh.paper_recipe(task, width=4, depth=2, batch_size=66, epochs=1)
single, double = kh.build_model(task, "hyper", recipe), mirrored(task, "hyper", recipe)
kh.fit(single, task, recipe, progress=False)
trained = kh.fit(double, task, recipe, progress=False)[0]["val_loss"]
double.set_weights(single.get_weights())
measured = [trained, *(kh.evaluate(model, task, "validation")["mse"] for model in (double, single))]
few = kh.tasks.SyntheticTask("inner", dim=4, num_train=60, num_validation=number - 1, num_test=7)
joined = kh.tasks.SyntheticTask("inner", dim=4, num_train=60, num_validation=4, num_test=7)
refused = [
    refusal(kh.evaluate, double, few, "validation"),
    refusal(kh.fit, double, joined, recipe, splits=["train", "validation"]),
]
results["uneven"] = [*measured, refused]
"""

# Trains by one of two methods with one device and with all, and searches with one and with all.
TRAINING = """
tasks = {
    "synthetic": (kh.tasks.SyntheticTask("inner", dim=8, num_train=250, num_validation=64, num_test=16), 100),
    "digits": (kh.RotationTask("digits"), 400),  # the last of its batches has 397 of 1,197 images
}
for name, (task, batch_size) in tasks.items():
    recipe = kh.paper_recipe(task, width=8, depth=2, batch_size=batch_size, epochs=2, learning_rate=0.01)
    method = {"synthetic": "embed", "digits": "hyper"}[name]
    models = kh.build_model(task, method, recipe), mirrored(task, method, recipe)
    assert models[1].distribute_strategy.num_replicas_in_sync == number
    results[name] = [kh.fit(model, task, recipe, progress=False) for model in models]
odd = kh.paper_recipe(task, batch_size=401, width=8)
results["odd"] = refusal(kh.fit, mirrored(task, "hyper", odd), task, odd, progress=False)

task, _ = tasks["synthetic"]
for strategy in (None, "mirrored"):
    options = {"depth": [2], "width": [8], "epochs": 1, "strategy": strategy, "progress": False}
    result = kh.tuning.search(task, directory=f"{sys.argv[2]}/{strategy}", **options)
    results[f"replicas {result.config['replicas']}"] = result.trials

import contextlib, keras, numpy as np
results["penalized"] = []
for scope in (contextlib.nullcontext(), get_strategy("mirrored").scope()):
    with scope:
        keras.utils.set_random_seed(0)
        model = kh.Hypernetwork(kh.layers.TaskEmbedding(2, 2), [kh.layers.HyperDense(1)])
        model.build({"x": (None, 3), "condition": (None,)})
        loss = kh.continual.OutputRegularizer(5.0, "mse")
        model.compile("sgd", loss)
    loss.remember(model, [0])
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    inputs = {"x": np.ones((8, 3), "float32"), "condition": np.ones(8, "int32")}
    measured = model.evaluate(inputs, np.zeros((8, 1)), verbose=0)
    results["penalized"].append([measured, float(loss.penalty())])
"""


def _run(script, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", script + '\nprint("results:" + json.dumps(results))']
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=TESTS)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.rpartition("results:")[2])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Histories and tables of one device and of two."""
    return _run(DEVICES + TRAINING, 2, tmp_path_factory.mktemp("mirrored"))


@pytest.mark.full
def test_an_unevenly_divided_validation_split_is_measured_as_by_one_device():
    number = 3
    trained, several, single, refused = _run(DEVICES + UNEVEN, number)["uneven"]
    assert several == pytest.approx(single, rel=1e-5)
    assert trained == pytest.approx(single, abs=1e-4)
    assert refused == [
        f"The validation split must have an example for each of {number} replicas. Received: {number - 1} examples",
        f"A single batch must divide evenly among {number} replicas. Received: 64 examples",
    ]


@pytest.mark.full
@pytest.mark.parametrize(("name", "tolerance"), [("synthetic", 1e-4), ("digits", 1e-3)])
def test_two_devices_have_the_loss_of_one(results, name, tolerance):
    """In absolute numbers; an uneven batch counts as the mean of the means of its parts."""
    single, double = results[name]
    assert len(single) == len(double) > 1
    for epoch, other in zip(single, double, strict=True):
        for loss in ("loss", "val_loss"):
            assert abs(epoch[loss] - other[loss]) <= tolerance
    assert single[-1]["loss"] < single[0]["loss"]


@pytest.mark.full
def test_a_search_on_two_devices_has_the_results_of_one(results):
    single, double = results["replicas 1"], results["replicas 2"]
    assert [row["depth"] for row in double] == [row["depth"] for row in single]
    for row, other in zip(single, double, strict=True):
        assert (other["status"], other["steps"]) == ("finished", row["steps"])
        assert abs(row["validation_mse"] - other["validation_mse"]) <= 1e-4


@pytest.mark.full
@pytest.mark.regression
def test_a_penalty_counts_once_on_two_devices(results):
    single, double = results["penalized"]
    assert single[1] > 0.01
    assert double == pytest.approx(single, rel=1e-5)


@pytest.mark.full
def test_batches_must_be_divisible_among_devices(results):
    assert results["odd"].endswith("must be a multiple of 2, the number of replicas. Received: 401")
