"""The route that computes `x K(z)`: a decision from shapes alone.

The generated kernel is linear in the condition z extended by a one, `K(z) = sum_r [z, 1]_r T_r`. The product with x is
bilinear, so there are two routes:

- `"factorised"`: `u = x . T`, one GEMM for the whole batch, then a contraction of u with `[z, 1]`. No kernel is built;
  the intermediate result has `points * (rank + 1) * units` entries per condition.
- `"materialised"`: `K = [z, 1] . T`, then a product of x with one kernel per condition. The intermediate result has
  `input_dim * units` entries per condition.

This module imports no Keras, so tests check every decision as arithmetic.
"""

import typing

ROUTES = ("factorised", "materialised")
CHOICES = ("auto", *ROUTES)

# The cost of a route is its floating-point operations, plus the entries it moves through memory times this number: a
# core does tens of operations while memory delivers one float32.
OPERATIONS_PER_ENTRY = 20.0
# The size assumed for an unknown batch or number of points.
ASSUMED_BATCH = 64


class Contraction(typing.NamedTuple):
    """A route, and whether one condition, and thus one kernel, serves the whole batch."""

    route: str
    shared: bool


def plan(x_shape, condition_shape, units, contraction="auto"):
    """Chooses the cheaper route for `x . K(condition)` from static shapes.

    Args:
        x_shape: `(batch, input_dim)` or `(batch, points, input_dim)`. Batch and points may be unknown: None, or a
            symbolic size of another library.
        condition_shape: `(batch, rank)`, or `(1, rank)` for one condition shared by the batch.
        units: Output dimension of the generated kernel.
        contraction: `"auto"`, or the route to take at any cost.

    Returns:
        A `Contraction`.

    Raises:
        ValueError: If the shapes do not fit, or `contraction` is not one of the choices.

    Example:

    >>> plan((64, 3072), (64, 100), units=10).route, plan((64, 3072), (1, 100), units=10).route
    ('factorised', 'materialised')
    """
    check_contraction(contraction)
    check_shapes(x_shape, condition_shape)
    batch = assumed(x_shape[0])
    points = 1 if len(x_shape) == 2 else assumed(x_shape[1])
    input_dim, rank = x_shape[-1], condition_shape[-1]
    shared = is_known(condition_shape[0]) and condition_shape[0] == 1
    conditions = 1 if shared else batch
    rows = batch * points

    basis = input_dim * (rank + 1) * units
    products = rows * (rank + 1) * units  # entries of u = x . T
    kernels = conditions * input_dim * units  # entries of K = [z, 1] . T
    costs = {
        "factorised": 2.0 * rows * basis + 2.0 * products + OPERATIONS_PER_ENTRY * 2 * products,
        # The basis is stored for the factorised route; this route reads the basis transposed.
        "materialised": 2.0 * conditions * basis
        + 2.0 * rows * input_dim * units
        + OPERATIONS_PER_ENTRY * (2 * kernels + basis),
    }
    route = min(ROUTES, key=costs.__getitem__) if contraction == "auto" else contraction
    return Contraction(route, shared)


def is_known(size):
    """Whether a size is a number: neither None nor symbolic, as in `jax.export`."""
    return isinstance(size, int)


def assumed(size):
    """Returns the size, or the assumed size for an unknown one."""
    return size if is_known(size) else ASSUMED_BATCH


def check_contraction(contraction):
    """Raises ValueError if `contraction` is not one of `CHOICES`."""
    if contraction not in CHOICES:
        raise ValueError(f"`contraction` must be one of {CHOICES}. Received: {contraction!r}")


def check_shapes(x_shape, condition_shape):
    """Raises ValueError unless x and condition have fitting shapes, TypeError if there is no condition.

    x has the shape `(batch, features)` or `(batch, points, features)`, the condition `(batch, rank)` or `(1, rank)`;
    the last dimensions are known.
    """
    if condition_shape is None:
        raise TypeError(
            f"Expected x and a condition, as in `layer(x, condition)`. Received: x alone, of shape {tuple(x_shape)}. "
            "Many x under each condition need no TimeDistributed: give x the shape [batch, points, features]."
        )
    received = f"Received: x of shape {tuple(x_shape)}, condition of shape {tuple(condition_shape)}"
    if len(x_shape) not in (2, 3):
        raise ValueError(f"x must have shape [batch, features] or [batch, points, features]. {received}")
    if len(condition_shape) != 2:
        raise ValueError(
            f"condition must have shape [batch, rank], or [1, rank] for one condition shared by the batch. {received}"
        )
    if not (is_known(x_shape[-1]) and is_known(condition_shape[-1])):
        raise ValueError(f"The last dimensions of x and condition must be known. {received}")
    if condition_shape[-1] == 0:
        raise ValueError(f"A condition must have an entry. {received}")
    check_batch(x_shape, condition_shape)


def check_batch(x_shape, shape, name="condition"):
    """Raises ValueError unless the value `name` of a shape may belong to x by `may_match`."""
    if not may_match(x_shape[0], shape[0]):
        raise ValueError(
            f"x and {name} must have the same batch size, or {name} a batch size of 1. "
            f"Received: x of shape {tuple(x_shape)}, {name} of shape {tuple(shape)}. "
            "For many x under each condition, give x the shape [batch, points, features]."
        )


def may_match(batch, rows):
    """The batch rule: a condition, and every value computed from it, has one row for all x or one row for each x.

    An unknown size may match.

    Example:

    >>> may_match(5, 1), may_match(5, 5), may_match(5, 2), may_match(1, 5), may_match(None, 5)
    (True, True, False, False, True)
    """
    return not (is_known(batch) and is_known(rows)) or rows in (1, batch)
