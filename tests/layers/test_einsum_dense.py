"""HyperEinsumDense against plain NumPy, its routes against each other, and its bad arguments."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

from keras_hypernet.bases import LowRank, Mixture
from keras_hypernet.layers import HyperEinsumDense

# An equation, the sizes of the output, the axes of the bias, and whether the kernel need not be written.
EQUATIONS = {
    "heads": ("btc,cnh->btnh", (None, 2, 3), "nh", True),
    "join": ("bthc,hcd->btd", (None, 3), "d", True),
    "free_bias": ("btc,cd->bdt", (2, 4), "d", False),
    "each_position": ("btc,tcd->btd", (4, 2), "td", True),
    "diagonal": ("btc,c->btc", (None, 5), None, False),
}
X_SHAPES = {"heads": (4, 5), "join": (4, 2, 5), "free_bias": (4, 5), "each_position": (4, 5), "diagonal": (4, 5)}
every_equation = pytest.mark.parametrize("name", EQUATIONS)


def _layer(name, **arguments):
    equation, output_shape, bias_axes, _ = EQUATIONS[name]
    keras.utils.set_random_seed(0)
    return HyperEinsumDense(equation, output_shape, bias_axes=bias_axes, bias_initializer="random_normal", **arguments)


def _numpy(layer, x, condition):
    """einsum(x_b, K(z_b)) + b(z_b), one example after another, in float64."""
    values = {weight.name: array(weight) for weight in layer.weights}
    x_labels, kernel, output = layer.equation.replace("->", ",").split(",")
    y = []
    for number, example in enumerate(x.astype("float64")):
        terms = np.append(condition[number % len(condition)], 1.0)
        written = sum(term * values["kernel_basis"][..., r, :] for r, term in enumerate(terms))
        one = np.einsum(f"{x_labels[1:]},{kernel}->{output[1:]}", example, written)
        if "bias_basis" in values:
            bias = sum(term * values["bias_basis"][..., r, :] for r, term in enumerate(terms))
            first = min(output.index(label) for label in layer.bias_axes)
            one = one + bias.reshape(bias.shape + (1,) * (len(output) - first - bias.ndim))
        y.append(one)
    return np.stack(y)


@every_equation
@pytest.mark.parametrize("conditions", [3, 1])
def test_values_match_numpy_on_every_route(name, conditions):
    layer, x, z = _layer(name), normal((3, *X_SHAPES[name])), normal((conditions, 2), seed=1)
    expected = _numpy_after(layer, x, z)
    assert layer.contracts == EQUATIONS[name][-1]
    for contraction in ("materialised", *["factorised"] * layer.contracts, "auto"):
        layer.contraction = contraction
        np.testing.assert_allclose(array(layer(x, z)), expected, atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(z))), expected, atol=1e-5)


def _numpy_after(layer, x, z):
    layer(x, z)
    return _numpy(layer, x, z)


def test_points_and_a_condition_of_each_point_match_numpy():
    x, z = normal((3, 2, 4, 5)), normal((3, 2, 2), seed=1)
    for contraction in ("factorised", "materialised"):
        layer = _layer("heads", contraction=contraction)
        flat = _numpy_after(layer, x.reshape(6, 4, 5), z.reshape(6, 2))
        np.testing.assert_allclose(array(layer(x, z)), flat.reshape(3, 2, 4, 2, 3), atol=1e-5)
        same = np.repeat(z[:, 0], 2, axis=0)
        flat = _numpy(layer, x.reshape(6, 4, 5), same)
        np.testing.assert_allclose(array(layer(x, z[:, 0])), flat.reshape(3, 2, 4, 2, 3), atol=1e-5)


@pytest.mark.parametrize("basis", [lambda: None, lambda: LowRank(2), lambda: Mixture(2)], ids=["full", "low", "mix"])
def test_routes_have_the_same_gradients(basis):
    x, z, by_route = normal((3, 4, 5)), normal((3, 2), seed=1), {}
    for contraction in ("factorised", "materialised"):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4, 5)), keras.Input((2,))
        layer = _layer("heads", contraction=contraction, basis=basis())
        y = layer(keras.layers.Dense(5)(inputs[0]), keras.layers.Dense(2)(inputs[1]))
        by_route[contraction] = gradients(keras.Model(inputs, y), [x, z], np.ones((3, 4, 2, 3), "float32"))
    for factorised, materialised in zip(by_route["factorised"], by_route["materialised"], strict=True):
        assert np.abs(factorised).max() > 1e-4
        np.testing.assert_allclose(factorised, materialised, atol=1e-5)


def test_gradient_of_the_basis_matches_finite_differences():
    x, z, targets = normal((3, 4, 5)), normal((3, 2), seed=1), np.zeros((3, 4, 2, 3))
    inputs = keras.Input((4, 5)), keras.Input((2,))
    layer = _layer("heads", contraction="factorised")
    model = keras.Model(inputs, layer(*inputs))
    kernel, step = layer.weights[0], 1e-2
    values, expected = array(kernel), {}
    for place in [(0, 0, 0, 0), (4, 1, 2, 2), (2, 1, 1, 0)]:
        losses = []
        for sign in (1, -1):
            moved = values.copy()
            moved[place] += sign * step
            kernel.assign(moved)
            losses.append(np.mean((_numpy(layer, x, z) - targets) ** 2))
        expected[place] = (losses[0] - losses[1]) / (2 * step)
    kernel.assign(values)
    gradient = gradients(model, [x, z], targets.astype("float32"))[0]
    for place, value in expected.items():
        np.testing.assert_allclose(gradient[place], value, rtol=1e-3, atol=1e-5)


def test_generated_kernels_have_the_variance_of_the_fan_in():
    layer = HyperEinsumDense("bthc,hcd->btd", (None, 50))
    layer.build((None, 4, 4, 50), (None, 8))
    kernels = array(layer.generate(np.sign(normal((4, 8))))["kernel"])
    np.testing.assert_allclose(kernels.var(), 1 / 200, rtol=0.1)


def test_the_free_axis_may_change_and_the_others_may_not():
    layer = _layer("heads")
    layer(normal((3, 4, 5)), normal((3, 2)))
    assert tuple(layer(normal((3, 7, 5)), normal((3, 2))).shape) == (3, 7, 2, 3)
    with pytest.raises(ValueError, match="was built for 5 features of x .* Received: x of shape .3, 4, 6."):
        layer(normal((3, 4, 6)), normal((3, 2)))
    with pytest.raises(ValueError, match=r"x must have shape \[batch, t, features\] or \[batch, points, t, features\]"):
        layer(normal((3, 5)), normal((3, 2)))
    fixed = _layer("free_bias")
    with pytest.raises(ValueError, match="Label 't' of 'btc,cd->bdt' has the size 4 in `output_shape`. Received: x of"):
        fixed(normal((3, 6, 5)), normal((3, 2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("...c,cd->...d", 3), "`equation` must name each axis .* and no ellipsis. Received: '...c,cd->...d'"),
        (("bc,bcd->bd", 3), "`equation` must name each axis .* Received: 'bc,bcd->bd'"),
        (("bc,cd->db", 3), "the batch first in x and in the output"),
        (("bcx,cd->bd", 3), "every label in two of the three"),
        ((5, 3), "Received: 5"),
        (("bc,cd->bd", (3, 3)), "`output_shape` must have a size for each label of 'd'"),
        (("bc,cd->bd", None), "or None for a label of x. Received: None"),
        (("bc,cd->bd", 0), "`output_shape` must be an integer of at least 1. Received: 0"),
        (("bc,cd->bd", 3, None, "b"), "`bias_axes` must be among the labels 'd'. Received: 'b'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperEinsumDense(*arguments)


def test_a_bias_along_an_axis_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match="A bias needs the sizes of its axes 'td'. Received: output_shape=.None, 3."):
        HyperEinsumDense("btc,cd->btd", (None, 3), bias_axes="td")(normal((3, 4, 5)), normal((3, 2)))
