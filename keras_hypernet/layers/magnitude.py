"""MagnitudeInvariant: an encoding of the condition whose norm is the same for every condition."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_hypernet")
class MagnitudeInvariant(keras.Layer):
    """`sqrt(2) [cos(pi t / 2), sin(pi t / 2)]` for each entry of the condition, scaled to t in 0 to 1.

    If the generator has ReLU layers and no biases, generated weights are proportional to the condition: a small
    condition gives small weights and small gradients. This encoding has the same norm for every condition, and entries
    of second moment one, as the initializers of generated weights assume. The other half of the published method is a
    constant term: give the hyper layers a basis such as `Full(constant="glorot_uniform")`.

    Call arguments:
        condition: Tensor `[B, r]` with entries in `low` to `high`.

    Returns:
        A tensor `[B, 2 r]` of the compute dtype.

    Args:
        low, high: The range of the condition, a number or one for each of the r entries. The encoding is periodic: an
            entry far outside the range has the same encoding as an entry inside.

    Raises:
        ValueError: If `low` is not below `high`.

    Example:

    >>> encoded = MagnitudeInvariant()(keras.ops.array([[0.1, 0.9]]))
    >>> encoded.shape, round(float(keras.ops.mean(encoded**2)), 4)
    (TensorShape([1, 4]), 1.0)

    Reference: Ortiz, Guttag and Dalca, "Magnitude Invariant Parametrizations Improve Hypernetwork Learning", ICLR 2024.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = np.asarray(low, "float32").tolist(), np.asarray(high, "float32").tolist()
        if not np.all(np.less(self.low, self.high)):
            raise ValueError(f"`low` must be below `high`. Received: low={low!r}, high={high!r}")

    def call(self, condition):
        low, high = (ops.cast(value, condition.dtype) for value in (self.low, self.high))
        angle = math.pi / 2 * (condition - low) / (high - low)
        return math.sqrt(2) * ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}
