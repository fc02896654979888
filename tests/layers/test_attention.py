"""HyperMultiHeadAttention against plain NumPy and against the layer of Keras with the written weights."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.bases import Full, LowRank
from keras_hypernet.layers import HyperDense, HyperMultiHeadAttention

BATCH, TIME, FEATURES, RANK = 3, 4, 5, 2


def _layer(**arguments):
    return HyperMultiHeadAttention(2, 3, projection={"bias_initializer": "random_normal"}, **arguments)


def _inputs():
    return normal((BATCH, TIME, FEATURES)), normal((BATCH, RANK), seed=1)


def _numpy(x, value, weights, mask):
    """One sample in float64, one head after another; mask `[T, S]`."""
    q, k, v = (
        np.einsum("tc,cnh->tnh", tensor, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]
        for name, tensor in (("query", x), ("key", value), ("value", value))
    )
    heads = []
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head].T / np.sqrt(q.shape[-1])
        scores = np.exp(np.where(mask, scores, -np.inf))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, head])
    kernel = weights["attention_output/kernel"]
    return np.einsum("tnh,nhd->td", np.stack(heads, axis=1), kernel) + weights["attention_output/bias"]


def _row(weights, row):
    return {name: array(weight)[row] for name, weight in weights.items()}


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_matches_numpy(causal):
    layer, (x, z) = _layer(use_causal_mask=causal, value_dim=4), _inputs()
    y, weights = array(layer(x, z)), layer.generate(z)
    mask = np.tril(np.ones((TIME, TIME), "bool")) | (not causal)
    for row in range(BATCH):
        np.testing.assert_allclose(y[row], _numpy(x[row], x[row], _row(weights, row), mask), atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, weights)), y, atol=1e-5)
    first = {name: weight[:1] for name, weight in weights.items()}
    np.testing.assert_allclose(array(layer.apply(x, first)), array(layer(x, z[:1])), atol=1e-5)


def test_dropout_draws_for_each_x_and_keeps_the_mean():
    rate, rows = 0.5, 4000
    layer, (x, z) = _layer(dropout=rate, seed=3), _inputs()
    alike = np.repeat(x[:1], rows, axis=0)
    expected = array(layer(x[:1], z[:1]))[0]
    np.testing.assert_allclose(array(layer(alike, z[:1], training=False))[-1], expected, atol=1e-6)
    dropped = array(layer(alike, z[:1], training=True))
    assert len(np.unique(dropped[:, 0, 0])) > 10
    # The output is linear in the attention that is dropped, so its mean is the output without dropout.
    error = dropped.std(axis=0) / np.sqrt(rows)
    assert np.all(np.abs(dropped.mean(axis=0) - expected) < 5 * error)
    ordinary, weights = layer.specialize(z[:1])
    ordinary.build((None, TIME, FEATURES))
    ordinary.set_weights(weights)
    np.testing.assert_allclose(array(ordinary(x[:1]))[0], expected, atol=1e-5)
    assert ordinary.attention.get_config()["dropout"] == rate
    again = HyperMultiHeadAttention.from_config(layer.get_config())
    assert (again.dropout, again.seed) == (rate, 3)


def test_attention_to_other_values_matches_numpy_and_keras():
    layer, (x, z), value = _layer(output_shape=2), _inputs(), normal((BATCH, 6, 7), seed=2)
    mask = np.random.default_rng(0).integers(0, 2, (BATCH, TIME, 6)).astype("bool") | (np.arange(6) == 0)
    padding = np.array([[1, 1, 1, 1, 0, 0], [1] * 6, [1, 1, 0, 0, 0, 0]], "bool")
    y = array(layer(x, z, value=value, attention_mask=mask, value_mask=padding))
    weights = layer.generate(z)
    assert y.shape == (BATCH, TIME, 2)
    for row in range(BATCH):
        ordinary = keras.layers.MultiHeadAttention(2, 3, output_shape=2)
        ordinary.build((1, TIME, FEATURES), (1, 6, 7))
        assert [weight.path.split("/", 1)[1] for weight in ordinary.weights] == list(weights)
        ordinary.set_weights(list(_row(weights, row).values()))
        one = slice(row, row + 1)
        expected = ordinary(x[one], value[one], attention_mask=mask[one], value_mask=padding[one])
        np.testing.assert_allclose(y[row], array(expected)[0], atol=1e-5)
        both = mask[row] & padding[row]
        np.testing.assert_allclose(y[row], _numpy(x[row], value[row], _row(weights, row), both), atol=1e-5)


def test_gradients_are_those_of_finite_differences():
    x, z = _inputs()
    inputs = keras.Input((None, FEATURES)), keras.Input((RANK,))
    layer = HyperMultiHeadAttention(2, 3, projection={"basis": LowRank(2), "bias_initializer": "random_normal"})
    model = keras.Model(inputs, layer(*inputs))
    everything = np.ones((TIME, TIME), "bool")

    def loss():
        weights = layer.generate(z)
        return np.mean(np.square([_numpy(x[b], x[b], _row(weights, b), everything) for b in range(BATCH)]))

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
    received = [gradient.flat[1] for gradient in gradients(model, [x, z], np.zeros(x.shape, "float32"))]
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(received, expected, rtol=2e-2, atol=5e-5)


def test_a_model_of_padded_tokens_specializes_and_applies_weights():
    tokens = np.array([[1, 2, 0], [3, 4, 1], [4, 1, 2]], "int32")
    primary = [keras.layers.Embedding(5, 4, mask_zero=True), _layer(), HyperDense(2)]
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(RANK)]), primary)
    condition = normal((3, 6))
    y = array(model({"x": tokens, "condition": condition}))
    np.testing.assert_allclose(array(model.apply(tokens, model.generate(condition))), y, atol=1e-5)
    assert model.num_parameters()["primary"] == 20 + 3 * (4 * 6 + 6) + 6 * 4 + 4 + 4 * 2 + 2
    network = kh.specialize(model, condition[:1])
    np.testing.assert_allclose(array(network(tokens))[0, :2], y[0, :2], atol=1e-5)
    z, embedded = model.encode(condition), array(primary[0](tokens))
    own = _row(primary[1].generate(z), 0)
    expected = _numpy(embedded[0], embedded[0], own, np.tile([True, True, False], (3, 1)))
    first = primary[1](primary[0](tokens), z)
    np.testing.assert_allclose(array(first)[0, :2], expected[:2], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0, "key_dim": 3}, "`num_heads` must be an integer of at least 1. Received: 0"),
        ({"num_heads": 2, "key_dim": 3, "value_dim": 0}, "`value_dim` must be an integer of at least 1. Received: 0"),
        ({"num_heads": 2, "key_dim": 3, "output_shape": (2, 0)}, "`output_shape` must be an integer of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperMultiHeadAttention(**arguments)


def test_an_array_is_not_the_constant_of_all_projections():
    with pytest.raises(ValueError, match="cannot be the constant term of all four projections"):
        HyperMultiHeadAttention(2, 3, projection={"basis": Full(constant=normal((5, 2, 3)))})


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"x must have shape \[batch, time, features\]. Received: x of shape .3, 5."):
        _layer()(normal((3, 5)), normal((3, 2)))
