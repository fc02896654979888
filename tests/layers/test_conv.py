"""Convolutions with a kernel for each x, against loops in NumPy, and their routes against each other."""

import itertools

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.bases import Full, LowRank
from keras_hypernet.layers import (
    HyperConv1D,
    HyperConv2D,
    HyperConv2DTranspose,
    HyperConv3D,
    HyperDepthwiseConv2D,
    contraction,
    sample_convolution,
)

ROUTES = tuple(sample_convolution.ROUTES)


def _zeros(size, kernel, stride, dilation, padding):
    """The zeros before and after an axis."""
    reach = (kernel - 1) * dilation
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return reach, 0
    total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
    return total // 2, total - total // 2


def convolution(x, kernel, strides, padding, dilations, groups):
    """A convolution of one x `[*sizes, C]` with one kernel, a loop over positions, offsets and groups."""
    *kernel_size, inputs, filters = kernel.shape
    axes = list(zip(kernel_size, strides, dilations, strict=True))
    widths = [_zeros(size, *axis, padding) for size, axis in zip(x.shape, axes, strict=False)]
    x = np.pad(x, [*widths, (0, 0)])
    sizes = [(size - (k - 1) * d - 1) // s + 1 for size, (k, s, d) in zip(x.shape, axes, strict=False)]
    y = np.zeros((*sizes, filters))
    for position in itertools.product(*map(range, sizes)):
        for offset in itertools.product(*map(range, kernel_size)):
            entry = x[tuple(p * s + o * d for p, o, (_, s, d) in zip(position, offset, axes, strict=True))]
            for group in range(groups):
                outputs = slice(group * filters // groups, (group + 1) * filters // groups)
                y[position][outputs] += entry[group * inputs : (group + 1) * inputs] @ kernel[offset][:, outputs]
    return y


def _expected(layer, x, condition):
    """tanh(conv(x_b, K0 + sum_r z_br T_r) + bias_b), x with points or not, channels last."""
    basis, bias = (weight.astype("float64") for weight in layer.get_weights())
    y = []
    for number, example in enumerate(x):
        terms = np.append(condition[number % len(condition)], 1.0)
        kernel = np.einsum("r,...ro->...o", terms, basis)
        points = example if example.ndim == layer.dimensions + 2 else example[None]
        arguments = layer.strides, layer.padding, layer.dilation_rate, layer.groups
        result = np.stack([convolution(point, kernel, *arguments) for point in points])
        y.append((result if points is example else result[0]) + terms @ bias)
    return np.tanh(np.stack(y))


CASES = [
    (HyperConv1D, (3, 6, 2), {"padding": "causal", "dilation_rate": 2}),
    (HyperConv1D, (3, 2, 6, 2), {"padding": "same", "strides": 2}),
    (HyperConv2D, (3, 5, 4, 2), {"kernel_size": (3, 2)}),
    (HyperConv2D, (3, 5, 4, 2), {"kernel_size": (3, 2), "padding": "same", "strides": (2, 3)}),
    (HyperConv2D, (3, 5, 5, 2), {"dilation_rate": (1, 2), "padding": "same", "groups": 2}),
    (HyperConv2D, (3, 2, 5, 4, 2), {}),
    (HyperConv3D, (3, 3, 4, 3, 2), {"strides": (1, 2, 1)}),
]


def _make(layer, **arguments):
    arguments = {"kernel_size": 2, "data_format": "channels_last", "bias_initializer": "random_normal", **arguments}
    return layer(4, activation="tanh", **arguments)


@pytest.mark.parametrize("conditions", [1, 3])
@pytest.mark.parametrize(("layer", "x_shape", "arguments"), CASES)
def test_values_match_numpy(layer, x_shape, arguments, conditions):
    layer, x, condition = _make(layer, **arguments), normal(x_shape), normal((conditions, 3), seed=1)
    y = layer(x, condition)
    np.testing.assert_allclose(array(y), _expected(layer, x, condition), atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(condition))), array(y), atol=1e-5)


