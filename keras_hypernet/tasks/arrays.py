"""ArrayTask: a task from the user's arrays."""

import dataclasses
from typing import Any

from keras_hypernet.data import arrays
from keras_hypernet.data.sources import check_split
from keras_hypernet.tasks.base import Task
from keras_hypernet.tasks.registry import check_name


@dataclasses.dataclass(frozen=True, init=False)
class ArrayTask(Task):
    """Predict y from x and the condition, given as arrays.

    Rows, searches and cards hold the name of the task and the SHA-256 of its arrays, which identify the task. The
    arrays stay in this process, and in a file for the worker processes of a search.

    Args:
        x: Vectors `[N, features]` or images `[N, height, width, channels]`. uint8 images stay uint8, because the models
            scale them; all other numbers become float32.
        condition: Like x, or a set `[N, members, height, width, channels]` for each example; None for networks without
            a condition.
        y: Labels `[N]`, whole numbers from 0 on; or numbers `[N]` or `[N, outputs]`.
        metric: `"error"` for labels, `"mse"` for numbers; by default, `"error"` if y are integers `[N]`.
        name: Name of the task, in lower case.

    x, condition and y are plain arrays, which a fixed permutation divides into 80% for training, 10% for validation and
    10% for the test; or dicts of arrays with the keys `"train"`, `"validation"` and `"test"`.

    Raises:
        ValueError: If arrays are not of finite numbers that float32 holds, have other shapes or different numbers of
            rows; if a split is missing or empty, labels are not whole numbers from 0 on, or the metric is unknown; or
            if the name is that of another task.

    Example:

    >>> from sklearn.datasets import load_diabetes
    >>> measured, progression = load_diabetes(return_X_y=True)
    >>> task = ArrayTask(x=measured[:, :2], condition=measured[:, 2:], y=progression / 100, name="diabetes")
    >>> task.num_examples("train"), task.metric
    (354, 'mse')
    >>> model = keras_hypernet.build_model(task, "hyper", keras_hypernet.Recipe(width=10))
    >>> model.num_parameters()["primary"]
    41
    """

    name: str  # type: ignore[misc]  # one name for each object, not for the class
    sha256: str
    generates_biases = True

    def __init__(
        self, *, x: Any, y: Any, condition: Any = None, metric: str | None = None, name: str = "array"
    ) -> None:
        if metric not in (None, "error", "mse"):
            raise ValueError(f"`metric` must be 'error' or 'mse', or None. Received: {metric!r}")
        check_name(name, type(self))
        metric = metric or _metric_of(arrays.each(arrays.as_array, "y", y))
        parts = {"x": arrays.each(arrays.as_numbers, "x", x)}
        parts["y"] = arrays.each(arrays.as_labels if metric == "error" else arrays.as_numbers, "y", y)
        if condition is not None:
            parts["condition"] = arrays.each(arrays.as_numbers, "condition", condition)
        parts = arrays.divide(**parts)
        _check_shapes("x", parts["x"], (2, 4), "[N, features] or [N, height, width, channels]")
        if condition is not None:
            _check_shapes("condition", parts["condition"], (2, 4, 5), "of x, or [N, members, height, width, channels]")
        if metric == "mse":
            _check_shapes("y", parts["y"], (1, 2), "[N] or [N, outputs]")
            parts["y"] = {split: array.reshape(len(array), -1) for split, array in parts["y"].items()}
        self._identify(name, arrays.keep(parts))

    @classmethod
    def find(cls, name, sha256):
        """Returns the task of arrays in this process; ValueError if there are no such arrays."""
        task = cls.__new__(cls)
        task._identify(name, sha256)
        return task

    def _identify(self, name, sha256):
        x, condition, y = (arrays.find(sha256, "train", part) for part in ("x", "condition", "y"))
        facts = {"name": name, "sha256": sha256, "arrays_sha256": sha256, "metric": _metric_of(y), "inputs": ("x",)}
        facts |= {"x_shape": x.shape[1:], "x_dtype": x.dtype.name, "num_outputs": y.shape[-1]}
        if facts["metric"] == "error":  # the classes of all splits
            facts["num_outputs"] = 1 + max(int(arrays.find(sha256, split, "y").max()) for split in arrays.SPLITS)
        if condition is not None:
            facts |= {"inputs": ("x", "condition"), "condition_is_set": condition.ndim == 5}
            facts |= {"condition_shape": condition.shape[1:], "condition_dtype": condition.dtype.name}
        for field, value in facts.items():
            object.__setattr__(self, field, value)  # the task is frozen

    def data_facts(self):
        shapes = [f"{name} {list(array.shape[1:])}" for name, array in self.load("train").items()]
        numbers = [f"{self.num_examples(split):,} {split}" for split in arrays.SPLITS]
        return {**super().data_facts(), "note": f"Arrays {', '.join(shapes)}; {', '.join(numbers)} examples."}

    def load(self, split: str) -> Any:
        check_split(split)
        return {name: arrays.find(self.sha256, split, name) for name in (*self.inputs, "y")}


def _metric_of(y):
    array = next(iter(y.values()), None) if isinstance(y, dict) else y
    return "error" if array is not None and array.dtype.kind in "bui" and array.ndim == 1 else "mse"


def _check_shapes(name, splits, ranks, form):
    shapes = {array.shape[1:] for array in splits.values()}
    if len(shapes) > 1:
        raise ValueError(f"`{name}` must have one shape in all splits, except for its rows. Received: {sorted(shapes)}")
    (shape,) = shapes
    if len(shape) + 1 not in ranks or 0 in shape:
        raise ValueError(f"`{name}` must be of the shape {form}. Received: {('N', *shape)}. Reshape the array.")
