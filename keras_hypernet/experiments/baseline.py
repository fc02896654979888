"""Ours: trivial predictors of every task, with which the methods of the other experiments are compared.

A predictor is trivial if it cannot use the interaction of x and the condition. A method that does not beat the best
trivial predictor has not learned the interaction, which is the subject of the paper's comparison.
"""

import contextlib
import dataclasses
import json
import statistics

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from keras_hypernet.experiments.experiment import Measurement, grid, rounded, train_and_measure
from keras_hypernet.experiments.modularity import TARGETS
from keras_hypernet.tasks import (
    ApproximationTask,
    ClassificationTask,
    ColorizationTask,
    RotationTask,
    SyntheticTask,
    get_task,
)
from keras_hypernet.tasks.colorization import grey
from keras_hypernet.training.recipe import paper_recipe

PREDICTORS = {
    "constant": "constant",
    "linear_x": "linear in x",
    "linear_both": "linear in x and I",
    "network_x": "network of x alone",
    "mean_grey": "mean grey of I + mean image",
    "bilinear": "bilinear form",
}
# Not trivial, because the form uses the interaction of x and I; drawn as a reference.
REFERENCES = ("bilinear",)
# A ridge for constant columns, as in the corners of digits, relative to the mean square of the columns.
_RIDGE = 1e-6
_MOST_STEPS = 100
_QUICK = {"dim": 20, "num_train": 500, "num_validation": 100, "num_test": 100}
_SAME = {"rotation_set": "rotation", "static_kernel": "classification"}  # tasks of the same x and y
# Fields of a task that change neither its target nor its evaluation. Seeds count as repetitions.
_NOT_OF_THE_TARGET = ("seed", "members", "num_points")
_CONDITIONAL = ("linear_both", "network_x")
# By panel: the class and the fields of the task, and its predictors beside a constant and the linear model of x.
_TASKS = {
    **{family: (SyntheticTask, {"family": family}, _CONDITIONAL) for family in ("inner", "hadamard", "concat")},
    "inner_100": (SyntheticTask, {"dim": 100}, _CONDITIONAL),
    "width_100": (SyntheticTask, {"hidden_units": 100}, _CONDITIONAL),
    "width_1000": (SyntheticTask, {"hidden_units": 1000}, _CONDITIONAL),
    "gain_10": (SyntheticTask, {"gain": 10.0}, _CONDITIONAL),
    **{panel: (SyntheticTask, fields, (*_CONDITIONAL, *REFERENCES)) for panel, fields in TARGETS.items()},
    **{f"rotation_{data}": (RotationTask, {"data": data}, _CONDITIONAL) for data in ("mnist", "cifar10", "digits")},
    "colorization_cifar10": (ColorizationTask, {"data": "cifar10"}, (*_CONDITIONAL, "mean_grey")),
    "colorization_patches": (ColorizationTask, {"data": "patches"}, (*_CONDITIONAL, "mean_grey")),
    **{f"approximation_{data}": (ApproximationTask, {"data": data}, ()) for data in ("cifar10", "mnist", "uniform")},
    **{f"classification_{data}": (ClassificationTask, {"data": data}, ()) for data in ("mnist", "cifar10")},
}
_OFFLINE = ("rotation_digits", "colorization_patches")
_PANELS = tuple(panel for panel in _TASKS if panel not in _OFFLINE)


def measure(task, predictor, recipe):
    """Fits a predictor, a key of `PREDICTORS`, on the training split, and measures its errors.

    If a task measures the error rate of a model that minimizes squared errors, the curves have the squared error, too.
    """
    if predictor == "network_x":
        return train_and_measure(_without_condition(task), "network", dataclasses.replace(recipe, width=10))
    fit = {"mean_grey": _mean_grey, "bilinear": _bilinear}.get(predictor)
    errors = fit(task) if fit else _least_squares(task, predictor, recipe.seed)
    errors = {name: rounded(error) for name, error in errors.items()}
    curves = {"loss": [errors.pop("train")]}
    if "validation_loss" in errors:
        curves["validation_loss"] = [errors.pop("validation_loss")]
    return {"curve": curves, **errors}


