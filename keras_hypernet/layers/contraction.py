"""The route by which a product of x with a generated kernel is computed, chosen from shapes and the device.

- `"factorised"`: the basis computes the product, and no kernel is written. With `Full`, `K(z) = sum_r [z, 1]_r T_r`:
  one GEMM for the whole batch, `u = x . T`, then a contraction of u with `[z, 1]`; u has
  `points * (rank + 1) * units` entries per condition.
- `"materialised"`: the basis writes the kernels, and each x is multiplied by its kernel. The intermediate result has
`input_dim * units` entries per condition.

This module does not import Keras, so tests check every choice as arithmetic.
"""

import math
import typing

from keras_hypernet.common.checks import check_choice

# The sizes of these axes of x are fixed when a layer is built.
FIXED_AXES = ("features", "channels")
ROUTES = ("factorised", "materialised")
CHOICES = ("auto", *ROUTES)

# The cost of a route is its floating-point operations, plus the entries it moves through memory times a number that
# depends on the device and on the bits of an entry: while memory delivers one float32, a core of a processor does tens
# of operations, and a GPU hundreds of operations of 16 bits. `benchmarks/plan_costs.py` compares
# these numbers on the shapes that were measured on a processor and on a GPU. Any other device has a processor's number.
OPERATIONS_PER_ENTRY = {("cpu", 32): 20.0, ("gpu", 32): 20.0, ("gpu", 16): 500.0}
# The size assumed for an unknown batch or number of points.
ASSUMED_BATCH = 64
LARGEST_ALLOCATION = 2**25  # bytes; glibc's malloc keeps smaller allocations for the process
# Entries of a convolution's patches that fit into a processor's cache, about 8 MB.
PATCHES_IN_CACHE = 2**21


class Contraction(typing.NamedTuple):
    """A route, and whether one condition, and thus one kernel, serves the whole batch."""

    route: str
    shared: bool


def plan(rows, conditions, costs, contraction="auto", device="cpu", dtype="float32"):
    """Chooses the cheapest route for a product of x with a generated kernel, from static sizes.

    Args:
        rows: The sizes of x before its own axes: `(batch,)` or `(batch, points)`; unknown ones are None, or a symbolic
            size of another library.
        conditions: The number of conditions: the batch, or 1 for one condition shared by the batch.
        costs: Function of the number of x and the number of conditions, which returns for each route a pair of
            floating-point operations and entries of intermediate results: see `Basis.costs`.
        contraction: `"auto"`, or the route to use.
        device: The kind of device, as `common.backends.device` returns.
        dtype: The name of the dtype of the computation.

    Returns:
        A `Contraction`.

    Raises:
        ValueError: If `contraction` is none of the choices, or not a route of the basis.
    """
    check_choice("contraction", contraction, CHOICES)
    shared = is_known(conditions) and conditions == 1
    batch = assumed(rows[0])
    routes = costs(batch * math.prod(map(assumed, rows[1:])), 1 if shared else batch)
    if contraction == "auto":
        bits = 16 if dtype in ("bfloat16", "float16") else 32
        of_entry = OPERATIONS_PER_ENTRY.get((device, bits), OPERATIONS_PER_ENTRY["cpu", 32])
        total = {route: operations + of_entry * entries for route, (operations, entries) in routes.items()}
        return Contraction(min(total, key=total.__getitem__), shared)
    if contraction not in routes:
        raise ValueError(f"This layer and its basis have the routes {tuple(routes)}. Received: {contraction!r}")
    return Contraction(contraction, shared)


def convolution_route(backend, xla, x_shape=(None,), kernel_shape=(1, 1)):
    """The route of `layers/sample_convolution.py` for a convolution with a kernel for each sample.

    The choice was measured on processors; a GPU takes the same route. XLA on a CPU takes a minute to compile a grouped
    convolution, and is slow for a map over convolutions. Without XLA, TensorFlow's convolutions are faster than matrix
    products, but a grouped convolution may take seconds. Of the two routes by matrix products, `"patches"` is faster
    than `"shifts"` if the patches fit into the processor's cache, are narrow, or are smaller than the kernels, which
    `"shifts"` copies.

    Args:
        backend: The name of Keras's backend.
        xla: Whether XLA compiles the call; None if that is unknown.
        x_shape: The shape of x, channels last.
        kernel_shape: The shape of a kernel.

    Example:

    >>> convolution_route("tensorflow", xla=None), convolution_route("tensorflow", xla=True)
    ('mapped', 'patches')
    """
    if backend == "tensorflow" and not xla:
        return "mapped"
    if backend == "torch":
        return "grouped"
    *offsets, inputs, outputs = kernel_shape
    patches = math.prod(map(assumed, x_shape)) * math.prod(offsets)
    kernels = assumed(x_shape[0]) * math.prod(kernel_shape)
    return "shifts" if patches > max(PATCHES_IN_CACHE, kernels) and inputs >= outputs else "patches"


