"""ConcatenateCondition: how the embedding method hands the condition to its primary network."""

import keras
from keras import ops

from keras_hypernet.layers.base import ConditionedLayer, match_batch
from keras_hypernet.layers.contraction import check_shapes


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ConcatenateCondition(ConditionedLayer):
    """`[x, condition]`, joined along the last axis.

    Call arguments:
        x: Tensor `[B, i]`, or `[B, P, i]` for P points under each condition.
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

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, condition):
        check_shapes(x.shape, condition.shape)
        condition = match_batch(x, condition)  # XLA's broadcast_to also repeats two conditions for four x
        if len(x.shape) == 3:
            condition = ops.expand_dims(condition, axis=1)
        condition = ops.broadcast_to(condition, (*ops.shape(x)[:-1], condition.shape[-1]))
        return ops.concatenate([ops.cast(x, self.compute_dtype), ops.cast(condition, self.compute_dtype)], axis=-1)

    def compute_output_shape(self, x_shape, condition_shape):
        check_shapes(x_shape, condition_shape)
        return (*x_shape[:-1], x_shape[-1] + condition_shape[-1])


def joins(layer):
    """Whether a layer is `ConcatenateCondition` itself, and not of a subclass, which may do something else.

    Example:

    >>> joins(ConcatenateCondition()), joins(keras.layers.Dense(2))
    (True, False)
    """
    return type(layer) is ConcatenateCondition


def is_foldable(layer):
    """Whether a layer is a Dense layer of `[x, condition]` whose product with the condition can be computed apart.

    Example:

    >>> is_foldable(keras.layers.Dense(2)), is_foldable(keras.layers.Conv1D(2, 1)), is_foldable(None)
    (True, False, False)
    """
    # Not an instance of a subclass, which may compute something else.
    return type(layer) is keras.layers.Dense and layer.quantization_mode is None


def check_foldable(layer):
    """Raises ValueError unless the layer after a `ConcatenateCondition`, or None, is such a Dense layer."""
    if not is_foldable(layer):
        received = type(layer).__name__ if layer is not None else "no layer"
        mode = getattr(layer, "quantization_mode", None)
        if mode is not None:
            received = f"a {received} quantized to {mode}; quantize what `specialize` returns instead"
        raise ValueError(f"ConcatenateCondition must be followed by a Dense layer here. Received: {received}")