def _without_condition(task):
    class Alone(type(task)):
        inputs = ("x",)

        def _batches(self, *arguments):
            def alone(inputs, y):
                return inputs["x"] if isinstance(inputs, dict) else inputs, y

            return super()._batches(*arguments).map(alone)

    return Alone(**{field.name: getattr(task, field.name) for field in dataclasses.fields(task)})


def _least_squares(task, predictor, seed):
    """Errors of least squares; a constant is least squares on no columns. The largest one-hot output is the label."""
    grams, products = 0.0, 0.0
    names = {"constant": (), "linear_x": ("x",), "linear_both": ("x", "condition")}[predictor]
    examples = task.load("train")

    def batches(dataset):
        for inputs, y in dataset:
            inputs = inputs if isinstance(inputs, dict) else {"x": inputs}
            y = np.asarray(y)
            one_hot = np.eye(task.num_outputs, dtype="float32")[y] if task.loss == "cross_entropy" else y
            parts = [_flat(inputs[name], y.shape[1:-1]) for name in names]
            ones = np.ones((*one_hot.shape[:-1], 1), "float32")
            columns = np.concatenate([*parts, ones], axis=-1)
            yield columns.reshape(-1, columns.shape[-1]), one_hot.reshape(-1, task.num_outputs)

    for columns, y in batches(task.training_dataset(examples, 100, seed, 0)):
        grams = grams + (columns.T @ columns).astype("float64")
        products = products + (columns.T @ y).astype("float64")
    weights = np.linalg.solve(grams + _RIDGE * np.trace(grams) / len(grams) * np.eye(len(grams)), products)

    def errors(split):
        """The error rate, zero without labels, and the mean squared error."""
        wrong = squared = total = 0
        for columns, y in batches(task.evaluation_dataset(examples if split == "train" else split, 20)):
            predicted = columns @ weights
            if task.metric == "error":
                wrong += np.sum(predicted.argmax(axis=1) != y.argmax(axis=1))
            squared += np.mean(np.square(predicted - y), axis=1).sum()
            total += len(y)
        return wrong / total, squared / total

    both = {split: errors(split) for split in ("train", "validation", "test")}
    measured = {split: each[0 if task.metric == "error" else 1] for split, each in both.items()}
    if (task.metric, task.loss) == ("error", "mse"):  # Assumption 2 is about the loss
        measured["validation_loss"] = both["validation"][1]
    return measured


def _flat(array, points):
    """A batch of inputs as vectors; a condition is repeated for the `points` of its example, as x of colorization."""
    array = np.asarray(array)
    scaled = array / np.float32(255) - np.float32(0.5) if array.dtype == "uint8" else array.astype("float32")
    if points and scaled.ndim == 3:
        return scaled
    flat = scaled.reshape(len(scaled), -1)
    return np.broadcast_to(flat[:, np.newaxis], (len(flat), *points, flat.shape[-1])) if points else flat


def _mean_grey(task):
    """Colorization: the mean grey of an image, plus the mean difference of each pixel's colours from the mean grey."""

    def parts(split):
        images = task.load(split)
        means = grey(images).mean(axis=(1, 2, 3), dtype="float64") / 127.5 - 1
        return images, means

    images, means = parts("train")
    offset = images.mean(axis=0, dtype="float64") / 127.5 - 1 - means.mean()

    def error(split):
        images, means = parts(split)
        wrong = 0.0
        for first in range(0, len(images), 1000):
            colours = images[first : first + 1000] / 127.5 - 1
            predicted = means[first : first + 1000, np.newaxis, np.newaxis, np.newaxis] + offset
            wrong += np.square(predicted - colours).mean(axis=(1, 2, 3)).sum()
        return wrong / len(images)

    return {split: error(split) for split in ("train", "validation", "test")}


