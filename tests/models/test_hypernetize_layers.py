"""hypernetize: which hyper layer replaces a layer; layers and models of every kind."""

import keras
import numpy as np
import pytest
from helpers import array
from hypernetized import Subclassed, make_generator, make_inputs, scatter
from keras import layers

import keras_hypernet as kh
from keras_hypernet.layers import Hyper, HyperDense, HyperEinsumDense


def test_a_subclassed_model_becomes_hyper(tmp_path):
    model, inputs = Subclassed(), make_inputs()
    expected = array(model(inputs["x"]))
    hyper = kh.hypernetize(model, make_generator(), basis=kh.bases.LowRank(2))
    assert [type(layer) for layer in hyper.primary.layers if layer.weights] == [Hyper]
    np.testing.assert_allclose(array(hyper(inputs)), expected, atol=1e-5)
    scatter(hyper.trainable_variables)
    np.testing.assert_array_equal(array(model(inputs["x"])), expected)
    hyper.save(tmp_path / "hyper.keras")
    loaded = keras.models.load_model(tmp_path / "hyper.keras")
    np.testing.assert_allclose(array(loaded(inputs)), array(hyper(inputs)), atol=1e-6)


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Scaled(layers.Dense):
    def call(self, x, scale=None, negate=False):
        return super().call(x) * (-scale if negate else scale)


def test_a_layer_takes_further_tensors(tmp_path):
    inputs = keras.Input((5,))
    model = keras.Model(inputs, Scaled(2, name="scaled")(inputs, scale=inputs[:, :1]))
    hyper, inputs = kh.hypernetize(model, make_generator()), make_inputs()
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    scatter(hyper.trainable_variables)
    theta = {name: array(weight) for name, weight in hyper.generate(inputs["condition"]).items()}
    product = np.einsum("bi,bio->bo", inputs["x"], theta["scaled/kernel"]) + theta["scaled/bias"]
    expected = product * inputs["x"][:, :1]
    hyper.save(tmp_path / "hyper.keras")
    for each in (hyper, keras.models.load_model(tmp_path / "hyper.keras")):
        np.testing.assert_allclose(array(each(inputs)), expected, atol=1e-5)
        np.testing.assert_allclose(array(each.apply(inputs["x"], theta)), expected, atol=1e-5)
    network = kh.specialize(hyper, inputs["condition"][1:2])
    np.testing.assert_allclose(array(network(inputs["x"][1:2])), expected[1:2], atol=1e-5)
    x = keras.Input((5,))
    negated = keras.Model(x, Scaled(2, name="scaled")(x, scale=x[:, :1], negate=True))
    with pytest.raises(ValueError, match=r"Received: a call with \['negate'\]"):
        kh.hypernetize(negated, make_generator())


def _attention():
    x = inputs = keras.Input((4, 6))
    x = x + layers.MultiHeadAttention(2, 3, name="self")(x, x)
    x = layers.MultiHeadAttention(2, 3, name="cross")(x, inputs, use_causal_mask=True)
    return keras.Model(inputs, layers.LayerNormalization()(x))


def _on_images():
    x = inputs = keras.Input((3, 2, 5))
    x = layers.Dense(4, "relu", name="dense")(x)
    x = layers.PReLU(name="prelu")(x)
    return keras.Model(inputs, layers.EinsumDense("...x,xyk->...yk", (3, 2), bias_axes="k", name="einsum")(x))


def _convolutions():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_regularizer="l2")(x)
    x = layers.GroupNormalization(2)(layers.Conv2DTranspose(4, 3, strides=2)(x))
    x = layers.SeparableConv2D(2, 3)(x)
    return keras.Model(inputs, layers.LSTM(3)(layers.Reshape((-1, 2))(x)))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (_attention, (3, 4, 6)),
        (_on_images, (3, 3, 2, 5)),
        pytest.param(_convolutions, (3, 6, 6, 2), marks=pytest.mark.full),
    ],
)
def test_layers_of_the_registry_start_as_the_model_and_are_specialized(make, shape):
    model, inputs = make(), make_inputs(shape)
    scatter(model.weights)
    hyper = kh.hypernetize(model, make_generator())
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    scatter(hyper.trainable_variables)
    expected = array(hyper(inputs))
    network = kh.specialize(hyper, inputs["condition"][1:2])
    np.testing.assert_allclose(array(network(inputs["x"][1:2])), expected[1:2], atol=1e-5)
    assert [type(layer) for layer in network.layers] == [type(layer) for layer in model.layers]
    theta = hyper.generate(inputs["condition"])
    np.testing.assert_allclose(array(hyper.apply(inputs["x"], theta)), expected, atol=1e-5)


def test_dense_of_images_is_an_einsum():
    hyper = kh.hypernetize(_on_images(), make_generator())
    kinds = {name: type(hyper.primary.get_layer(name)) for name in ("dense", "einsum", "prelu")}
    assert kinds == {"dense": HyperEinsumDense, "einsum": HyperEinsumDense, "prelu": Hyper}


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Doubled(layers.Dense):
    def call(self, x):
        return 2 * super().call(x)


@keras.saving.register_keras_serializable(package="test_hypernetize")
class HyperDoubled(HyperDense):
    keras_layer = Doubled

    def call(self, x, condition=None):
        return 2 * super().call(x, condition)


def test_a_layer_of_the_user_is_registered():
    model = keras.Sequential([keras.Input((5,)), Doubled(2, name="doubled")])
    assert type(kh.hypernetize(model, make_generator()).primary.get_layer("doubled")) is Hyper
    kh.layers.register(Doubled, HyperDoubled)
    hyper, inputs = kh.hypernetize(model, make_generator()), make_inputs()
    assert type(hyper.primary.get_layer("doubled")) is HyperDoubled
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    with pytest.raises(TypeError, match="`hyper` must be a class of hyper layers, or a function"):
        kh.layers.register(Doubled, layers.Dense)


@pytest.mark.full
@pytest.mark.parametrize("make", [keras.applications.EfficientNetB0, keras.applications.ConvNeXtTiny])
def test_adapters_of_keras_applications(make):
    model, inputs = make(weights=None, input_shape=(32, 32, 3), classes=3), make_inputs((2, 32, 32, 3))
    inputs["condition"] = inputs["condition"][:2]
    hyper = kh.hypernetize(model, make_generator(), basis=kh.bases.LowRank(8), train_base=False)
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    scatter(hyper.trainable_variables)
    expected = array(hyper(inputs))
    network = kh.specialize(hyper, inputs["condition"][1:])
    np.testing.assert_allclose(array(network(inputs["x"][1:])), expected[1:], atol=1e-5)
    assert network.count_params() == model.count_params()