@pytest.mark.parametrize("conditions", [1, 3])
@pytest.mark.parametrize("x_shape", [(3, 5, 4, 2), (3, 2, 5, 4, 2)])
def test_depthwise_values_match_numpy(x_shape, conditions):
    layer = HyperDepthwiseConv2D(
        (3, 2), 2, "same", 2, "channels_last", activation="tanh", bias_initializer="random_normal"
    )
    x, condition = normal(x_shape), normal((conditions, 3), seed=1)
    y = array(layer(x, condition))
    basis, bias = layer.get_weights()
    assert basis.shape == (3, 2, 2, 4, 2)
    for number in range(3):
        terms = np.append(condition[number % conditions], 1.0)
        kernel = np.einsum("r,hwcrm->hwcm", terms, basis).reshape(3, 2, 1, 4)
        for point, result in zip(x[number].reshape(-1, 5, 4, 2), y[number].reshape(-1, 3, 2, 4), strict=True):
            expected = convolution(point, kernel, (2, 2), "same", (1, 1), 2) + terms @ bias
            np.testing.assert_allclose(result, np.tanh(expected), atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(condition))), y, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth_multiplier": 0}, "`depth_multiplier` must be an integer of at least 1. Received: 0"),
        ({"strides": (1, 2)}, "`strides` must be equal on both axes. Received: .1, 2."),
    ],
)
def test_bad_depthwise_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperDepthwiseConv2D(2, **arguments)


TRANSPOSED = [
    {"kernel_size": (3, 2)},
    {"kernel_size": (3, 2), "strides": (2, 3)},
    {"kernel_size": 2, "strides": 3, "padding": "same"},
    {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
    {"kernel_size": 3, "strides": 2, "output_padding": (0, 1)},
]


@pytest.mark.parametrize("arguments", TRANSPOSED, ids=str)
def test_transposed_convolution_is_the_one_of_keras_under_each_condition(arguments):
    layer = HyperConv2DTranspose(
        4, activation="tanh", bias_initializer="random_normal", data_format="channels_last", **arguments
    )
    x, condition = normal((3, 3, 4, 2)), normal((3, 3), seed=1)
    y = array(layer(x, condition))
    assert y.shape == layer.compute_output_shape(x.shape, condition.shape)
    for number in range(3):
        ordinary, weights = layer.specialize(condition[number : number + 1])
        ordinary.build(x.shape)
        ordinary.set_weights(weights)
        np.testing.assert_allclose(array(ordinary(x[number : number + 1]))[0], y[number], atol=1e-5)
    points = array(layer(np.stack([x, x], 1), condition))
    np.testing.assert_allclose(points, np.stack([y, y], 1), atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(condition))), y, atol=1e-5)


@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2)])
def test_transposed_convolution_matches_numpy(stride, dilation):
    arguments = {"strides": (stride, 1), "dilation_rate": (dilation, 1), "data_format": "channels_first"}
    layer = HyperConv2DTranspose(4, (3, 2), bias=None, **arguments)
    x, condition = normal((3, 2, 3, 4)), normal((3, 3), seed=1)
    y = layer(x, condition)
    (basis,) = layer.get_weights()
    kernels = np.einsum("br,hworc->bhwoc", np.concatenate([condition, np.ones((3, 1))], 1), basis)
    expected = np.zeros((3, 4, 2 * stride + 2 * dilation + 1, 5))
    for (i, j), (a, b) in itertools.product(np.ndindex(3, 4), np.ndindex(3, 2)):
        expected[:, :, stride * i + dilation * a, j + b] += np.einsum("boc,bc->bo", kernels[:, a, b], x[:, :, i, j])
    np.testing.assert_allclose(array(y), expected, atol=1e-5)


@pytest.mark.parametrize("output_padding", [2, -1, 0.5])
def test_bad_output_padding(output_padding):
    with pytest.raises(ValueError, match="`output_padding` must be None or an integer from 0 to below the stride"):
        HyperConv2DTranspose(4, 3, strides=2, output_padding=output_padding)


@pytest.mark.parametrize("groups", [1, 2])
def test_channels_first_is_channels_last_transposed(groups):
    x, condition = normal((3, 2, 5, 4)), normal((3, 3), seed=1)
    first = HyperConv2D(4, 2, groups=groups, data_format="channels_first", activation="softmax")
    last = HyperConv2D(4, 2, groups=groups, data_format="channels_last")
    y = array(first(x, condition))
    last(np.moveaxis(x, 1, -1), condition)
    last.set_weights(first.get_weights())
    linear = np.moveaxis(array(last(np.moveaxis(x, 1, -1), condition)), -1, 1)
    expected = np.exp(linear) / np.exp(linear).sum(-1, keepdims=True)  # over the last axis, as Keras's Conv2D
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(("layer", "x_shape", "arguments"), CASES[:1] + CASES[3:6])
def test_routes_are_equal(layer, x_shape, arguments, monkeypatch):
    layer = _make(layer, **arguments)
    x, kernels = normal(x_shape), normal((3, *layer.kernel_size, 2 // layer.groups, 4), seed=1)
    x = x if x.ndim == layer.dimensions + 3 else x[:, None]
    axes = layer.strides, layer.padding, layer.dilation_rate, layer.groups
    expected = np.stack(
        [np.stack([convolution(point, k, *axes) for point in each]) for each, k in zip(x, kernels, strict=True)]
    )
    x, kernels = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(kernels)
    for route in ROUTES:
        y = sample_convolution.ROUTES[route](x, kernels, layer.geometry)
        np.testing.assert_allclose(array(y), expected, atol=1e-5, err_msg=route)
    monkeypatch.setattr(sample_convolution, "MOST_WRITTEN_OUT", 0)  # as for a batch of unknown size
    y = sample_convolution.mapped(x, kernels, layer.geometry)
    np.testing.assert_allclose(array(y), expected, atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"padding": "same", "strides": 2}, {"groups": 2}], ids=str)
