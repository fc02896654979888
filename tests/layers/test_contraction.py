"""The route: arithmetic on shapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_hypernet.bases import Chunked, Full, LowRank
from keras_hypernet.bases.base import Sizes
from keras_hypernet.layers import contraction
from keras_hypernet.layers.contraction import ROUTES, convolution_route

sizes = st.integers(1, 2000)


def plan(x_shape, condition_shape, units, route="auto", basis=Full(), **where):  # noqa: B008
    """The plan of a dense layer."""
    contraction.check_shapes(x_shape, condition_shape)

    def costs(rows, conditions):
        return basis.costs(Sizes(rows, conditions, x_shape[-1], units, condition_shape[-1]))

    return contraction.plan(x_shape[:-1], condition_shape[0], costs, route, **where)


@given(batch=sizes, input_dim=sizes, rank=sizes, units=sizes, route=st.sampled_from(ROUTES))
def test_an_explicit_route_is_taken(batch, input_dim, rank, units, route):
    assert plan((batch, input_dim), (batch, rank), units, route).route == route


def test_paper_layers_are_factorised():
    for input_dim, rank in ((784, 50), (3072, 100)):
        assert plan((64, input_dim), (64, rank), 10).route == "factorised"
        assert plan((None, input_dim), (None, rank), 10).route == "factorised"


def test_many_points_or_one_condition_for_all_are_materialised():
    assert plan((64, 1000, 32), (64, 100), 32).route == "materialised"
    assert plan((64, 3072), (1, 100), 10).route == "materialised"
    assert plan((64, 3072), (1, 100), 10).shared


def test_memory_counts_more_where_products_of_16_bits_are_fast():
    points = (256, 16, 784), (256, 10), 128  # written kernels: five times the entries, a sixth of the operations
    for device, dtype in (("cpu", "float32"), ("cpu", "bfloat16"), ("gpu", "float32"), ("tpu", "bfloat16")):
        assert plan(*points, device=device, dtype=dtype).route == "materialised"
    assert plan(*points, device="gpu", dtype="bfloat16").route == "factorised"


@pytest.mark.parametrize(
    ("x_shape", "condition_shape", "message"),
    [
        ((3,), (3, 2), r"x must have shape .*Received: x of shape \(3,\)"),
        ((3, 2, 2, 2), (3, 2), "x must have shape"),
        ((3, 2), (3, 2, 2), r"condition must have shape .*condition of shape \(3, 2, 2\)"),
        ((3, None), (3, 2), "last dimensions of x and condition must be known"),
        ((3, 2), (4, 2), r"same batch size.*Received: x of shape \(3, 2\), condition of shape \(4, 2\)"),
        ((6, 2), (3, 2), r"give x the shape \[batch, points, features\]"),
    ],
)
def test_shapes_that_do_not_fit(x_shape, condition_shape, message):
    with pytest.raises(ValueError, match=message):
        plan(x_shape, condition_shape, units=4)


class Symbolic:
    """A size without comparisons, as in `jax.export`."""

    def __eq__(self, other):
        raise AssertionError("compared")

    __lt__ = __gt__ = __bool__ = __mul__ = __rmul__ = __eq__
    __hash__ = None


@pytest.mark.regression
@pytest.mark.parametrize("points", [(), (None,)])
def test_a_symbolic_size_counts_as_the_assumed_one(points):
    symbolic = tuple(Symbolic() for _ in points)
    chosen = plan((Symbolic(), *symbolic, 3072), (Symbolic(), 100), 10)
    assert chosen == plan((None, *points, 3072), (None, 100), 10)
    assert chosen == plan((64, *(64 for _ in points), 3072), (64, 100), 10)
    with pytest.raises(ValueError, match="last dimensions of x and condition must be known"):
        plan((64, Symbolic()), (64, 100), 10)


def test_low_rank_products_with_large_kernels_are_factorised():
    assert plan((64, 4096), (64, 64), 4096, basis=LowRank(16)).route == "factorised"
    assert plan((64, 4096), (1, 64), 4096, basis=LowRank(16)).route == "factorised"
    assert plan((64, 1000, 32), (1, 64), 32, basis=LowRank(16)).route == "materialised"


def test_convolutions_of_wide_patches_that_no_cache_holds_are_shifts():
    large, small = (32, 28, 28, 16), (4, 28, 28, 16)
    for backend, xla in (("jax", None), ("tensorflow", True)):
        assert convolution_route(backend, xla, large, (3, 3, 16, 16)) == "shifts"
        assert convolution_route(backend, xla, small, (3, 3, 16, 16)) == "patches"
        assert convolution_route(backend, xla, large, (3, 3, 16, 32)) == "patches"
        assert convolution_route(backend, xla, (64, 8, 8, 128), (3, 3, 128, 128)) == "patches"  # larger kernels
        assert convolution_route(backend, xla, (None, *large[1:]), (3, 3, 16, 16)) == "shifts"  # 64 are assumed


def test_a_route_that_a_basis_lacks():
    assert plan((3, 2), (3, 2), 4, basis=Chunked(8, 2)).route == "materialised"
    with pytest.raises(ValueError, match=r"have the routes \('materialised',\). Received: 'factorised'"):
        plan((3, 2), (3, 2), 4, "factorised", basis=Chunked(8, 2))


def test_unknown_route():
    with pytest.raises(ValueError, match=r"`contraction` must be one of .*Received: 'fastest'"):
        plan((3, 2), (3, 2), 4, "fastest")
