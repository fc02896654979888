"""The linear models of the synthetic targets, against NumPy's least squares."""

import numpy as np
import pytest

from keras_hypernet.experiments import get_experiment
from keras_hypernet.tasks import SyntheticTask

SMALL = {"dim": 5, "num_train": 300, "num_validation": 50, "num_test": 200}


@pytest.mark.parametrize("method", ["linear_x", "linear_both"])
@pytest.mark.parametrize("family", ["inner", "concat"])
def test_the_errors_are_those_of_least_squares(family, method):
    task = SyntheticTask(family, **SMALL)
    measured = get_experiment("synthetic_baseline").measure.function(task, method, None)

    def columns(examples):
        ones = np.ones((len(examples["y"]), 1))
        names = ["x"] if method == "linear_x" else ["x", "condition"]
        return np.hstack([*(examples[name].astype("float64") for name in names), ones])

    train, test = task.load("train"), task.load("test")
    weights = np.linalg.lstsq(columns(train), train["y"].astype("float64"), rcond=None)[0]
    expected = np.mean((columns(test) @ weights - test["y"]) ** 2)
    assert measured["test"] == pytest.approx(expected, rel=1e-5)
    assert measured["variance_of_y"] == pytest.approx(np.var(test["y"]), rel=1e-5)
    assert measured["test"] < measured["variance_of_y"]


def test_a_model_of_x_alone_learns_nothing_of_the_condition():
    task = SyntheticTask("concat", **SMALL)
    errors = [
        get_experiment("synthetic_baseline").measure.function(task, method, None)["test"]
        for method in ("linear_x", "linear_both")
    ]
    assert errors[1] < 0.1 < errors[0]
