"""HyperConv1D, HyperConv2D, HyperConv3D: convolutions whose kernel, bias or both are generated from a condition."""

import math
import typing
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.base import Cost
from keras_hypernet.bases.full import Full
from keras_hypernet.bases.initializers import Fans
from keras_hypernet.common.checks import check_choice, integer
from keras_hypernet.layers import sample_convolution
from keras_hypernet.layers.contraction import assumed, convolution_route, is_known, parts_of_batch
from keras_hypernet.layers.kernel import KernelLayer

SPATIAL = {1: ("steps",), 2: ("height", "width"), 3: ("depth", "height", "width")}


class Geometry(typing.NamedTuple):
    """The geometry of a convolution: kernel size, stride and dilation of each spatial axis, and the padding."""

    axes: tuple
    padding: str


class HyperConv(KernelLayer):
    """Abstract: a convolution over `dimensions` axes; the public layers set this number."""

    dimensions: int
    written_routes = tuple(sample_convolution.ROUTES)

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel: str = "generated",
        bias: str = "generated",
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, use_bias, kernel, bias, contraction, **kwargs)
        self.filters, self.groups = integer("filters", filters), integer("groups", groups)
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.strides = self._sizes("strides", strides)
        self.dilation_rate = self._sizes("dilation_rate", dilation_rate)
        self.padding = padding
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        self._check()
        names = SPATIAL[self.dimensions]
        self.axes = ("channels", *names) if self.data_format == "channels_first" else (*names, "channels")
        self.contracts = self.groups == 1
        self.geometry = Geometry(tuple(zip(self.kernel_size, self.strides, self.dilation_rate, strict=True)), padding)

    def _sizes(self, name, value):
        sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,) * self.dimensions
        if len(sizes) != self.dimensions:
            raise ValueError(f"`{name}` must be an integer or {self.dimensions} integers. Received: {value!r}")
        return tuple(integer(name, size) for size in sizes)

    def _check(self):
        paddings = ("valid", "same", "causal") if self.dimensions == 1 else ("valid", "same")
        check_choice("padding", self.padding, paddings)
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                f"`data_format` must be 'channels_last' or 'channels_first'. Received: {self.data_format!r}"
            )
        if self.filters % self.groups:
            raise ValueError(
                f"`filters` must be divisible by `groups`. Received: filters={self.filters}, groups={self.groups}"
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides` and `dilation_rate` cannot both be larger than 1. "
                f"Received: strides={self.strides}, dilation_rate={self.dilation_rate}"
            )

    def _spatial(self, x_shape):
        """The sizes of the spatial axes, and the number of channels."""
        *sizes, channels = x_shape[len(x_shape) - len(self.axes) :]
        return ([*sizes[1:], channels], sizes[0]) if self.data_format == "channels_first" else (sizes, channels)

    def kernel_shape(self, x_shape):
        _, channels = self._spatial(x_shape)
        if channels % self.groups:
            raise ValueError(
                f"Layer {self.name!r} has {self.groups} groups, which must divide the number of channels of x. "
                f"Received: x of shape {tuple(x_shape)}, {self.data_format}"
            )
        return (*self.kernel_size, channels // self.groups, self.filters)

    def fans(self, kernel_shape):
        *leading, inputs, outputs = kernel_shape
        return Fans(math.prod(leading) * inputs, math.prod(leading) * outputs // self.groups)

    def positions(self, x_shape):
        sizes, _ = self._spatial(x_shape)
        return max(math.prod(self.output_sizes(list(map(assumed, sizes)))), 1)

    def output_sizes(self, sizes):
        """The sizes of the spatial axes of the output; None for an unknown size."""
        return [
            sample_convolution.output_size(size, *axis, self.padding) if is_known(size) else None
            for size, axis in zip(sizes, self.geometry.axes, strict=True)
        ]

    def costs(self, sizes):
        # Measured: a convolution with the kernels of all terms takes hundreds of times as long as a plain convolution.
        routes = super().costs(sizes)
        return {**routes, "factorised": Cost(math.inf, 0.0)} if isinstance(self.basis, Full) else routes

    def prepare(self, x):
        x = super().prepare(x)
        return ops.moveaxis(x, -self.dimensions - 1, -1) if self.data_format == "channels_first" else x

    def restore(self, y):
        return ops.moveaxis(y, -1, -self.dimensions - 1) if self.data_format == "channels_first" else y

    def op(self, x, kernel):
        points = len(x.shape) == self.dimensions + 3
        folded = ops.reshape(x, (-1, *ops.shape(x)[2:])) if points else x
        y = sample_convolution.convolve(folded, kernel, self.geometry)
        return ops.reshape(y, (*ops.shape(x)[:2], *ops.shape(y)[1:])) if points else y

    def each(self, x, kernels):
        points = len(x.shape) == self.dimensions + 3
        x = x if points else ops.expand_dims(x, 1)
        route = self.contraction
        if route not in self.written_routes:
            route = convolution_route(keras.backend.backend(), self.compiled_by_xla, x.shape, kernels.shape[1:])
        y = sample_convolution.ROUTES[route](x, kernels, self.geometry)
        return y if points else ops.squeeze(y, 1)

    def each_written(self, x, kernel, z):
        batch, parts = x.shape[0], 1
        if keras.backend.backend() == "tensorflow" and not self.compiled_by_xla and batch and z.shape[0] == batch:
            variables = kernel.basis.num_parameters(kernel.shape, self.rank)
            parts = min(parts_of_batch(4 * batch * math.prod(kernel.shape), 4 * variables), batch)
        if parts == 1:
            return super().each_written(x, kernel, z)
        ends = [batch * part // parts for part in range(1, parts)]
        pairs = zip(ops.split(x, ends), ops.split(z, ends), strict=True)
        return ops.concatenate([self.each(x, self.write(kernel, z)) for x, z in pairs])

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        sizes, _ = self._spatial(x_shape)
        moved, channels = self.output_sizes(sizes), self.bias_shape(self.kernel_shape(x_shape))
        shape = (*channels, *moved) if self.data_format == "channels_first" else (*moved, *channels)
        return (*x_shape[: len(x_shape) - len(self.axes)], *shape)

    def check_shapes(self, x_shape, condition_shape):
        super().check_shapes(x_shape, condition_shape)
        sizes, _ = self._spatial(x_shape)
        if any(size is not None and size < 1 for size in self.output_sizes(sizes)):
            raise ValueError(
                f"The kernel of layer {self.name!r}, kernel_size={self.kernel_size} and "
                f"dilation_rate={self.dilation_rate}, is larger than x; use padding='same'. "
                f"Received: x of shape {tuple(x_shape)}"
            )

    def compute_mask(self, x, mask=None):
        """None, as in Keras's layer: the positions of the output are not those of x."""

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperConv1D(HyperConv):
    """`activation(convolution of x with K(condition) + b(condition))` over the steps of a sequence.

    Like `HyperConv2D`, for x `[B, steps, channels]`. `padding` may be `"causal"`: an output depends on no later step.

    Example:

    >>> layer = HyperConv1D(3, kernel_size=2, padding="causal")
    >>> layer(keras.ops.ones((8, 5, 2)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 5, 3])
    """

    dimensions = 1
    keras_layer = keras.layers.Conv1D


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperConv2D(HyperConv):
    """`activation(convolution of x with K(condition) + b(condition))`, with weights generated from the condition.

    Each image of a batch has its own kernel. The sizes of the images may change from call to call. With
    `data_format="channels_first"`, x is transposed before the convolution, and the output after it, because TensorFlow
    has no such convolution on a CPU.

    Call arguments:
        x: Tensor `[B, height, width, channels]`, or `[B, P, height, width, channels]` for P images under each
            condition; with `channels_first`, `[B, channels, height, width]` or `[B, P, channels, height, width]`.
        condition: Tensor `[B, R]`; `[1, R]` for one condition shared by the whole batch; or `[B, P, R]` for a condition
            for each image.

    Returns:
        A tensor of the compute dtype, of the shape that `keras.layers.Conv2D` returns, with the axes `B` or `B, P` of
        x.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size, strides, dilation_rate: A positive integer, or one for each axis. Strides and dilation cannot both
            be larger than 1.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`; by default that of Keras's configuration.
        groups: Number of groups, which divides channels and filters. With several groups, the kernel is always written.
        activation, use_bias, kernel, bias, contraction: See `KernelLayer`. With `Full`, `"auto"` always writes kernels:
            a convolution with all terms takes hundreds of times as long as a plain convolution. `contraction` may also
            name a route by which each image is convolved with its written kernel: `"mapped"` (one image after another;
            on TensorFlow faster if the batch size is static), `"grouped"` (one convolution whose groups are the
            images), `"shifts"` or `"patches"` (matrix products).
        **kwargs: The initializers, regularizers, constraints and other arguments of `KernelLayer`.

    Raises:
        ValueError: If no weight is generated, an argument is not one of its choices, or shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 6, 6, 2)), keras.ops.ones((8, 4))
    >>> layer = HyperConv2D(3, kernel_size=3, activation="relu", data_format="channels_last")
    >>> layer(x, condition).shape
    TensorShape([8, 4, 4, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(condition).items()}
    {'kernel': (8, 3, 3, 2, 3), 'bias': (8, 3)}

    Reference: Ha, Dai and Le, "HyperNetworks", ICLR 2017.
    """

    dimensions = 2
    keras_layer = keras.layers.Conv2D


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperConv3D(HyperConv):
    """`activation(convolution of x with K(condition) + b(condition))` over volumes.

    Like `HyperConv2D`, for x `[B, depth, height, width, channels]`.

    Example:

    >>> layer = HyperConv3D(3, kernel_size=2)
    >>> layer(keras.ops.ones((8, 4, 4, 4, 2)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 3, 3, 3, 3])
    """

    dimensions = 3
    keras_layer = keras.layers.Conv3D
