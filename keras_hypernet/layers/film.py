"""FiLM: scales and offsets of features, generated from the condition, also for a normalization layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypernet.layers.base import HyperLayer

NORMALIZATIONS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)


@keras.saving.register_keras_serializable(package="keras_hypernet")
class FiLM(HyperLayer):
    """`scale(condition) * x + offset(condition)` for each feature of x, or of a normalized x.

    Initially, every scale is one and every offset is zero, with nonzero gradients. `Full` generates the scale and the
    offset.

    With a `normalization`, this layer is a conditional batch, layer or group normalization: it copies the normalization
    without scale and center, and generates the scale and the offset. All conditions share the moving statistics of a
    BatchNormalization, which change in training.

    Call arguments:
        x: Tensor `[B, ..., features]` of 2 to 5 axes, or with the features in another axis.
        condition: Tensor `[B, R]`; `[1, R]` for one condition shared by the whole batch; or `[B, P, R]` for a condition
            for each point of x `[B, P, ...]`.
        training: As in the normalization layer.
        x_mask: Boolean tensor: the entries that count for the statistics of a BatchNormalization; by default the mask
            that Keras attached to x.

    Returns:
        A tensor of the shape of x, of the compute dtype.

    Args:
        axis: The axis of the features. With a normalization, the axis of the normalization, or None.
        normalization: None, or a `BatchNormalization`, `LayerNormalization` or `GroupNormalization` of Keras with one
            axis, not yet built.
        scale_regularizer, offset_regularizer: Applied to the variables of the bases.
        **kwargs: `name`, `dtype`, `trainable` and `activity_regularizer`.

    Raises:
        ValueError: If the normalization is another layer, is built, has several axes or another axis, or shapes do not
            fit.

    Example:

    >>> layer = FiLM(normalization=keras.layers.GroupNormalization(2))
    >>> layer(keras.ops.ones((8, 5, 5, 6)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 5, 5, 6])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(keras.ops.ones((8, 4))).items()}
    {'scale': (8, 6), 'offset': (8, 6)}

    Reference: Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018.
    """

    most_points = 3

    def __init__(
        self,
        axis: int | Sequence[int] | None = None,
        normalization: Any = None,
        scale_regularizer: Any = None,
        offset_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.normalization = normalization if normalization is None else self._copied(normalization)
        own = -1 if normalization is None else _one_axis(normalization)
        if (axis is not None and not isinstance(axis, int)) or axis == 0:
            raise ValueError(f"`axis` must be an integer, and not 0, the axis of the batch. Received: {axis!r}")
        if None not in (axis, normalization) and axis != own:
            raise ValueError(f"`axis` must be that of the normalization, {own}, or None. Received: {axis}")
        self.axis = own if axis is None else axis
        self.scale_regularizer = keras.regularizers.get(scale_regularizer)
        self.offset_regularizer = keras.regularizers.get(offset_regularizer)

    def _copied(self, normalization):
        """The normalization without a scale and a center."""
        if type(normalization) not in NORMALIZATIONS or normalization.built:
            names = [kind.__name__ for kind in NORMALIZATIONS]
            built = "a built layer, " if getattr(normalization, "built", False) else ""
            raise ValueError(
                f"`normalization` must be a layer of {names}, not yet built, because this layer copies it without its "
                f"scale and center. Received: {built}{normalization!r}"
            )
        config = {**normalization.get_config(), "scale": False, "center": False, "dtype": self.dtype_policy}
        return type(normalization).from_config(config)

    def check_shapes(self, x_shape, condition_shape):
        if not self.built:  # a positive axis needs the number of axes
            axis = self.axis if self.axis < 0 else self.axis - len(x_shape)
            if not -len(x_shape) < axis < 0:
                raise ValueError(f"x must have an axis {self.axis} after the batch. Received: x of shape {x_shape}")
            self.axes = ("features", *["size"] * (-axis - 1))
        super().check_shapes(x_shape, condition_shape)

    def build(self, x_shape, condition_shape=None):
        super().build(x_shape, condition_shape)
        features = (x_shape[-len(self.axes)],)
        # The initial scale is one and the initial offset zero, for every condition.
        self.add_basis("scale", features, self.rank, _one, self.scale_regularizer)
        self.add_basis("offset", features, self.rank, "zeros", self.offset_regularizer)
        if self.normalization is not None:
            self.normalization.build(x_shape)

    def call(self, x, condition=None, training=None, x_mask=None):
        if isinstance(condition, dict):
            return self.apply(x, condition, training=training, x_mask=x_mask)
        self.check_shapes(x.shape, getattr(condition, "shape", None))
        return self.under(self.normalized(x, training, x_mask), condition)

    def apply(self, x: Any, weights: Mapping[str, Any], training: bool = False, x_mask: Any = None) -> Any:  # type: ignore[override]
        return super().apply(self.normalized(x, training, x_mask), weights)

    def normalized(self, x, training, x_mask):
        """x, normalized as a whole: the statistics do not depend on the condition."""
        if isinstance(self.normalization, keras.layers.BatchNormalization):
            return self.normalization(x, training=training, mask=x_mask)
        return x if self.normalization is None else self.normalization(x)

    def run(self, x, weights):
        x = ops.cast(x, self.compute_dtype)
        scale, offset = (self._along(weights[name], len(x.shape)) for name in ("scale", "offset"))
        return scale * x + offset

    def _along(self, weight, ndim):
        """`[B, features]` -> `[B, 1, ..., features, 1, ...]`."""
        after = len(self.axes) - 1
        return ops.reshape(weight, (-1, *[1] * (ndim - 2 - after), weight.shape[-1], *[1] * after))

    def specialize(self, condition: Any) -> Any:
        """Returns the layer of Keras that equals this layer for one condition `[1, R]`, and its weights as arrays.

        The layer is the normalization; without a normalization, an `EinsumDense` with a diagonal kernel.
        """
        generated = self.generate(condition)
        weights = [ops.convert_to_numpy(generated[name][0]) for name in ("scale", "offset")]
        if self.normalization is None:
            features, others = "z", "abcde"[: len(self.axes) - 1]
            weights[1] = weights[1].reshape((-1, *[1] * len(others)))
            ordinary = keras.layers.EinsumDense(
                f"...{features}{others},{features}->...{features}{others}",
                (weights[0].shape[0], *[None] * len(others)),
                bias_axes=features,
                name=self.name,
                dtype=self.dtype_policy,
            )
            return ordinary, weights
        config = {**self.normalization.get_config(), "scale": True, "center": True, "name": self.name}
        state = [ops.convert_to_numpy(weight) for weight in self.normalization.weights]
        return type(self.normalization).from_config(config), [*weights, *state]

    def adopt(self, layer):
        values = {weight.name: ops.convert_to_numpy(weight) for weight in layer.weights}
        shape = self.generated_shapes["scale"]
        # A normalization may lack a scale or an offset.
        self.assign([values.get("gamma", np.ones(shape)), values.get("beta", np.zeros(shape))])
        for weight in self.normalization.weights:
            weight.assign(values[weight.name])

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        return tuple(x_shape)

    def get_config(self):
        normalization = keras.saving.serialize_keras_object(self.normalization)
        if normalization is not None:
            normalization.pop("build_config", None)  # this layer builds the copy itself
        return {
            **super().get_config(),
            "axis": self.axis,
            "normalization": normalization,
            "scale_regularizer": keras.regularizers.serialize(self.scale_regularizer),
            "offset_regularizer": keras.regularizers.serialize(self.offset_regularizer),
        }

    @classmethod
    def from_config(cls, config):
        normalization = keras.saving.deserialize_keras_object(config.get("normalization"))
        return cls(**{**config, "normalization": normalization})


def _one(shape, dtype=None):
    """The basis `[R + 1, features]` of a scale of one: the last term is the constant term."""
    return ops.concatenate([ops.zeros((shape[0] - 1, shape[1]), dtype), ops.ones((1, shape[1]), dtype)], axis=0)


def _one_axis(normalization):
    axes = keras.tree.flatten(normalization.axis)
    if len(axes) != 1:
        raise ValueError(f"`normalization` must have one axis, that of the features. Received: axis={axes}")
    return axes[0]