def _bilinear(task):
    """`x' M I`, by conjugate gradients for least squares from M = 0, at the step of lowest validation error."""
    splits = {split: task.load(split) for split in ("train", "validation", "test")}
    x, condition, y = (splits["train"][name].astype("float64") for name in ("x", "condition", "y"))

    def predict(matrix, x, condition):
        return np.sum(x @ matrix.reshape(task.dim, task.dim) * condition, axis=1, keepdims=True)

    def transposed(errors):
        return (x.T @ (errors * condition)).ravel()

    def errors(matrix):
        return {
            split: np.mean(np.square(predict(matrix, part["x"], part["condition"]) - part["y"]))
            for split, part in splits.items()
        }

    best = errors(np.zeros(task.dim**2))

    def after_step(matrix):
        now = errors(matrix)
        if now["validation"] >= best["validation"]:
            raise StopIteration
        best.update(now)

    size = task.dim**2
    normal = LinearOperator((size, size), lambda matrix: transposed(predict(matrix, x, condition)), dtype="float64")
    with contextlib.suppress(StopIteration):
        cg(normal, transposed(y), rtol=0.0, maxiter=_MOST_STEPS, callback=after_step)
    return best


def target_of(config):
    """The task of a run as text. Tasks that differ only in their seed have the same text."""
    fields = get_task(**config).config() if config["name"] in ("synthetic", "approximation") else dict(config)
    fields["name"] = _SAME.get(fields["name"], fields["name"])
    return json.dumps({name: value for name, value in fields.items() if name not in _NOT_OF_THE_TARGET}, sort_keys=True)


def by_target(rows):
    """Median test errors of the predictors: a dict from the text of `target_of` to a dict by predictor."""
    errors = {}
    for row in rows:
        if row["test"] is not None:
            errors.setdefault(target_of(row["config"]["task"]), {}).setdefault(row["predictor"], []).append(row["test"])
    return {
        target: {name: statistics.median(tests[name]) for name in PREDICTORS if name in tests}
        for target, tests in errors.items()
    }


def predictors_of(rows, baselines):
    """The predictors for the target of some rows, from `by_target`; none if the rows have several targets."""
    targets = {target_of(row["config"]["task"]) for row in rows}
    return baselines.get(*targets, {}) if len(targets) == 1 else {}


def best_trivial(predictors):
    """Noun and error of the best trivial predictor, or None."""
    trivial = [(PREDICTORS[name], error) for name, error in predictors.items() if name not in REFERENCES]
    return min(trivial, key=lambda pair: pair[1], default=None)


@grid(
    title="Trivial predictors of every task: their test errors",
    varies="predictor",
    values=("constant", "linear_x"),
    panels=_PANELS,
    extra_values={panel: _TASKS[panel][2] for panel in _PANELS if _TASKS[panel][2]},
    methods=("trivial",),
    quick_panels=("d100_h10", *_OFFLINE),
    quick_values=("linear_x", "network_x"),
    measure=Measurement(measure, label="predictor"),
)
def baseline(panel, method, value, seed, quick):
    """Ours: the errors of trivial predictors of every task, and of a bilinear form where all is interaction.

    Predictors: a constant; least squares on x, and on x and I; the network g of the paper's recipe on x alone, with
    weights and biases that are trained; for colorization the mean grey of the image plus the mean image. The reference
    on the targets of `modularity_depth` is the bilinear form `x' M I`, by conjugate gradients on the squared error, up
    to the step of lowest validation error. Least squares take one epoch of samples. Expected: on rotations the network
    of x alone reaches what deep embedding methods do; the linear model of x is near Fig. 1's target. Takes about half a
    minute a run on images and a few seconds on drawn samples, two hours in all on two cores.
    """
    kind, fields, _ = _TASKS[panel]
    seeded = {"seed": seed} if hasattr(kind, "seed") else {}
    small = _QUICK if quick and kind is SyntheticTask else {}
    task = kind(**{**fields, **seeded, **small})
    epochs = {} if value == "network_x" else {"epochs": 1}
    return task, paper_recipe(task, seed=seed, **{**epochs, **({"epochs": 2} if quick and not epochs else {})})
