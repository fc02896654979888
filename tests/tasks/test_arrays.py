"""ArrayTask: arrays of a user as a task; what they become, how they are known, and what is refused."""

import re

import numpy as np
import pytest
from helpers import normal, pixels

import keras_hypernet as kh
from keras_hypernet.data import arrays
from keras_hypernet.runs.sources import load_source, task_sources
from keras_hypernet.tasks import get_task

SPLITS = ("train", "validation", "test")
N = 30
X, CONDITION, Y = normal((N, 3)).astype("float64"), normal((N, 2), seed=1), normal((N,), seed=2)
LABELS = np.arange(N) % 4
RECIPE = kh.Recipe(width=4, depth=2, epochs=1, batch_size=8)


def _by_split(array, ends=(10, 20)):
    return dict(zip(SPLITS, np.split(array, ends), strict=True))


def test_plain_arrays_are_divided_by_a_fixed_permutation():
    task = kh.ArrayTask(x=X, condition=CONDITION, y=Y)
    parts = [task.load(split) for split in SPLITS]
    assert [len(part["x"]) for part in parts] == [24, 3, 3]
    assert [part["x"].dtype for part in parts] == ["float32"] * 3
    order = np.random.default_rng(0).permutation(N)
    for name, array in {"x": X, "condition": CONDITION, "y": Y[:, np.newaxis]}.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array[order].astype("float32"))


@pytest.mark.parametrize(
    ("condition", "y", "method", "metric"),
    [
        (CONDITION, Y, "hyper", "mse"),
        (pixels((N, 4, 4, 1)), LABELS, "embed", "error"),
        (pixels((N, 2, 4, 4, 1)), LABELS, "process", "error"),
        pytest.param(None, normal((N, 2)), "network", "mse", marks=pytest.mark.full),
    ],
)
def test_models_are_trained_and_measured_on_arrays(condition, y, method, metric):
    x = pixels((N, 4, 4, 1), seed=3) if metric == "error" else X
    given = {"x": x, "y": y, **({} if condition is None else {"condition": condition})}
    task = kh.ArrayTask(**{name: _by_split(array) for name, array in given.items()})
    assert (task.metric, task.num_outputs) == (metric, 4 if metric == "error" else np.atleast_2d(y.T).shape[0])
    model = kh.build_model(task, method, RECIPE)
    kh.fit(model, task, RECIPE, progress=False)
    inputs = {name: array[20:] for name, array in given.items() if name != "y"}
    predicted = model.predict(inputs if condition is not None else inputs["x"], verbose=0)
    if metric == "error":
        expected = np.mean(predicted.argmax(axis=1) != y[20:])
    else:
        expected = np.mean(np.square(predicted - y[20:].reshape(10, -1)))
    measured = kh.evaluate(model, task)
    assert (measured[metric], measured["num_examples"]) == (pytest.approx(expected, rel=1e-4), 10)


def test_classes_are_those_of_all_splits():
    labels = {"train": [0, 1], "validation": [0, 1], "test": [4, 1]}
    task = kh.ArrayTask(x={split: normal((2, 3)) for split in SPLITS}, y=labels)
    assert (task.num_outputs, task.inputs, task.metric) == (5, ("x",), "error")


def test_a_task_is_known_by_its_name_and_its_arrays():
    task = kh.ArrayTask(x=X, condition=CONDITION, y=Y)
    assert task.config() == {"name": "array", "sha256": task.sha256}
    same = kh.ArrayTask(x=X.astype("float32"), condition=CONDITION.tolist(), y=Y)  # what is trained on is the same
    assert (same, hash(same)) == (task, hash(task))
    assert get_task(**task.config()) == task
    assert get_task(**task.config()).num_examples("train") == 24
    others = [
        kh.ArrayTask(x=X, condition=CONDITION, y=Y, name="other"),
        kh.ArrayTask(x=X, condition=CONDITION, y=Y[::-1]),
        kh.ArrayTask(x=X, y=Y),
        kh.ArrayTask(x=X, y=LABELS),
        kh.ArrayTask(x=X, y=LABELS, metric="mse"),
    ]
    assert len({task, *others}) == 6
    with pytest.raises(ValueError, match=f"does not have the arrays of the SHA-256 {'0' * 64}: make their ArrayTask"):
        get_task("array", sha256="0" * 64)


def test_arrays_stay_as_they_were():
    x = X.copy()
    task = kh.ArrayTask(x=x, y=Y)
    x[:] = 0
    assert task.load("train")["x"].all()
    with pytest.raises(ValueError, match="read-only"):
        task.load("train")["x"][0] = 0