def parts_of_batch(kernels, variables):
    """In how many parts of the batch kernels are written, so that the allocator keeps their memory.

    The C library returns an allocation of more than 32 MB to the system, which then clears the memory at every step.
    Each part adds a gradient of the size of the variables, which limits the number of parts.

    Args:
        kernels: Bytes of all kernels of the batch.
        variables: Bytes of the variables that generate a kernel.

    Example:

    >>> parts_of_batch(2**24, 2**20), parts_of_batch(2**26, 2**20), parts_of_batch(2**26, 2**25 + 1)
    (1, 2, 1)
    """
    return max(1, min(-(-kernels // LARGEST_ALLOCATION), kernels // variables))


def is_known(size):
    """Whether a size is a number: neither None nor symbolic, as in `jax.export`."""
    return isinstance(size, int)


def assumed(size):
    """Returns the size, or the assumed size for an unknown one."""
    return size if is_known(size) else ASSUMED_BATCH


def check_shapes(x_shape, condition_shape, axes=("features",), most_points=1):
    """Raises ValueError unless x and condition have fitting shapes, TypeError if there is no condition.

    x has the shape `(batch, *axes)`, with up to `most_points` axes of points after the batch; the condition has the
    shape `(batch, rank)`, `(1, rank)`, or `(batch, points, rank)`. The sizes of `FIXED_AXES` are known.
    """
    if condition_shape is None:
        raise TypeError(
            f"Expected x and a condition, as in `layer(x, condition)`. Received: x alone, of shape {tuple(x_shape)}. "
            f"Many x for each condition need no TimeDistributed: give x the shape {_form('batch', 'points', *axes)}."
        )
    received = f"Received: x of shape {tuple(x_shape)}, condition of shape {tuple(condition_shape)}"
    points = len(x_shape) - 1 - len(axes)
    if not 0 <= points <= most_points:
        forms = [_form("batch", *["points"] * number, *axes) for number in range(most_points + 1)]
        raise ValueError(f"x must have shape {' or '.join(forms)}. {received}")
    each_point = len(condition_shape) == 3 and points >= 1
    if len(condition_shape) != 2 and not each_point:
        raise ValueError(
            "condition must have shape [batch, rank], [1, rank] for one condition shared by the batch, or [batch, "
            f"points, rank] for a condition of each point. {received}"
        )
    fixed = [size for axis, size in zip(axes, x_shape[points + 1 :], strict=True) if axis in FIXED_AXES]
    if not all(map(is_known, (*fixed, condition_shape[-1]))):
        raise ValueError(f"The last dimensions of x and condition must be known. {received}")
    if condition_shape[-1] == 0:
        raise ValueError(f"A condition must have an entry. {received}")
    check_batch(x_shape, condition_shape, axes=axes)
    if each_point and all(map(is_known, (x_shape[1], condition_shape[1]))) and x_shape[1] != condition_shape[1]:
        raise ValueError(f"x and a condition of each point must have the same number of points. {received}")


def _form(*axes):
    return f"[{', '.join(axes)}]"


def check_batch(x_shape, shape, name="condition", axes=("features",)):
    """Raises ValueError unless the value `name` of a shape may belong to x by `may_match`."""
    if not may_match(x_shape[0], shape[0]):
        raise ValueError(
            f"x and {name} must have the same batch size, or {name} a batch size of 1. "
            f"Received: x of shape {tuple(x_shape)}, {name} of shape {tuple(shape)}. "
            f"For many x for each condition, give x the shape {_form('batch', 'points', *axes)}."
        )


def may_match(batch, rows):
    """The batch rule: a condition, and every value computed from it, has one row for all x or one row for each x.

    An unknown size matches any size.

    Example:

    >>> may_match(5, 1), may_match(5, 5), may_match(5, 2), may_match(1, 5), may_match(None, 5)
    (True, True, False, False, True)
    """
    return not (is_known(batch) and is_known(rows)) or rows in (1, batch)
