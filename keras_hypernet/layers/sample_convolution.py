"""Routes of a convolution with a kernel for each sample.

All routes take x `[B, P, *sizes, C]`, with P points for each kernel, and kernels `[B, *kernel_size, C / groups, O]`,
and return `[B, P, *sizes, O]`. If the batch size is unknown, kernels with one row serve all x.
"""

import itertools
import math

from keras import ops

from keras_hypernet.layers.contraction import is_known

MOST_WRITTEN_OUT = 256  # convolutions in a graph; tracing each takes about a millisecond


def pad(x, geometry, first=2):
    """x with the zeros of `padding`; the spatial axes begin at the axis `first`."""
    widths = [[0, 0]] * len(x.shape)
    for axis, (kernel, stride, dilation) in enumerate(geometry.axes, start=first):
        reach = (kernel - 1) * dilation
        if geometry.padding == "causal":
            widths[axis] = [reach, 0]
        elif geometry.padding == "same":
            # The number of zeros after x depends on the size only if the stride is larger than one.
            total = reach if stride == 1 else _same(ops.shape(x)[axis], reach, stride)
            widths[axis] = [total // 2, total - total // 2]
    none = all(isinstance(number, int) and number == 0 for width in widths for number in width)
    return x if none else ops.pad(x, widths)


def _same(size, reach, stride):
    total = (-(-size // stride) - 1) * stride + reach + 1 - size
    if isinstance(total, int):
        return max(total, 0)
    if not ops.is_tensor(total):  # a symbolic size of `jax.export`
        raise ValueError(
            "padding='same' with strides larger than 1 needs the sizes of x. "
            f"Received: a free size {size}. Export with fixed sizes; the batch may be free."
        )
    return ops.maximum(total, 0)


def output_size(size, kernel, stride, dilation, padding):
    """The size of an axis of the output."""
    return -(-size // stride) if padding != "valid" else -(-(size - (kernel - 1) * dilation) // stride)


def mapped(x, kernels, geometry):
    """One convolution after another, each with a kernel of its own.

    If the batch size is known and not too large, the loop is unrolled: a loop would copy all kernels and their
    gradients.
    """
    if kernels.shape[0] is None or kernels.shape[0] != x.shape[0]:
        kernels = ops.broadcast_to(kernels, (ops.shape(x)[0], *kernels.shape[1:]))
    if is_known(x.shape[0]) and 0 < x.shape[0] <= MOST_WRITTEN_OUT:
        pairs = zip(ops.unstack(x), ops.unstack(kernels), strict=True)
        return ops.stack([convolve(*pair, geometry) for pair in pairs])
    return ops.map(lambda pair: convolve(*pair, geometry), (x, kernels))


def grouped(x, kernels, geometry):
    """One convolution whose groups are the samples."""
    batch, *sizes, channels = ops.shape(x)
    if kernels.shape[0] is None or kernels.shape[0] != x.shape[0]:
        kernels = ops.broadcast_to(kernels, (batch, *kernels.shape[1:]))
    *kernel_size, inputs, outputs = kernels.shape[1:]
    x = ops.reshape(ops.moveaxis(x, 0, -2), (*sizes, batch * channels))
    kernels = ops.reshape(ops.moveaxis(kernels, 0, -2), (*kernel_size, inputs, batch * outputs))
    y = convolve(x, kernels, geometry)
    return ops.moveaxis(ops.reshape(y, (*ops.shape(y)[:-1], batch, outputs)), -2, 0)


def shifts(x, kernels, geometry):
    """A sum over the offsets of the kernel, with a matrix product for each offset and sample."""
    x = pad(x, geometry)
    *kernel_size, inputs, outputs = kernels.shape[1:]
    groups = x.shape[-1] // inputs
    # Not slices: the gradient of each slice would have the size of all kernels.
    offsets = ops.unstack(ops.reshape(kernels, (-1, math.prod(kernel_size), inputs, outputs)), axis=1)
    y = 0.0
    for offset, kernel in zip(itertools.product(*map(range, kernel_size)), offsets, strict=True):
        part = shifted(x, offset, geometry)
        batch, *shape = ops.shape(part)[:-1]
        if groups == 1:
            y = y + ops.matmul(ops.reshape(part, (batch, -1, inputs)), kernel)
        else:
            part = ops.moveaxis(ops.reshape(part, (batch, -1, groups, inputs)), 2, 1)
            kernel = ops.moveaxis(ops.reshape(kernel, (-1, inputs, groups, outputs // groups)), 2, 1)
            y = y + ops.matmul(part, kernel)
    return ops.reshape(y if groups == 1 else ops.moveaxis(y, 1, 2), (batch, *shape, outputs))


def patches(x, kernels, geometry):
    """One matrix product for each sample, of the concatenated patches of x."""
    x = pad(x, geometry)
    *kernel_size, inputs, outputs = kernels.shape[1:]
    groups, offsets = x.shape[-1] // inputs, math.prod(kernel_size)
    parts = [shifted(x, offset, geometry) for offset in itertools.product(*map(range, kernel_size))]
    batch, *shape = ops.shape(parts[0])[:-1]
    if groups == 1:
        part = ops.reshape(ops.concatenate(parts, axis=-1), (batch, -1, offsets * inputs))
        return ops.reshape(
            ops.matmul(part, ops.reshape(kernels, (-1, offsets * inputs, outputs))), (batch, *shape, outputs)
        )
    part = ops.reshape(ops.stack(parts, axis=-2), (batch, -1, offsets, groups, inputs))
    part = ops.reshape(ops.moveaxis(part, 3, 1), (batch, groups, -1, offsets * inputs))
    kernel = ops.moveaxis(ops.reshape(kernels, (-1, offsets * inputs, groups, outputs // groups)), 2, 1)
    return ops.reshape(ops.moveaxis(ops.matmul(part, kernel), 1, 2), (batch, *shape, outputs))


def shifted(x, offset, geometry):
    """The part of x `[B, P, *sizes, C]` that is multiplied by the entry `offset` of the kernel."""
    index = [slice(None), slice(None)]
    for start, (kernel, stride, dilation) in zip(offset, geometry.axes, strict=True):
        index.append(slice(start * dilation, (start - kernel + 1) * dilation or None, stride))
    return x[tuple(index)]


def convolve(x, kernel, geometry):
    """A convolution of `[N, *sizes, C]` with one kernel."""
    _, strides, dilations = zip(*geometry.axes, strict=True)
    padding = geometry.padding
    if padding == "causal":  # which no backend supports
        x, padding = pad(x, geometry, first=1), "valid"
    return ops.conv(x, kernel, strides, padding, "channels_last", dilations)


ROUTES = {"mapped": mapped, "grouped": grouped, "shifts": shifts, "patches": patches}
