"""HyperDense against plain NumPy, and its two routes against each other."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

from keras_hypernet.bases import Full, Mixture
from keras_hypernet.layers import ConcatenateCondition, HyperDense
from keras_hypernet.layers.dense import UNITS_PER_INPUT

SHAPES = [((6, 7), (6, 3)), ((6, 5, 7), (6, 3)), ((6, 7), (1, 3)), ((6, 5, 7), (1, 3))]


def _numpy(layer, x, condition):
    """sum_i x_i (K0 + sum_r z_r T_r)_io + b_o, with a kernel for every example."""
    kernel_basis, bias_basis = (weight.astype("float64") for weight in layer.get_weights())
    extended = np.concatenate([condition, np.ones((len(condition), 1))], axis=1)
    y = []
    for number, example in enumerate(x):
        terms = extended[number % len(extended)]
        kernel = sum(term * kernel_basis[:, r] for r, term in enumerate(terms))
        y.append(example @ kernel + terms @ bias_basis)
    return np.tanh(np.stack(y))


def _layer(contraction):
    return HyperDense(
        4, "tanh", contraction=contraction, kernel_initializer="random_normal", bias_initializer="random_normal"
    )


@pytest.mark.parametrize("contraction", ["factorised", "materialised", "auto"])
@pytest.mark.parametrize(("x_shape", "condition_shape"), SHAPES)
def test_values_match_numpy(x_shape, condition_shape, contraction):
    layer, x, condition = _layer(contraction), normal(x_shape), normal(condition_shape, seed=1)
    y = layer(x, condition)
    np.testing.assert_allclose(array(y), _numpy(layer, x, condition), atol=1e-5)


def test_generated_weights_match_numpy():
    layer, x, condition = _layer("auto"), normal((6, 7)), normal((6, 3), seed=1)
    layer(x, condition)
    kernel_basis, bias_basis = layer.get_weights()
    generated = layer.generate(condition)
    extended = np.concatenate([condition, np.ones((6, 1))], axis=1)
    np.testing.assert_allclose(array(generated["kernel"]), np.einsum("br,iro->bio", extended, kernel_basis), atol=1e-6)
    np.testing.assert_allclose(array(generated["bias"]), extended @ bias_basis, atol=1e-6)
    assert kernel_basis.shape == (7, 3 + 1, 4)


@pytest.mark.parametrize("x_shape", [pytest.param((6, 7), marks=pytest.mark.full), (6, 5, 7)])
def test_routes_have_the_same_gradients(x_shape):
    x, condition = normal(x_shape), normal((6, 3), seed=1)
    by_route = {}
    for contraction in ("factorised", "materialised"):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(x_shape[1:]), keras.Input((3,))
        y = _layer(contraction)(keras.layers.Dense(7)(inputs[0]), keras.layers.Dense(3)(inputs[1]))
        by_route[contraction] = gradients(
            keras.Model(inputs, y), [x, condition], np.ones((*x_shape[:-1], 4), "float32")
        )
    for factorised, materialised in zip(by_route["factorised"], by_route["materialised"], strict=True):
        assert np.abs(factorised).max() > 1e-3
        np.testing.assert_allclose(factorised, materialised, atol=1e-6)


@pytest.mark.parametrize(
    "basis", [Full(), Mixture(2), Full("random_normal", train_constant=False)], ids=["full", "mixture", "frozen"]
)
@pytest.mark.parametrize("x_shape", [(6, 2), (6, 5, 2)])
def test_few_inputs_meet_the_condition_first(x_shape, basis):
    x, condition, by_route = normal(x_shape), normal((6, 3), seed=1), {}
    for contraction in ("factorised", "materialised"):
        keras.utils.set_random_seed(0)
        layer = HyperDense(UNITS_PER_INPUT * 2, basis=basis, contraction=contraction)
        inputs = keras.Input(x_shape[1:]), keras.Input((3,))
        model = keras.Model(inputs, layer(keras.layers.Dense(2)(inputs[0]), keras.layers.Dense(3)(inputs[1])))
        model.set_weights([normal(weight.shape, seed=2) for weight in model.get_weights()])
        by_route[contraction] = [
            array(model([x, condition])),
            *gradients(model, [x, condition], np.ones((*x_shape[:-1], layer.units), "float32")),
        ]
    for factorised, materialised in zip(by_route["factorised"], by_route["materialised"], strict=True):
        assert np.abs(factorised).max() > 1e-3
        np.testing.assert_allclose(factorised, materialised, rtol=1e-4, atol=1e-4)


def test_gradient_of_the_basis_matches_numpy():
    x, condition, targets = normal((6, 7)), normal((6, 3), seed=1), normal((6, 4), seed=2)
    inputs = keras.Input((7,)), keras.Input((3,))
    layer = HyperDense(4, use_bias=False, contraction="factorised")
    model = keras.Model(inputs, layer(*inputs))
    residual = array(model([x, condition])) - targets
    (gradient,) = gradients(model, [x, condition], targets)
    extended = np.concatenate([condition, np.ones((6, 1))], axis=1)
    expected = np.einsum("bi,br,bo->iro", x, extended, 2 * residual / residual.size)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="nested gradients of TensorFlow's")
@pytest.mark.parametrize("contraction", ["factorised", "materialised"])
def test_second_derivative_matches_numpy(contraction):
    import tensorflow as tf

    layer = HyperDense(4, contraction=contraction, bias_initializer="random_normal")
    x, condition, direction = normal((6, 5, 7)), tf.constant(normal((6, 3), seed=1)), normal((6, 3), seed=2)
    layer(x, condition)
    with tf.GradientTape() as outer:
        outer.watch(condition)
        with tf.GradientTape() as inner:
            inner.watch(condition)
            loss = tf.reduce_mean(layer(x, condition) ** 2)
        slope = tf.reduce_sum(inner.gradient(loss, condition) * direction)
    second = tf.reduce_sum(outer.gradient(slope, condition) * direction)
    kernel_basis, bias_basis = (weight.astype("float64")[..., :-1, :] for weight in layer.get_weights())
    change = np.einsum("bpi,br,iro->bpo", x, direction, kernel_basis) + (direction @ bias_basis)[:, None]
    np.testing.assert_allclose(float(second), 2 * np.mean(change**2), rtol=1e-5)


def test_mask_reaches_the_layers_behind():
    class Recorder(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, mask=None):
            self.mask = mask
            return x

    embedded = keras.layers.Embedding(5, 7, mask_zero=True)
    tokens, recorder = np.array([[1, 2, 0], [3, 0, 0]]), Recorder()
    recorder(HyperDense(4)(embedded(tokens), normal((2, 3))))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(recorder.mask), tokens > 0)


@pytest.mark.regression
def test_where_weights_come_from_is_not_under_the_name_of_a_weight():
    layer = HyperDense(4, kernel="trained", bias="generated")
    assert (layer.kernel_source, layer.bias_source) == ("trained", "generated")
    assert not hasattr(layer, "kernel")
    assert not hasattr(layer, "bias")
    assert {name: layer.get_config()[name] for name in ("kernel", "bias")} == {"kernel": "trained", "bias": "generated"}


def test_use_bias_false_and_bias_none_mean_the_same():
    for layer in (HyperDense(4, use_bias=False), HyperDense(4, bias=None)):
        layer(normal((6, 7)), normal((6, 3)))
        assert len(layer.weights) == 1


def test_regularizer_and_constraint_apply_to_the_basis():
    layer = HyperDense(4, kernel_regularizer="l2", bias_initializer="ones", bias_constraint="non_neg")
    layer(normal((6, 7)), normal((6, 3)))
    kernel_basis = layer.get_weights()[0]
    np.testing.assert_allclose(array(layer.losses[0]), 0.01 * np.sum(kernel_basis.astype("float64") ** 2), rtol=1e-5)
    assert layer.weights[1].constraint is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be an integer of at least 1. Received: 0"),
        ({"units": 2.5}, "`units` must be an integer of at least 1. Received: 2.5"),
        ({"units": 4, "kernel": "learned"}, "`kernel` must be one of .* Received: 'learned'"),
        ({"units": 4, "bias": "learned"}, "`bias` must be one of .* Received: 'learned'"),
        ({"units": 4, "kernel": "trained", "bias": "trained"}, "At least one of kernel and bias must be generated"),
        ({"units": 4, "kernel": "trained", "use_bias": False}, "use `keras.layers.Dense`"),
        ({"units": 4, "contraction": "fast"}, "`contraction` must be one of .* Received: 'fast'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperDense(**arguments)


@pytest.mark.parametrize(
    ("x_shape", "condition_shape", "message"),
    [
        ((7,), (6, 3), r"x must have shape \[batch, features\] or \[batch, points, features\]"),
        ((6, 7), (3,), r"condition must have shape \[batch, rank\]"),
        ((6, 8), (6, 3), "was built for 7 features of x and a condition of dimension 3. Received: x of shape .6, 8."),
        ((6, 7), (6, 4), "was built for 7 features of x and a condition of dimension 3.*condition of shape .6, 4."),
        ((6, 7), (5, 3), "x and condition must have the same batch size, or condition a batch size of 1"),
    ],
)
def test_bad_inputs_after_the_first_call(x_shape, condition_shape, message):
    layer = HyperDense(4)
    layer(normal((6, 7)), normal((6, 3)))
    with pytest.raises(ValueError, match=message):
        layer(normal(x_shape), normal(condition_shape))


@pytest.mark.regression
@pytest.mark.parametrize("contraction", ["factorised", "materialised", "auto"])
@pytest.mark.parametrize("points", [(), (5,)])
def test_x_of_no_features_leaves_the_bias(points, contraction):
    layer, x, condition = _layer(contraction), np.zeros((6, *points, 0), "float32"), normal((6, 3), seed=1)
    y = array(layer(x, condition))
    np.testing.assert_allclose(y, _numpy(layer, x, condition) + np.zeros((*points, 1)), atol=1e-6)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(condition))), y, atol=1e-6)
    assert array(HyperDense(4)(x, condition)).shape == y.shape  # with the default initializer


@pytest.mark.regression
def test_a_call_without_a_condition_names_the_arguments():
    x, condition = normal((6, 7)), normal((6, 3))
    for layer in (HyperDense(3, name="mine"), ConcatenateCondition(name="mine")):
        for _ in range(2):  # before and after it is built
            with pytest.raises(TypeError, match=r"Layer 'mine' is called .* as `layer\(x, condition\)`.*: one list"):
                layer([x, condition])
            with pytest.raises(TypeError, match=r"Layer 'mine' is called .* `layer\(x, condition\)`.* x alone"):
                layer(x)
            layer(x, condition)
        for timed in (layer, type(layer).from_config(layer.get_config())):  # built, and not yet built
            with pytest.raises(
                TypeError, match=r"need no TimeDistributed: give x the shape \[batch, points, features\]"
            ):
                keras.layers.TimeDistributed(timed)(normal((2, 5, 7)))


def test_generate_needs_a_built_layer():
    with pytest.raises(ValueError, match="call it on x and a condition before `generate`"):
        HyperDense(4).generate(normal((6, 3)))
