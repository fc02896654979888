"""Executing one run: a run that diverges or fails is a row, too."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_grid import GRID

from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.experiments.experiment import FIELDS, Measurement, make_row
from keras_hypernet.experiments.runner import execute

CONFIGS = GRID.runs(values=(2,))


def _changed(config, **recipe):
    return {**config, "recipe": {**config["recipe"], **recipe}}


def _measuring(result):
    """The experiment with another measurement."""
    return dataclasses.replace(GRID, measure=Measurement(lambda task, method, recipe: result))


def test_a_finished_run():
    row = execute(CONFIGS[0], GRID)
    assert set(row) == {*FIELDS, "depth"}
    assert (row["status"], row["metric"], row["config"]) == ("finished", "mse", CONFIGS[0])
    assert 0 < row["test"] < 10
    assert {name: len(values) for name, values in row["curve"].items()} == {"loss": 2, "validation_loss": 2}
    assert row["seconds"] > 0
    assert row["peak_memory_mib"] > 50
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_a_diverged_run_says_when():
    row = execute(_changed(CONFIGS[0], learning_rate=1e6), GRID)
    assert set(row) == {*FIELDS, "depth", "message"}
    assert (row["status"], row["test"], row["validation"]) == ("diverged", None, None)
    assert row["message"].startswith("The loss became ")
    assert "at the learning rate 1e+06" in row["message"]


def test_a_result_that_is_not_finite_is_a_diverged_run():
    row = execute(CONFIGS[0], _measuring({"test": float("inf"), "validation": 1.0, "curve": {"loss": [1.0]}}))
    assert (row["status"], row["test"], row["validation"]) == ("diverged", None, None)
    assert row["message"] == "Training ended with finite losses, but a measured number is Infinity."
    assert row["curve"] == {"loss": [1.0]}
    row = execute(CONFIGS[0], _measuring({"test": 1.0, "validation": 1.0, "curve": {"loss": [1.0, float("nan")]}}))
    assert (row["status"], row["test"], row["curve"]) == ("diverged", None, {"loss": [1.0, None]})


def test_an_impossible_run_says_why():
    row = execute({**CONFIGS[0], "method": "both"}, GRID)
    assert set(row) == {*FIELDS, "depth", "message"}
    assert (row["status"], row["test"], row["metric"]) == ("failed", None, "mse")
    assert row["message"].startswith("ValueError: `method` must be one of ")


def test_a_result_that_json_cannot_hold_is_a_failed_run():
    row = execute(CONFIGS[0], _measuring({"test": np.float32(1)}))
    assert (row["status"], row["test"]) == ("failed", None)
    assert row["message"] == "TypeError: Object of type float32 is not JSON serializable"


@pytest.mark.parametrize("error", [DataUnavailableError("no data"), ImportError("no package")], ids=repr)
def test_missing_data_or_packages_are_an_error_and_no_row(error):
    def measure(task, method, recipe):
        raise error

    with pytest.raises(type(error), match=str(error)):
        execute(CONFIGS[0], dataclasses.replace(GRID, measure=Measurement(measure)))


def test_a_run_whose_process_died_is_a_failed_row():
    result = {"status": "failed", "message": "The process of the run was ended."}
    row = make_row(CONFIGS[0], result, 1.5, machine={"processor": "one", "threads": 1})
    assert set(row) == {*FIELDS, "depth", "message"}
    assert (row["status"], row["seconds"], row["test"]) == ("failed", 1.5, None)
