"""evaluate, and learning on each kind of task, against NumPy."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny_training import RECIPE, TASK, train

import keras_hypernet as kh
from keras_hypernet.tasks import ApproximationTask, ClassificationTask, ColorizationTask
from keras_hypernet.training.loop import evaluate, fit

ROTATION = kh.RotationTask("digits")


@pytest.fixture(scope="module")
def rotation():
    return train(task=ROTATION, recipe=kh.paper_recipe(ROTATION, width=8, epochs=1))


def _predictions(model, task, split):
    """The predictions for a split as float64, and the targets."""
    pairs = [(model(x), y) for x, y in task.evaluation_dataset(split, batch_size=400)]
    predicted, y = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return predicted.astype("float64"), y


def _mse(model, task, split):
    predicted, y = _predictions(model, task, split)
    return pytest.approx(np.mean((predicted - y) ** 2), rel=1e-4)


def test_error_is_the_share_of_wrong_labels(rotation):
    model, history = rotation
    assert history[-1]["val_accuracy"] > 1 / 12
    logits, labels = _predictions(model, ROTATION, "validation")
    log_sum = np.log(np.exp(logits).sum(axis=1))
    assert evaluate(model, ROTATION, "validation") == {
        "error": np.mean(logits.argmax(axis=1) != labels),
        "loss": pytest.approx(np.mean(log_sum - logits[np.arange(300), labels]), rel=1e-5),
        "num_examples": 300,
    }


def test_a_missing_metric_is_named(rotation):
    model = kh.Hypernetwork.from_config(rotation[0].get_config())
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="must be compiled with the metric 'accuracy'"):
        evaluate(model, ROTATION)


@pytest.mark.parametrize(
    ("task", "method", "changes"),
    [
        (dataclasses.replace(TASK, num_test=1210), "hyper", {}),
        pytest.param(TASK, "embed", {}, marks=pytest.mark.full),
        pytest.param(ApproximationTask("uniform", num_samples=320), "network", {}, marks=pytest.mark.full),
        pytest.param(ColorizationTask("patches"), "hyper", {"epochs": 2}, marks=pytest.mark.full),
    ],
    ids=str,
)
def test_tasks_of_the_squared_error_are_learned_and_measured(task, method, changes):
    recipe = kh.paper_recipe(task, **{"epochs": 3, "batch_size": 10, **changes})
    model = kh.build_model(task, method, recipe)
    before = evaluate(model, task)
    assert before == {"mse": _mse(model, task, "test"), "num_examples": task.num_examples("test")}
    history = fit(model, task, recipe, progress=False)
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["val_loss"] == _mse(model, task, "validation")
    # One execution evaluates many batches now, the last of them smaller than the others.
    after = evaluate(model, task)
    assert after == {"mse": _mse(model, task, "test"), "num_examples": task.num_examples("test")}
    assert after["mse"] < before["mse"]


def test_a_regression_to_classes_is_judged_by_its_errors():
    task = ClassificationTask("digits")
    model, history = train(task=task, recipe=kh.paper_recipe(task, epochs=2), method="network")
    assert history[-1]["val_accuracy"] > 0.5
    predicted, classes = _predictions(model, task, "test")
    assert evaluate(model, task) == {
        "error": np.mean(predicted.argmax(axis=1) != classes.argmax(axis=1)),
        "loss": pytest.approx(np.mean((predicted - classes) ** 2), rel=1e-4),
        "num_examples": 300,
    }


@pytest.mark.full
def test_principled_initialization_trains():
    _, history = train(recipe=dataclasses.replace(RECIPE, initialization="hyperfan_in", learning_rate=0.003))
    assert history[-1]["loss"] < history[0]["loss"]
