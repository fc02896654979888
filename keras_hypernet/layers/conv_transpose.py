"""HyperConv2DTranspose: a transposed convolution whose kernel, bias or both are generated from a condition."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.initializers import Fans
from keras_hypernet.layers.contraction import is_known
from keras_hypernet.layers.conv import Geometry, HyperConv


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperConv2DTranspose(HyperConv):
    """`activation(transposed convolution of x with K(condition) + b(condition))`, which enlarges images.

    Each image of a batch has its own kernel `[height, width, filters, channels]`, which is always written. The layer
    inserts zeros between the entries of x, and computes a convolution with the reversed kernel.

    Call arguments:
        x, condition: As in `HyperConv2D`.

    Returns:
        A tensor of the compute dtype, of the shape that `keras.layers.Conv2DTranspose` returns, with the axes `B` or
        `B, P` of x.

    Args:
        filters, kernel_size, strides, padding, data_format, dilation_rate: As in `HyperConv2D`.
        output_padding: An integer from 0 to below the stride, or one for each axis, which selects one of the possible
            output sizes; None for `size * stride` with `"same"`.
        activation, use_bias, kernel, bias, contraction: See `KernelLayer`; the kernel is always written.
        **kwargs: The initializers, regularizers, constraints and other arguments of `KernelLayer`.

    Raises:
        ValueError: If no weight is generated, an argument is not one of its choices, or shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 6, 6, 2)), keras.ops.ones((8, 4))
    >>> layer = HyperConv2DTranspose(3, kernel_size=3, strides=2, padding="same", data_format="channels_last")
    >>> layer(x, condition).shape
    TensorShape([8, 12, 12, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(condition).items()}
    {'kernel': (8, 3, 3, 3, 2), 'bias': (8, 3)}
    """

    dimensions = 2
    keras_layer = keras.layers.Conv2DTranspose

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel: str = "generated",
        bias: str = "generated",
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        geometry = filters, kernel_size, strides, padding, data_format, dilation_rate
        super().__init__(*geometry, 1, activation, use_bias, kernel, bias, contraction, **kwargs)
        several = isinstance(output_padding, (tuple, list))
        self.output_padding = tuple(output_padding) if several else (output_padding,) * self.dimensions
        for extra, stride in zip(self.output_padding, self.strides, strict=True):
            if extra is not None and not (isinstance(extra, int) and 0 <= extra < stride):
                raise ValueError(
                    f"`output_padding` must be None or an integer from 0 to below the stride, strides={self.strides}. "
                    f"Received: {output_padding!r}"
                )
        self.contracts = False
        self.zeros = [
            _zeros(size, stride, dilation, padding, extra)
            for (size, stride, dilation), extra in zip(self.geometry.axes, self.output_padding, strict=True)
        ]
        self.geometry = Geometry(tuple((size, 1, dilation) for size, _, dilation in self.geometry.axes), "valid")

    def kernel_shape(self, x_shape):
        _, channels = self._spatial(x_shape)
        return (*self.kernel_size, self.filters, channels)

    def bias_shape(self, kernel_shape):
        return (self.filters,)

    def fans(self, kernel_shape):
        offsets = math.prod(self.kernel_size)
        return Fans(max(offsets * kernel_shape[-1] // math.prod(self.strides), 1), offsets * self.filters)

    def matrix(self, kernel_shape):
        return math.prod(self.kernel_size) * kernel_shape[-1], self.filters

    def output_sizes(self, sizes):
        axes = zip(sizes, self.strides, self.zeros, self.geometry.axes, strict=True)
        return [
            (size - 1) * stride + 1 + sum(zeros) - (kernel - 1) * dilation if is_known(size) else None
            for size, stride, zeros, (kernel, _, dilation) in axes
        ]

    def prepare(self, x):
        """x with zeros between its entries, by the strides, and around."""
        x = super().prepare(x)
        *first, height, width, channels = ops.shape(x)
        down, right = self.strides
        if max(self.strides) > 1:
            none = [[0, 0]] * (len(x.shape) - 3)
            x = ops.reshape(x, (*first, height, 1, width, 1, channels))
            x = ops.pad(x, [*none, [0, 0], [0, down - 1], [0, 0], [0, right - 1], [0, 0]])
            x = ops.reshape(x, (*first, height * down, width * right, channels))
            x = x[..., : 1 - down or None, : 1 - right or None, :]
        return ops.pad(x, [*[[0, 0]] * (len(x.shape) - 3), *map(list, self.zeros), [0, 0]])

    def op(self, x, kernel):
        return super().op(x, _reversed(kernel))

    def each(self, x, kernels):
        return super().each(x, _reversed(kernels))

    def get_config(self):
        config = super().get_config()
        del config["groups"]
        padding = None if self.output_padding == (None, None) else self.output_padding
        return {**config, "output_padding": padding}


def _zeros(kernel, stride, dilation, padding, extra):
    """The number of zeros before and after an axis of the spread x, as in Keras's layer."""
    kernel = (kernel - 1) * dilation + 1
    if padding == "valid":
        return kernel - 1, kernel - 1 + (max(kernel, stride) - kernel if extra is None else extra)
    total = stride + kernel - 2 if extra is None else kernel + kernel % 2 - 2 + extra
    before = min(total // 2 + total % 2, kernel - 1)
    return before, total - before


def _reversed(kernel):
    """`[..., height, width, filters, channels]` -> the kernel of the convolution, `[..., channels, filters]`."""
    # One axis after the other, because Keras 3.11 cannot flip two axes on TensorFlow.
    return ops.swapaxes(ops.flip(ops.flip(kernel, -4), -3), -1, -2)
