"""HyperEinsumDense: an EinsumDense layer whose kernel, bias or both are generated from a condition."""

import math
import re
import string
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.initializers import Fans
from keras_hypernet.common.checks import integer
from keras_hypernet.layers.contraction import assumed
from keras_hypernet.layers.kernel import KernelLayer


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperEinsumDense(KernelLayer):
    """`activation(einsum(equation, x, K(condition)) + b(condition))`, with weights generated from the condition.

    The equation names every axis of x, of the kernel and of the output. The first label of x and of the output is the
    batch, with a condition for each row. Axes that the kernel does not have may be of any size.

    The factorised route, which does not write the kernel, is possible if the last label of the kernel is the last label
    of the output, and no label of x. Any other equation takes the materialised route.

    Call arguments:
        x: Tensor with the axes that the equation names, or `[B, P, ...]` for P points for each condition.
        condition: Tensor `[B, R]`; `[1, R]` for one condition shared by the whole batch; or `[B, P, R]` for a condition
            for each point.

    Returns:
        A tensor of the compute dtype, with the axes that the equation names for the output; with points, `[B, P, ...]`.

    Args:
        equation: An equation of `einsum`, such as `"btc,cnh->btnh"`.
        output_shape: The sizes of the output's axes without the batch, an integer or a tuple; None for the size of an
            axis of x.
        activation, kernel, bias, contraction: See `KernelLayer`.
        bias_axes: Labels of the output along which the bias varies, such as `"nh"`; None for no bias.
        **kwargs: The initializers, regularizers, constraints and other arguments of `KernelLayer`.

    Raises:
        ValueError: If the equation or its sizes do not fit, no weight is generated, an argument is not one of its
            choices, or shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 5, 16)), keras.ops.ones((8, 4))
    >>> layer = HyperEinsumDense("btc,cnh->btnh", (None, 2, 3), bias_axes="nh")
    >>> layer(x, condition).shape
    TensorShape([8, 5, 2, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(condition).items()}
    {'kernel': (8, 16, 2, 3), 'bias': (8, 2, 3)}
    """

    keras_layer = keras.layers.EinsumDense

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None] | None,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel: str = "generated",
        bias: str = "generated",
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        bias_axes = bias_axes or None
        use_bias = kwargs.pop("use_bias", True) and bias_axes is not None
        super().__init__(activation, use_bias, kernel, bias, contraction, **kwargs)
        self.equation, self.bias_axes = equation, bias_axes
        self.labels = x, kernel, output = _labels(equation)
        if not set(bias_axes or "") <= set(output[1:]):
            raise ValueError(f"`bias_axes` must be among the labels {output[1:]!r}. Received: {bias_axes!r}")
        sizes = output_shape if isinstance(output_shape, (tuple, list)) else (output_shape,)
        self.output_sizes = tuple(size if size is None else integer("output_shape", size) for size in sizes)
        unknown = [label for label, size in zip(output[1:], sizes, strict=False) if size is None and label not in x]
        if len(sizes) != len(output) - 1 or unknown:
            raise ValueError(
                f"`output_shape` must have a size for each label of {output[1:]!r}, or None for a label of x. "
                f"Received: {output_shape!r}"
            )
        fixed = {label for label, size in zip(output[1:], sizes, strict=True) if size is not None}
        self.axes = tuple("features" if label in {*kernel, *fixed} else label for label in x[1:])
        self.contracts = kernel[-1] == output[-1] and kernel[-1] not in x

    def build(self, x_shape, condition_shape=None):
        super().build(x_shape, condition_shape)
        self.built_rank = len(x_shape)
        self.kernel_sizes = dict(zip(self.labels[1], self.kernel_shape(x_shape), strict=True))

    def kernel_shape(self, x_shape):
        sizes = self._sizes(x_shape)
        return tuple(sizes[label] for label in self.labels[1])

    def _sizes(self, x_shape):
        """The size of each label except the batch."""
        x, _, output = self.labels
        sizes = dict(zip(x[1:], x_shape[len(x_shape) - len(self.axes) :], strict=True))
        for label, size in zip(output[1:], self.output_sizes, strict=True):
            if size is not None and sizes.setdefault(label, size) not in (size, None):
                raise ValueError(
                    f"Label {label!r} of {self.equation!r} has the size {size} in `output_shape`. "
                    f"Received: x of shape {tuple(x_shape)}"
                )
        return sizes

    def fans(self, kernel_shape):
        x, kernel, output = self.labels
        sizes = list(zip(kernel, kernel_shape, strict=True))
        return Fans(*(math.prod(size for label, size in sizes if label not in other) for other in (output, x)))

    def matrix(self, kernel_shape):
        inputs = max(self.fans(kernel_shape).fan_in, 1)
        return inputs, math.prod(kernel_shape) // inputs

    def bias_shape(self, kernel_shape):
        _, kernel, output = self.labels
        sizes = {
            **dict(zip(output[1:], self.output_sizes, strict=True)),
            **dict(zip(kernel, kernel_shape, strict=True)),
        }
        first = min(output.index(label) for label in self.bias_axes)
        shape = tuple(sizes[label] if label in self.bias_axes else 1 for label in output[first:])
        if None in shape:
            raise ValueError(
                f"A bias needs the sizes of its axes {self.bias_axes!r}. Received: output_shape={self.output_sizes}"
            )
        return shape

    def positions(self, x_shape):
        x, kernel, _ = self.labels
        sizes = zip(x[1:], x_shape[len(x_shape) - len(self.axes) :], strict=True)
        return math.prod(assumed(size) for label, size in sizes if label not in kernel)

    def op(self, x, kernel):
        return ops.einsum(self._of_rank(len(x.shape)), x, kernel)

    def each(self, x, kernels):
        # Ellipses, because kernels of unknown batch size may have one row for all x.
        return ops.einsum(self._of_rank(len(x.shape), batches="..."), x, kernels)

    def _of_rank(self, rank, batches=""):
        """The equation for x of a rank, with or without points; `batches` is an ellipsis if kernels have the batch."""
        x, kernel, output = self.labels
        rows = (batches or x[0]) + ("" if rank == len(x) else unused(self.equation)[0])
        return f"{rows}{x[1:]},{batches}{kernel}->{rows}{output[1:]}"

    def ordinary(self):
        x, kernel, output = self.labels
        is_dense = kernel == x[-1] + output[-1] and x[:-1] == output[:-1]
        if is_dense and self.bias_axes in (None, output[-1]):  # Dense keeps more static sizes
            common = {"use_bias": self.use_bias, "name": self.name, "dtype": self.dtype_policy}
            return keras.layers.Dense(self.kernel_sizes[output[-1]], self.activation, **common)
        equation = self._of_rank(self.built_rank)  # includes the points, if x had points when this layer was built
        return keras.layers.EinsumDense(
            equation,
            [self.kernel_sizes.get(label) for label in equation.split("->")[1][1:]],
            activation=self.activation,
            bias_axes=self.bias_axes if self.use_bias else None,
            name=self.name,
            dtype=self.dtype_policy,
        )

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        sizes = self._sizes(x_shape)
        return (*x_shape[: len(x_shape) - len(self.axes)], *(sizes[label] for label in self.labels[2][1:]))

    def get_config(self):
        own = {"equation": self.equation, "output_shape": self.output_sizes, "bias_axes": self.bias_axes}
        return {**super().get_config(), **own}


def _labels(equation):
    """The labels of x, of the kernel and of the output; raises ValueError for an equation of another form."""
    match = re.fullmatch("([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)", str(equation).replace(" ", ""))
    x, kernel, output = match.groups() if match else ("", "", "")
    fits = (
        match
        and all(len(set(labels)) == len(labels) for labels in (x, kernel, output))
        and x[0] == output[0] not in kernel
        and set(kernel) <= {*x, *output}
        and set(output) <= {*x, *kernel}
        and set(x) <= {*kernel, *output}
    )
    if not fits:
        raise ValueError(
            "`equation` must name each axis of x, of the kernel and of the output, as in 'btc,cnh->btnh': the batch "
            "first in x and in the output, no label twice, every label in two of the three, and no ellipsis. "
            f"Received: {equation!r}"
        )
    return x, kernel, output


def unused(equation):
    """The letters that are no label of an equation."""
    return [label for label in string.ascii_lowercase if label not in equation]
