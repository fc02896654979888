"""On Keras's other backends, functions that need TensorFlow say so in one line; models of the zoo run."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import ROOT, pixels

import keras_hypernet as kh
from keras_hypernet.common.backends import device

# The backend of this process, as in CI, or NumPy.
BACKEND = "numpy" if keras.config.backend() == "tensorflow" else keras.config.backend()
CODE = """
import json, sys
import numpy as np
import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.runner import run
from keras_hypernet.serving.specialized import export_formats

out, x = sys.argv[1], np.load(sys.argv[2])
task = kh.tasks.SyntheticTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
recipe, model = kh.paper_recipe(task), kh.load("rotation_mnist_hyper")
tried = {
    "`fit`": lambda: kh.fit(model, task, recipe, out),
    "`evaluate`": lambda: kh.evaluate(model, task),
    "The data of a task": lambda: task.evaluation_dataset("test"),
    "An export": lambda: kh.export("rotation_mnist_hyper", out),
    "An export ": lambda: export_formats("rotation_mnist_hyper", out),
    "`save_entry`": lambda: kh.save_entry(model, out),
    "A search": lambda: kh.tuning.search(task, directory=out),
    "An experiment": lambda: run(get_experiment("synthetic_depth"), out, quick=True),
}
messages = {}
for what, call in tried.items():
    try:
        call()
    except RuntimeError as error:
        messages[what.strip()] = str(error)
predicted = model.predict({"x": x, "condition": x}, verbose=0)
print(json.dumps([messages, predicted.tolist()]))
"""


@pytest.mark.regression
@pytest.mark.full
def test_functions_that_need_tensorflow_name_it(tmp_path):
    if BACKEND == "numpy":
        pytest.importorskip("jax")  # Keras's NumPy backend imports JAX
    x = pixels((3, 28, 28, 1))
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-c", CODE, tmp_path / "out", tmp_path / "x.npy"]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": BACKEND}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    messages, predicted = json.loads(done.stdout.splitlines()[-1])
    for what in ("`fit`", "`evaluate`", "The data of a task", "An export", "`save_entry`", "A search", "An experiment"):
        assert messages[what] == (
            f"{what} needs Keras's TensorFlow backend: set KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: the backend {BACKEND!r}, on which only layers and models run."
        )
    assert not (tmp_path / "out").exists()
    expected = kh.load("rotation_mnist_hyper").predict({"x": x, "condition": x}, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.full
@pytest.mark.skipif(device() != "cpu", reason="there is an accelerator, on which the tests would run")
def test_tests_for_an_accelerator_are_skipped_with_the_reason():
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", ROOT / "tests" / "bases"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "needs an accelerator, and Keras's backend" in done.stdout
    assert " skipped" in done.stdout.splitlines()[-1]
    assert "passed" not in done.stdout.splitlines()[-1]
