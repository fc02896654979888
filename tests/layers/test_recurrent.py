"""HyperGRU and HyperLSTM against plain NumPy and against Keras's layers with the written weights."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.bases import LowRank
from keras_hypernet.layers import HyperDense, HyperGRU, HyperLSTM

BATCH, TIME, FEATURES, UNITS, RANK = 3, 5, 4, 2, 2
KINDS = {
    "gru": lambda **arguments: HyperGRU(UNITS, bias_initializer="random_normal", **arguments),
    "gru_reset_before": lambda **arguments: HyperGRU(
        UNITS, reset_after=False, bias_initializer="random_normal", **arguments
    ),
    "lstm": lambda **arguments: HyperLSTM(UNITS, bias_initializer="random_normal", **arguments),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def _inputs():
    return normal((BATCH, TIME, FEATURES)), normal((BATCH, RANK), seed=1)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _numpy(layer, x, weights):
    """The outputs [T, units] of one sequence, one step after another, in float64."""
    kernel, recurrent, bias = (weights[name] for name in ("kernel", "recurrent_kernel", "bias"))
    h, c, u, outputs = np.zeros(UNITS), np.zeros(UNITS), UNITS, []
    for now in x:
        if isinstance(layer, HyperLSTM):
            i, f, g, o = np.split(now @ kernel + h @ recurrent + bias, 4)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        else:
            first, second = bias if layer.reset_after else (bias, np.zeros(3 * u))
            a = now @ kernel + first
            update = _sigmoid(a[:u] + h @ recurrent[:, :u] + second[:u])
            reset = _sigmoid(a[u : 2 * u] + h @ recurrent[:, u : 2 * u] + second[u : 2 * u])
            if layer.reset_after:
                product = reset * (h @ recurrent[:, 2 * u :] + second[2 * u :])
            else:
                product = (reset * h) @ recurrent[:, 2 * u :]
            h = update * h + (1 - update) * np.tanh(a[2 * u :] + product)
        outputs.append(h)
    return np.stack(outputs)


@every_kind
def test_values_match_numpy(kind):
    layer, (x, z) = KINDS[kind](return_sequences=True), _inputs()
    y, written = array(layer(x, z)), layer.generate(z)
    for row in range(BATCH):
        one = {name: array(weight)[row] for name, weight in written.items()}
        np.testing.assert_allclose(y[row], _numpy(layer, x[row], one), atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, written)), y, atol=1e-6)
    shared = {name: weight[:1] for name, weight in written.items()}
    np.testing.assert_allclose(array(layer.apply(x, shared)), array(layer(x, z[:1])), atol=1e-6)


@pytest.mark.regression
@pytest.mark.parametrize("points", [(), (1,)], ids=["sequences", "points"])
def test_one_condition_for_all_x_is_that_condition_for_each(points):
    layer, x, z = HyperLSTM(UNITS, return_sequences=True), normal((64, *points, 20, 32)), normal((1, RANK), seed=1)
    expected = array(layer(x, np.repeat(z, 64, axis=0)))
    for _ in range(5):
        np.testing.assert_allclose(array(layer(x, z)), expected, atol=1e-5)


BACKWARDS = {"return_sequences": True, "go_backwards": True, "use_bias": False}
OTHER_ACTIVATIONS = {"activation": "relu", "recurrent_activation": "hard_sigmoid"}


# Sequences without a mask are compared with NumPy, above.
@pytest.mark.parametrize(
    ("kind", "arguments", "masked"),
    [
        ("gru", {}, True),
        ("gru", BACKWARDS, False),
        ("gru_reset_before", BACKWARDS, True),
        ("gru_reset_before", OTHER_ACTIVATIONS, False),
        ("lstm", BACKWARDS, True),
        ("lstm", OTHER_ACTIVATIONS, True),
    ],
    ids=str,
)
def test_each_sample_is_the_layer_of_keras_with_its_weights(kind, arguments, masked):
    basis = LowRank(2) if arguments is OTHER_ACTIVATIONS else None
    layer, (x, z) = KINDS[kind](**arguments, basis=basis), _inputs()
    mask = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 0], [0, 0, 1, 1, 1]], "bool") if masked else None
    y = array(layer(x, z, x_mask=mask))
    for row in range(BATCH):
        ordinary, weights = layer.specialize(z[row : row + 1])
        ordinary.build((1, TIME, FEATURES))
        ordinary.set_weights(weights)
        expected = ordinary(x[row : row + 1], mask=mask[row : row + 1] if masked else None)
        np.testing.assert_allclose(y[row], array(expected)[0], atol=1e-5)


@every_kind
def test_points_and_a_condition_of_each_point(kind):
    layer, x = KINDS[kind](return_sequences=True), normal((BATCH, 2, TIME, FEATURES))
    mask = np.random.default_rng(0).integers(0, 2, (BATCH, 2, TIME)).astype("bool")
    z, each = normal((BATCH, RANK), seed=1), normal((BATCH, 2, RANK), seed=2)
    y, y_each = array(layer(x, z, x_mask=mask)), array(layer(x, each, x_mask=mask))
    assert layer.compute_output_shape(x.shape, z.shape) == (BATCH, 2, TIME, UNITS) == y.shape
    for point in range(2):
        alone = x[:, point], mask[:, point]
        np.testing.assert_allclose(y[:, point], array(layer(alone[0], z, x_mask=alone[1])), atol=1e-5)
        own = array(layer(alone[0], each[:, point], x_mask=alone[1]))
        np.testing.assert_allclose(y_each[:, point], own, atol=1e-5)


@every_kind
def test_gradients_are_those_of_finite_differences(kind):
    layer, (x, z) = KINDS[kind](), _inputs()
    inputs = keras.Input((None, FEATURES)), keras.Input((RANK,))
    model = keras.Model(inputs, layer(*inputs))

    def loss():
        written = {name: array(weight) for name, weight in layer.generate(z).items()}
        rows = [{name: weight[row] for name, weight in written.items()} for row in range(BATCH)]
        return np.mean(np.square([_numpy(layer, x[row], rows[row])[-1] for row in range(BATCH)]))

    step, expected = 1e-2, []
    for variable in model.trainable_variables:
        values, losses = array(variable), []
        for sign in (1, -1):
            moved = values.copy()
            moved.flat[1] += sign * step
            variable.assign(moved)
            losses.append(loss())
        variable.assign(values)
        expected.append((losses[0] - losses[1]) / (2 * step))
    received = [gradient.flat[1] for gradient in gradients(model, [x, z], np.zeros((BATCH, UNITS), "float32"))]
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(received, expected, rtol=2e-2, atol=2e-5)


def test_first_values_of_the_biases():
    layer, (x, z) = HyperLSTM(UNITS), _inputs()
    layer(x, z)
    np.testing.assert_array_equal(array(layer.generate(z)["bias"]), np.tile([0, 0, 1, 1, 0, 0, 0, 0], (BATCH, 1)))
    assert layer.generated_shapes == {"kernel": (4, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
    gru = HyperGRU(UNITS)
    gru(x, z)
    assert gru.generated_shapes == {"kernel": (4, 6), "recurrent_kernel": (2, 6), "bias": (2, 6)}


def test_a_mask_reaches_the_layer_and_ends_with_the_sequence():
    tokens, z = np.array([[1, 2, 0], [3, 0, 0]]), normal((2, RANK))
    embedded = keras.layers.Embedding(5, FEATURES, mask_zero=True)(tokens)
    layer = HyperGRU(UNITS)
    y = array(layer(embedded, z))
    np.testing.assert_allclose(y[1:], array(layer(embedded[1:, :1], z[1:])), atol=1e-6)
    assert layer.compute_mask(embedded, tokens > 0) is None
    assert HyperGRU(UNITS, return_sequences=True).compute_mask(embedded, tokens) is tokens


def test_a_model_specializes_and_applies_weights_under_a_mask():
    tokens = np.array([[1, 2, 0], [3, 0, 0], [4, 1, 2]], "int32")
    primary = [keras.layers.Embedding(5, 3, mask_zero=True), HyperGRU(4, return_sequences=True), HyperLSTM(3)]
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(RANK)]), [*primary, HyperDense(2)])
    condition = normal((3, 6))
    y = array(model({"x": tokens, "condition": condition}))
    np.testing.assert_allclose(array(model.apply(tokens, model.generate(condition))), y, atol=1e-5)
    network = kh.specialize(model, condition[1:2])
    np.testing.assert_allclose(array(network(tokens))[1], y[1], atol=1e-5)
    jit = keras.backend.backend() != "torch"  # PyTorch compiles for a long time; TensorFlow does without XLA
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile="auto" if jit else False)
    np.testing.assert_allclose(
        model.fit({"x": tokens, "condition": condition}, y, verbose=0).history["loss"], 0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be an integer of at least 1. Received: 0"),
        ({"units": 2, "dropout": 0.1}, "HyperGRU has no `dropout`: put a `keras.layers.Dropout` before the layer"),
        ({"units": 2, "stateful": True}, "HyperGRU has no `stateful`: give the layer the whole sequence. Received: st"),
        ({"units": 2, "return_state": True}, "HyperGRU has no `return_state`: .* Received: return_state=True"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperGRU(**arguments)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"x must have shape \[batch, time, features\] or \[batch, points, time, feat"):
        HyperGRU(2)(normal((3, 4)), normal((3, 2)))
