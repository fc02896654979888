"""ConcatenateCondition: the layer by which the condition enters the primary network of the embedding method."""

from typing import Any

import keras
from keras import ops

from keras_hypernet.layers.base import ConditionedLayer, match_batch


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ConcatenateCondition(ConditionedLayer):
    """`[x, condition]`, concatenated along the last axis.

    Call arguments:
        x: Tensor `[B, i]`, or `[B, P, i]` for P points for each condition.
        condition: Tensor `[B, R]`, or `[1, R]` for one condition shared by the whole batch.

    Returns:
        A tensor `[B, i + R]` or `[B, P, i + R]` of the compute dtype.

    Raises:
        ValueError: If the shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 5, 2)), keras.ops.ones((8, 3))
    >>> ConcatenateCondition()(x, condition).shape
    TensorShape([8, 5, 5])

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2, method B.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, condition=None):  # TimeDistributed passes x alone
        self.check_shapes(x.shape, getattr(condition, "shape", None))
        condition = match_batch(x, condition)  # XLA's broadcast_to would repeat two conditions for four x
        if len(x.shape) > len(condition.shape):
            condition = ops.expand_dims(condition, axis=1)
        condition = ops.broadcast_to(condition, (*ops.shape(x)[:-1], condition.shape[-1]))
        return ops.concatenate([ops.cast(x, self.compute_dtype), ops.cast(condition, self.compute_dtype)], axis=-1)

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        return (*x_shape[:-1], x_shape[-1] + condition_shape[-1])