def test_routes_have_the_same_gradients(arguments, monkeypatch):
    x, condition, by_route = normal((3, 4, 4, 2)), normal((3, 3), seed=1), {}
    for route in (*ROUTES, "mapped in a loop"):
        if route == "mapped in a loop":
            monkeypatch.setattr(sample_convolution, "MOST_WRITTEN_OUT", 0)
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4, 4, 2)), keras.Input((3,))
        y = _make(HyperConv2D, contraction=route.split()[0], **arguments)(
            keras.layers.Dense(2)(inputs[0]), keras.layers.Dense(3)(inputs[1])
        )
        targets = np.ones((3, *y.shape[1:]), "float32")
        by_route[route] = gradients(keras.Model(inputs, y), [x, condition], targets)
    for route in by_route:
        for gradient, first in zip(by_route[route], by_route["mapped"], strict=True):
            assert np.abs(first).max() > 1e-4
            np.testing.assert_allclose(gradient, first, atol=1e-6, err_msg=route)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the parts suit TensorFlow's allocator")
@pytest.mark.parametrize("x_shape", [(5, 4, 4, 2), (5, 3, 4, 4, 2)])
def test_kernels_that_are_written_in_parts(x_shape, monkeypatch):
    x, condition, results = normal(x_shape), normal((5, 1), seed=1), []
    for limit, parts in ((contraction.LARGEST_ALLOCATION, 1), (800, 2)):
        monkeypatch.setattr(contraction, "LARGEST_ALLOCATION", limit)
        # Five kernels, and a basis of two terms, of 3 x 3 x 2 x 4 entries of four bytes.
        assert contraction.parts_of_batch(5 * 288, 2 * 288) == parts
        keras.utils.set_random_seed(0)
        layer = HyperConv2D(4, 3)
        inputs = [keras.Input(batch_shape=shape) for shape in (x_shape, condition.shape)]
        model = keras.Model(inputs, layer(keras.layers.Dense(2)(inputs[0]), inputs[1]))
        targets = np.ones(model.output.shape, "float32")
        results.append([array(model([x, condition])), *gradients(model, [x, condition], targets)])
    for whole, in_parts in zip(*results, strict=True):
        assert np.abs(whole).max() > 1e-4
        np.testing.assert_allclose(in_parts, whole, atol=1e-6)


def test_gradient_of_the_basis_matches_finite_differences():
    x, condition, targets = normal((3, 4, 4, 2)), normal((3, 3), seed=1), normal((3, 3, 3, 4), seed=2)
    inputs = keras.Input((4, 4, 2)), keras.Input((3,))
    layer = _make(HyperConv2D)
    model = keras.Model(inputs, layer(*inputs))
    basis, bias = (weight.astype("float64") for weight in layer.get_weights())

    def loss(basis):
        layer.set_weights([basis, bias])
        rounded = type("Layer", (), {**vars(layer), "dimensions": 2, "get_weights": lambda _: [basis, bias]})()
        return np.mean((_expected(rounded, x.astype("float64"), condition.astype("float64")) - targets) ** 2)

    expected, indices = [], [(0, 0, 0, 0, 0), (1, 0, 1, 2, 3), (1, 1, 0, 3, 1)]
    for index in indices:
        step = np.zeros_like(basis)
        step[index] = 1e-4
        expected.append((loss(basis + step) - loss(basis - step)) / 2e-4)
    layer.set_weights([basis, bias])
    gradient, _ = gradients(model, [x, condition], targets)
    np.testing.assert_allclose([gradient[index] for index in indices], expected, atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"padding": "same"}, {"strides": 2, "padding": "same"}], ids=str)
def test_low_rank_routes_are_equal(arguments):
    x, condition = normal((3, 4, 4, 2)), normal((3, 3), seed=1)
    written = _make(HyperConv2D, basis=LowRank(2), contraction="materialised", **arguments)
    factorised = _make(HyperConv2D, basis=LowRank(2), contraction="factorised", **arguments)
    y = written(x, condition)
    factorised(x, condition)
    factorised.set_weights(written.get_weights())
    np.testing.assert_allclose(array(factorised(x, condition)), array(y), atol=1e-5)