def test_a_file_takes_arrays_to_another_process(tmp_path, monkeypatch):
    task = kh.ArrayTask(x=X, condition=pixels((N, 4, 4, 1)), y=LABELS, name="taken")
    images = kh.RotationTask(pixels((N, 6, 6, 1)))
    expected = task.load("validation"), images.load("test")
    (path,), (image_path,) = task_sources(task, tmp_path), task_sources(images, tmp_path)
    assert path == str(tmp_path / f"{task.sha256}.npz")
    before = (tmp_path / f"{task.sha256}.npz").stat()
    assert task_sources(task, tmp_path) == (path,)  # written once
    assert (tmp_path / f"{task.sha256}.npz").stat() == before
    monkeypatch.setattr(arrays, "_KEPT", {})  # as in another process
    with pytest.raises(ValueError, match="does not have the arrays"):
        get_task(**task.config())
    for source in (path, image_path):
        load_source(source)
    for name, array in get_task(**task.config()).load("validation").items():
        np.testing.assert_array_equal(array, expected[0][name])
        assert array.dtype == expected[0][name].dtype
    np.testing.assert_array_equal(get_task(**images.config()).load("test"), expected[1])


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    (path,) = task_sources(kh.ArrayTask(x=X, y=Y), tmp_path)
    monkeypatch.setattr(arrays, "_KEPT", {})
    other = tmp_path / f"{'0' * 64}.npz"
    other.write_bytes((tmp_path / path).read_bytes())
    with pytest.raises(ValueError, match=f"{other} is damaged: its arrays have the SHA-256 .* Delete the file"):
        load_source(str(other))
    other.write_bytes(b"no arrays")
    with pytest.raises(ValueError, match=f"{other} does not hold arrays: "):
        load_source(str(other))
    np.savez(other, train_x=np.array([{}], dtype=object))  # a pickle
    with pytest.raises(ValueError, match=f"{other} does not hold arrays: "):
        load_source(str(other))


NAN = np.where(np.arange(N)[:, np.newaxis] == 7, np.nan, X)
WRONG = {
    "unequal lengths": ({"x": X, "y": Y[:20]}, "for each of at least 3 examples. Received: rows {'x': 30, 'y': 20}"),
    "unequal lengths of a split": (
        {"x": _by_split(X), "y": _by_split(Y, (10, 21))},
        "a row for each of at least 1 example in the validation split. Received: rows {'x': 10, 'y': 11}",
    ),
    "NaN": (
        {"x": NAN, "y": Y},
        "`x` must be finite numbers that float32 holds. Received: 3 that are not, the first nan at",
    ),
    "infinity": ({"x": _by_split(X), "y": _by_split(Y * np.inf)}, "`y['train']` must be finite numbers"),
    "too large for float32": (
        {"x": X, "y": [1e39] * N},
        "`y` must be finite numbers that float32 holds. .* 1e+39 at (0,)",
    ),
    "large integers": (
        {"x": X * 0 + 1, "condition": LABELS[:, None] + 2**24, "y": Y},
        "up to 16777216. Received: 16777219",
    ),
    "strings": ({"x": [["a"]] * N, "y": Y}, "`x` must be an array of numbers. Received: the dtype <U1. Encode"),
    "objects": ({"x": np.array([[None]] * N), "y": Y}, "`x` must be an array of numbers. Received: the dtype object"),
    "ragged": ({"x": [[1], [1, 2]], "y": Y}, "The requested array has an inhomogeneous shape"),
    "a number": ({"x": X, "y": 3}, "`y` must be an array with a row for each example. Received: 3"),
    "a missing split": (
        {"x": {"train": X, "test": X}, "y": _by_split(Y)},
        "`x` must be a dict of the splits .* ['train', 'test']",
    ),
    "an empty split": (
        {"x": _by_split(X, (30, 30)), "y": _by_split(Y, (30, 30))},
        "at least 1 example in the validation split. Received: rows {'x': 0, 'y': 0}",
    ),
    "two examples": (
        {"x": X[:2], "y": Y[:2]},
        "at least 3 examples. Received: rows {'x': 2, 'y': 2}",
    ),
    "plain and divided": (
        {"x": X, "y": _by_split(Y)},
        "`x` must be a dict of the splits .* or all arrays plain. Received: a plain array",
    ),
    "negative labels": (
        {"x": X, "y": LABELS - 1},
        "`y` must be labels for the metric 'error', whole numbers from 0 on. Received: -1",
    ),
    "fractions": (
        {"x": X, "y": LABELS / 2, "metric": "error"},
        "whole numbers from 0 on. Received: 0.5. For numbers to app",
    ),
    "one-hot labels": (
        {"x": X, "y": np.eye(4)[LABELS], "metric": "error"},
        "`y` must be labels [N] for the metric 'error'. Received: the shape (30, 4)",
    ),
    "an unknown metric": (
        {"x": X, "y": Y, "metric": "mae"},
        "`metric` must be 'error' or 'mse', or None. Received: 'mae'",
    ),
    "a taken name": ({"x": X, "y": Y, "name": "rotation"}, "needs a new name: 'rotation' is the name of"),
    "images without channels": (
        {"x": pixels((N, 4, 4)), "y": Y},
        "`x` must be of the shape .* Received: ('N', 4, 4). Reshape",
    ),
    "no features": ({"x": X[:, :0], "y": Y}, "Received: ('N', 0)"),
    "shapes of splits": (
        {"x": {**_by_split(X), "test": X[:10, :2]}, "y": _by_split(Y)},
        "`x` must have one shape in all splits, .* [(2,), (3,)]",
    ),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_arrays_that_are_no_task_are_refused(given, message):
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\.\*", ".*")):
        kh.ArrayTask(**given)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (pixels((N, 6, 6)), r"`data` must be uint8 images \[N, .* Received: uint8 of the shape \(30, 6, 6\)"),
        (normal((N, 6, 6, 1)), "Received: float32 of the shape .* scale of 0 to 1"),
        ({"train": pixels((4, 6, 6, 1))}, r"`data` must be a dict of the splits .* Received: \['train'\]"),
        ({split: pixels((4, size, 6, 1)) for split, size in zip(SPLITS, (6, 6, 5), strict=True)}, "must have one size"),
    ],
)
def test_images_of_other_kinds_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        kh.RotationTask(images)
