"""interpolate, average: pure functions of generated weights, the dicts theta that `generate` returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops


def interpolate(theta_a: Mapping[str, Any], theta_b: Mapping[str, Any], t: Any) -> dict[str, Any]:
    """Returns `(1 - t) theta_a + t theta_b`: a linear interpolation between the weights of two conditions.

    Args:
        theta_a, theta_b: Dicts of tensors `[B, *shape]`, or `[1, *shape]`, as `generate` returns them.
        t: A number, or an array `[B]` with a number for each condition; values outside of 0 to 1 extrapolate.

    Returns:
        A dict for `apply`.

    Raises:
        ValueError: If the weights are not those of one model.

    Example:

    >>> interpolate({"last/bias": keras.ops.zeros((1, 2))}, {"last/bias": keras.ops.ones((1, 2))}, 0.25)["last/bias"]
    <tf.Tensor: shape=(1, 2), dtype=float32, numpy=array([[0.25, 0.25]], dtype=float32)>
    """
    _check_same([theta_a, theta_b])

    def between(a, b):
        a, b = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
        part = ops.cast(t, a.dtype)
        part = ops.reshape(part, (-1, *[1] * (len(a.shape) - 1))) if len(part.shape) else part
        return (1 - part) * a + part * b

    return {name: between(weight, theta_b[name]) for name, weight in theta_a.items()}


def average(thetas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the mean of weights of several conditions.

    Args:
        thetas: A list of dicts of tensors `[B, *shape]`, as `generate` returns them.

    Returns:
        A dict for `apply`.

    Raises:
        ValueError: If the list is empty, or the weights are not those of one model.

    Example:

    >>> average([{"last/bias": keras.ops.zeros((1, 1))}, {"last/bias": keras.ops.ones((1, 1))}])["last/bias"]
    <tf.Tensor: shape=(1, 1), dtype=float32, numpy=array([[0.5]], dtype=float32)>
    """
    thetas = list(thetas)
    _check_same(thetas)
    return {name: ops.mean(ops.stack([theta[name] for theta in thetas]), axis=0) for name in thetas[0]}


def _check_same(thetas):
    """Raises ValueError unless there are weights, all with the same names and shapes."""
    shapes = [{name: tuple(weight.shape) for name, weight in theta.items()} for theta in thetas]
    if not shapes or any(set(each) != set(shapes[0]) for each in shapes):
        received = [sorted(each) for each in shapes]
        raise ValueError(f"Expected weights that `generate` of one model returns. Received weights named {received}")
    for name, shape in shapes[0].items():
        others = [each[name][1:] for each in shapes if each[name][1:] != shape[1:]]
        if others:
            raise ValueError(
                f"Expected weights that `generate` of one model returns. Received {name!r} of the shapes {shape[1:]} "
                f"and {others[0]}"
            )
