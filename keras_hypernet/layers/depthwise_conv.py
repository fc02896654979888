"""HyperDepthwiseConv2D: a separate convolution of each channel, with weights generated from a condition."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.initializers import Fans
from keras_hypernet.common.checks import integer
from keras_hypernet.layers.conv import HyperConv


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperDepthwiseConv2D(HyperConv):
    """`activation(depthwise convolution of x with K(condition) + b(condition))`: each channel has its own filters.

    Each image of a batch has its own kernel `[height, width, channels, depth_multiplier]`, which is always written.

    Call arguments:
        x, condition: As in `HyperConv2D`.

    Returns:
        A tensor of the compute dtype with `channels * depth_multiplier` channels, otherwise as in `HyperConv2D`.

    Args:
        kernel_size, strides, padding, data_format, dilation_rate: As in `HyperConv2D`. The strides of both axes must be
            equal, as in Keras's layer.
        depth_multiplier: Number of output channels of each channel of x, a positive integer.
        activation, use_bias, kernel, bias, contraction: See `KernelLayer`; the kernel is always written.
        **kwargs: The initializers, regularizers, constraints and other arguments of `KernelLayer`.

    Raises:
        ValueError: If no weight is generated, an argument is not one of its choices, or shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 6, 6, 2)), keras.ops.ones((8, 4))
    >>> layer = HyperDepthwiseConv2D(kernel_size=3, depth_multiplier=2, data_format="channels_last")
    >>> layer(x, condition).shape
    TensorShape([8, 4, 4, 4])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(condition).items()}
    {'kernel': (8, 3, 3, 2, 2), 'bias': (8, 4)}
    """

    dimensions = 2
    keras_layer = keras.layers.DepthwiseConv2D

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel: str = "generated",
        bias: str = "generated",
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        self.depth_multiplier = integer("depth_multiplier", depth_multiplier)
        geometry = kernel_size, strides, padding, data_format, dilation_rate
        super().__init__(depth_multiplier, *geometry, 1, activation, use_bias, kernel, bias, contraction, **kwargs)
        if len(set(self.strides)) > 1:
            raise ValueError(f"`strides` must be equal on both axes. Received: {self.strides}")
        self.contracts = False

    def kernel_shape(self, x_shape):
        _, channels = self._spatial(x_shape)
        return (*self.kernel_size, channels, self.depth_multiplier)

    def bias_shape(self, kernel_shape):
        return (math.prod(kernel_shape[-2:]),)

    def fans(self, kernel_shape):
        return Fans(math.prod(kernel_shape[:-2]), math.prod(kernel_shape[:-2]) * self.depth_multiplier)

    def matrix(self, kernel_shape):
        return math.prod(kernel_shape[:-2]), math.prod(kernel_shape[-2:])

    def op(self, x, kernel):
        return super().op(x, self._groups(kernel))

    def each(self, x, kernels):
        return super().each(x, self._groups(kernels))

    def _groups(self, kernel):
        """The kernel of the convolution whose groups are the channels."""
        *first, channels, multiplier = kernel.shape
        leading = first if len(first) == self.dimensions else (-1, *first[1:])
        return ops.reshape(kernel, (*leading, 1, channels * multiplier))

    def get_config(self):
        config = super().get_config()
        for name in ("filters", "groups"):
            del config[name]
        return {**config, "depth_multiplier": self.depth_multiplier}
