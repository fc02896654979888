"""A user's functional models of hyper layers: generate, apply and specialize; and weights as values."""

import keras
import numpy as np
import pytest
from helpers import array, normal
from keras import layers
from wired import wired

import keras_hypernet as kh
from keras_hypernet.layers import HyperDense
from keras_hypernet.models import as_hypernetwork, average, interpolate

X, CONDITION = {"a": normal((3, 5)), "b": normal((3, 2), seed=1)}, normal((3, 4), seed=2)


@pytest.fixture(scope="module")
def model():
    return wired()


def _equal(received, expected):
    assert set(received) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(array(received[name]), array(values), atol=1e-6)


def test_a_model_wired_by_hand_is_a_hypernetwork_of_the_same_layers(model, tmp_path):
    hyper, expected = as_hypernetwork(model), model({**X, "condition": CONDITION})
    _equal(hyper({"x": X, "condition": CONDITION}), expected)
    assert {id(weight) for weight in hyper.weights} == {id(weight) for weight in model.weights}
    theta = hyper.generate(CONDITION)
    shapes = {name: tuple(weight.shape[1:]) for name, weight in theta.items()}
    assert shapes == {
        **{"joined/condition": (3,), "sum/condition": (3,)},
        **{"first/kernel": (5, 6), "first/bias": (6,), "inside/kernel": (6, 4), "inside/bias": (4,)},
        **{"last/kernel": (4, 1), "last/bias": (1,)},
    }
    _equal(hyper.apply(X, theta), expected)
    hyper.save(tmp_path / "hyper.keras")
    _equal(keras.models.load_model(tmp_path / "hyper.keras").apply(X, theta), expected)


def test_one_condition_for_all_x(model):
    hyper, same = as_hypernetwork(model), np.repeat(CONDITION[:1], 3, axis=0)
    expected = model({**X, "condition": same})
    _equal(hyper({"x": X, "condition": CONDITION[:1]}), expected)
    _equal(hyper.apply(X, hyper.generate(CONDITION[:1])), expected)


def test_a_model_wired_by_hand_is_specialized(model, tmp_path):
    expected = model({**X, "condition": np.repeat(CONDITION[1:2], 3, axis=0)})
    network = kh.specialize(model, CONDITION[1:2])
    _equal(network(X), expected)
    network.save(tmp_path / "g.keras")
    _equal(keras.models.load_model(tmp_path / "g.keras")(X), expected)


def test_other_models_are_refused():
    x, z = keras.Input((5,), name="x"), keras.Input((4,), name="z")
    for other in (keras.Sequential([x, layers.Dense(2)]), keras.Model([x, z], HyperDense(2)(x, z))):
        with pytest.raises(TypeError, match="an input named 'condition'"):
            kh.specialize(other, CONDITION[:1])
    condition = keras.Input((5,), name="condition")
    of_x = keras.Model([x, condition], layers.add([HyperDense(5)(x, x), condition]))
    for function in (as_hypernetwork(of_x).generate, lambda one: kh.specialize(of_x, one)):
        with pytest.raises(ValueError, match="Layer 'hyper_dense.*condition|made by the generator"):
            function(normal((1, 5)))


def test_weights_are_interpolated_and_averaged(model):
    hyper = as_hypernetwork(model)
    a, b = (hyper.generate(CONDITION[row : row + 1]) for row in (0, 1))
    between, mean = interpolate(a, b, 0.25), average([a, b, b])
    batch = interpolate(hyper.generate(CONDITION), b, np.array([0.0, 1.0, 2.0]))
    for name in a:
        first, second = array(a[name]), array(b[name])
        np.testing.assert_allclose(array(between[name]), 0.75 * first + 0.25 * second, atol=1e-6)
        np.testing.assert_allclose(array(mean[name]), (first + 2 * second) / 3, atol=1e-6)
        third = array(hyper.generate(CONDITION)[name])[2:]
        np.testing.assert_allclose(array(batch[name]), np.concatenate([first, second, 2 * second - third]), atol=1e-5)
    np.testing.assert_allclose(array(hyper.apply(X, batch)["u"])[:1], array(hyper.apply(X, a)["u"])[:1], atol=1e-6)
    with pytest.raises(ValueError, match=r"of one model returns. Received weights named \[\]"):
        average([])
    with pytest.raises(ValueError, match=r"Received 'last/bias' of the shapes \(1,\) and \(2,\)"):
        interpolate({"last/bias": normal((1, 1))}, {"last/bias": normal((1, 2))}, 0.5)
