"""Training one model on several devices, here two logical processors, which is set before TensorFlow computes."""

import json
import subprocess
import sys

import pytest
from helpers import TESTS

# Two devices; trains by each of two methods with one and with both, and searches with both by the command line.
SCRIPT = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras_hypernet as kh
from keras_hypernet_cli.app import run
from keras_hypernet.tuning.strategy import get_strategy

folder, found = sys.argv[1], {}
tasks = {
    "synthetic": (kh.tasks.SyntheticTask("inner", dim=8, num_train=250, num_validation=64, num_test=16), 100, 0.01),
    "rotation": (kh.RotationTask("patches"), 530, 3e-4),  # by the paper's rate, its loss becomes 10 to the 17
    "uneven": (kh.RotationTask("digits"), 400, 0.01),  # of its 1,197 images, the last batch has 397
}
for name, (task, batch_size, rate) in tasks.items():
    for method in ("hyper", "embed") if name == "synthetic" else ("hyper",):
        sizes = {"width": 8, "depth": 3, "batch_size": batch_size, "epochs": 3 if name == "synthetic" else 2}
        recipe = kh.paper_recipe(task, **sizes, learning_rate=rate)
        one = kh.fit(kh.build_model(task, method, recipe), task, recipe, progress=False)
        with get_strategy("mirrored").scope():
            model = kh.build_model(task, method, recipe)
        assert model.distribute_strategy.num_replicas_in_sync == 2
        both = kh.fit(model, task, recipe, progress=False)
        found[f"{name} {method}"] = [one, both]

odd = kh.paper_recipe(tasks["rotation"][0], batch_size=531, width=8)
with get_strategy("mirrored").scope():
    model = kh.build_model(tasks["rotation"][0], "hyper", odd)
try:
    kh.fit(model, tasks["rotation"][0], odd, progress=False)
except ValueError as error:
    found["odd"] = str(error)

words = ["keras-hypernet", "tune", "synthetic_inner", "--quick", "--depths", "2,3", "--epochs", "1", "--width", "8"]
for strategy in ([], ["--strategy", "mirrored"]):
    directory = f"{folder}/{len(strategy)}"
    sys.argv = [*words, *strategy, "--directory", directory]
    try:
        run()
    except SystemExit as ended:
        assert not ended.code, ended.code
    result = kh.tuning.SearchResult.read(directory)
    found[f"replicas {result.config['replicas']}"] = result.trials
print("found:" + json.dumps(found))
"""

# Some devices, and a validation split that they cannot divide evenly; trains a step, and measures on both.
UNEVEN = """
import json, sys
import tensorflow as tf
number = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)

import keras_hypernet as kh
from keras_hypernet.tuning.strategy import get_strategy

task = kh.tasks.SyntheticTask("inner", dim=4, num_train=64, num_validation=int(sys.argv[2]), num_test=7)
recipe = kh.paper_recipe(task, width=4, depth=2, batch_size=64, epochs=1)
one = kh.build_model(task, "hyper", recipe)
kh.fit(one, task, recipe, progress=False)
with get_strategy("mirrored").scope():
    many = kh.build_model(task, "hyper", recipe)
found, refused = [kh.fit(many, task, recipe, progress=False)[0]["val_loss"]], []
many.set_weights(one.get_weights())
found += [kh.evaluate(model, task, "validation")["mse"] for model in (many, one)]
few = kh.tasks.SyntheticTask("inner", dim=4, num_train=60, num_validation=number - 1, num_test=7)
together = kh.tasks.SyntheticTask("inner", dim=4, num_train=60, num_validation=3, num_test=7)
for call in (
    lambda: kh.evaluate(many, few, "validation"),
    lambda: kh.fit(many, together, recipe, splits=["train", "validation"]),
):
    try:
        call()
    except ValueError as error:
        refused.append(str(error))
print("found:" + json.dumps([found, refused]))
"""


@pytest.mark.parametrize(("number", "examples"), [(2, 263), (8, 500)])
def test_a_validation_split_that_is_not_divided_evenly_is_measured_as_by_one_device(number, examples):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNEVEN, str(number), str(examples)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (trained, many, one), refused = json.loads(done.stdout.rpartition("found:")[2])
    assert many == pytest.approx(one, rel=1e-5)
    assert trained == pytest.approx(one, abs=1e-4)
    assert refused == [
        f"The validation split must have an example for each of {number} replicas. Received: {number - 1} examples",
        f"A training of one batch must be of a multiple of {number}, the number of replicas. Received: 63 examples",
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Histories and tables, by one device and by two."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path_factory.mktemp("mirrored"))],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.rpartition("found:")[2])


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("synthetic hyper", 1e-4), ("synthetic embed", 1e-4), ("rotation hyper", 1e-4), ("uneven hyper", 1e-3)],
)
def test_two_devices_have_the_loss_of_one(found, name, tolerance):
    """In absolute numbers; of a batch that is divided unevenly, the mean of its parts' means is not quite its own."""
    one, both = found[name]
    assert len(one) == len(both) > 1
    for single, double in zip(one, both, strict=True):
        for loss in ("loss", "val_loss"):
            assert abs(single[loss] - double[loss]) <= tolerance
    assert one[-1]["loss"] < one[0]["loss"]


def test_a_search_on_two_devices_has_the_results_of_one(found):
    one, both = found["replicas 1"], found["replicas 2"]
    assert [row["depth"] for row in both] == [row["depth"] for row in one]
    for single, double in zip(one, both, strict=True):
        assert (double["status"], double["steps"]) == ("finished", single["steps"])
        assert abs(single["validation_mse"] - double["validation_mse"]) <= 1e-4


def test_batches_must_be_divisible_among_devices(found):
    assert found["odd"] == "`batch_size` must be a multiple of 2, the number of replicas. Received: 531"