def test_full_is_never_factorised_unless_asked():
    layer = _make(HyperConv2D, basis=Full())
    layer(normal((3, 2, 2, 2)), normal((3, 3)))
    assert layer.plan((3, 2, 2, 2), (3, 3)).route == "materialised"
    asked = _make(HyperConv2D, basis=Full(), contraction="factorised")
    y = asked(normal((3, 4, 4, 2)), normal((3, 3), seed=1))
    np.testing.assert_allclose(array(y), _expected(asked, normal((3, 4, 4, 2)), normal((3, 3), seed=1)), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA is a choice on TensorFlow only")
@pytest.mark.parametrize("xla", [False, True])
def test_model_tells_its_layers_whether_xla_compiles(xla):
    layer = _make(HyperConv2D, padding="same")
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [layer])
    inputs = {"x": normal((3, 4, 4, 2)), "condition": normal((3, 3), seed=1)}
    y = array(model(inputs))
    assert layer.compiled_by_xla is None
    model.compile("sgd", "mse", jit_compile=xla)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), y, atol=1e-5)
    assert layer.compiled_by_xla == xla


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="nested gradients of TensorFlow's")
@pytest.mark.parametrize("route", ROUTES)
def test_second_derivative_matches_finite_differences(route):
    import tensorflow as tf

    layer = _make(HyperConv2D, contraction=route)
    x, condition, direction = (tf.constant(normal(s, seed=n)) for n, s in enumerate([(3, 4, 4, 2), (3, 3), (3, 3)]))
    layer(x, condition)

    def slope(condition):
        """The derivative of the loss along the direction."""
        with tf.GradientTape() as tape:
            tape.watch(condition)
            loss = tf.reduce_mean(layer(x, condition) ** 2)
        return tf.reduce_sum(tape.gradient(loss, condition) * direction)

    with tf.GradientTape() as tape:
        tape.watch(condition)
        first = slope(condition)
    second = tf.reduce_sum(tape.gradient(first, condition) * direction)
    step = 1e-2
    expected = (slope(condition + step * direction) - slope(condition - step * direction)) / (2 * step)
    np.testing.assert_allclose(float(second), float(expected), rtol=2e-2)


def test_sizes_and_batch_are_free():
    layer = _make(HyperConv2D, padding="same", strides=2)
    inputs = keras.Input((None, None, 2)), keras.Input((3,))
    model = keras.Model(inputs, layer(*inputs))
    for shape in ((3, 5, 4, 2), (2, 4, 7, 2)):
        x, condition = normal(shape), normal((shape[0], 3), seed=1)
        np.testing.assert_allclose(model.predict([x, condition], verbose=0), _expected(layer, x, condition), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` must be an integer of at least 1. Received: 0"),
        ({"kernel_size": 0}, "`kernel_size` must be an integer of at least 1. Received: 0"),
        ({"kernel_size": (2, 2, 2)}, "`kernel_size` must be an integer or 2 integers. Received: .2, 2, 2."),
        ({"strides": -1}, "`strides` must be an integer of at least 1. Received: -1"),
        ({"groups": 3}, "`filters` must be divisible by `groups`. Received: filters=4, groups=3"),
        ({"padding": "causal"}, "`padding` must be one of .'valid', 'same'.. Received: 'causal'"),
        ({"strides": 2, "dilation_rate": (1, 2)}, "cannot both be larger than 1. .*strides=.2, 2., dilation_rate=.1"),
        ({"contraction": "fast"}, "`contraction` must be one of .*'mapped', 'grouped'.* Received: 'fast'"),
        ({"data_format": "channels"}, "`data_format` must be .* Received: 'channels'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperConv2D(**{"filters": 4, "kernel_size": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "x_shape", "message"),
    [
        ({"groups": 2}, (3, 5, 5, 3), "2 groups, which must divide the number of channels of x. .*3, 5, 5, 3"),
        ({"kernel_size": 6}, (3, 5, 5, 3), "is larger than x; use padding='same'. Received: x of shape .3, 5, 5, 3"),
        ({}, (3, 5, 3), r"x must have shape \[batch, height, width, channels\] or"),
        ({"basis": Full(constant=np.zeros((3, 2, 4)))}, (3, 5, 5, 2), r"must have the shape \(2, 2, 2, 4\)"),
        ({"groups": 2, "contraction": "factorised"}, (3, 5, 5, 2), "Received: 'factorised'"),
    ],
)
def test_bad_inputs(arguments, x_shape, message):
    with pytest.raises(ValueError, match=message):
        HyperConv2D(4, **{"kernel_size": 2, "data_format": "channels_last", **arguments})(
            normal(x_shape), normal((3, 3))
        )
