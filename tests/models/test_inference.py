"""Random layers are active only in training: outside of training, a model always computes what `predict` returns."""

import keras
import numpy as np
import pytest
from helpers import array, mostly_full, pixels

import keras_hypernet as kh
from keras_hypernet.layers import ConcatenateCondition, HyperDense, StandardizeImage

IMAGE = (4, 4, 1)
pytestmark = pytest.mark.regression
methods = pytest.mark.parametrize("method", mostly_full(["hyper", "embed", "process"], "hyper", "process"))


def _random_layers():
    image = [StandardizeImage(), keras.layers.RandomFlip(), keras.layers.GaussianNoise(1.0), keras.layers.Flatten()]
    return [*image, keras.layers.Dropout(0.5)]


def _model(method):
    image = keras.Input(IMAGE, dtype="uint8")
    encoder = keras.Sequential([image, *_random_layers(), keras.layers.Dense(3, "tanh")])
    if method == "hyper":
        primary = [HyperDense(4, "tanh"), keras.layers.AlphaDropout(0.5), HyperDense(2, name="value")]
        return kh.Hypernetwork(encoder, [*_random_layers(), *primary])
    hidden = keras.layers.Dense(4, "tanh")
    primary = [ConcatenateCondition(), hidden, keras.layers.AlphaDropout(0.5), keras.layers.Dense(2, name="value")]
    model = kh.EmbeddingMethod if method == "embed" else kh.ConditionalNeuralProcess
    return model(encoder, [*_random_layers(), *primary])


def _inputs(method):
    members = (3,) if method == "process" else ()
    return {"x": pixels((5, *IMAGE)), "condition": pixels((5, *members, *IMAGE), seed=1)}


@methods
def test_all_that_a_model_computes_is_what_it_predicts(method):
    model, inputs = _model(method), _inputs(method)
    expected = model.predict(inputs, verbose=0)
    x, condition = inputs["x"], inputs["condition"]
    ways = {
        "call": lambda: model(inputs),
        "call without an answer": lambda: model(inputs, training=None),
        "apply": lambda: model.apply(x, model.generate(condition)),
        "apply_encoded": lambda: model.apply_encoded(x, model.encode(condition)),
        "specialize": lambda: kh.specialize(model, condition[:1])(x, training=False)[:1],
    }
    for name, compute in ways.items():
        first, second = array(compute()), array(compute())
        np.testing.assert_array_equal(first, second, err_msg=name)
        np.testing.assert_allclose(first, expected[: len(first)], rtol=1e-5, atol=1e-5, err_msg=name)
    assert np.abs(array(model(inputs, training=True)) - expected).max() > 0.01
    assert np.abs(array(model.encode(condition, training=True)) - array(model.encode(condition))).max() > 0.01


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="serving is TensorFlow's")
@methods
def test_all_that_is_exported_is_what_the_model_predicts(method, tmp_path):
    import tensorflow as tf

    model, inputs = _model(method), _inputs(method)
    expected = model.predict(inputs, verbose=0)
    x, condition = (tf.constant(inputs[name]) for name in ("x", "condition"))
    served = tf.saved_model.load(str(kh.export(model, tmp_path, "whole"))).signatures
    first = served["generate_weights" if method == "hyper" else "embed"]
    alone = tf.saved_model.load(str(kh.export(kh.specialize(model, condition[:1]), tmp_path, "one"))).signatures
    for _ in range(2):
        by_halves = served["apply"](x=x, **first(condition=condition))
        for outputs in (served["serving_default"](x=x, condition=condition), by_halves):
            np.testing.assert_allclose(outputs["value"], expected, rtol=1e-5, atol=1e-5)
        outputs = alone["serving_default"](x=x[:1])
        np.testing.assert_allclose(outputs["value"], expected[:1], rtol=1e-5, atol=1e-5)
