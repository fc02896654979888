"""specialize, of models whose layers were changed by Keras beforehand, and what Keras makes of its network."""

import keras
import numpy as np
import pytest
from helpers import array, normal

import keras_hypernet as kh
from keras_hypernet.layers import HyperDense

pytestmark = [
    pytest.mark.regression,
    # Keras warns of every layer that stays as it is.
    pytest.mark.filterwarnings("ignore:Layer (InputLayer|ConcatenateCondition) does not have a `quantize`:UserWarning"),
]


def _inputs():
    return {"x": normal((6, 7)), "condition": normal((6, 4), seed=1)}


def _dense(units, activation=None):
    return keras.layers.Dense(units, activation, bias_initializer="random_normal")


def _embedding_method():
    model = kh.EmbeddingMethod(keras.Sequential([_dense(3)]), [_dense(5, "tanh"), _dense(2)])
    model(_inputs())
    return model


def _hypernetwork():
    model = kh.Hypernetwork(keras.Sequential([_dense(3)]), [_dense(6, "tanh"), HyperDense(5, "tanh"), HyperDense(2)])
    model(_inputs())
    return model


def _expected(model):
    """The outputs for all x under the first condition."""
    inputs = _inputs()
    return array(model({"x": inputs["x"], "condition": np.repeat(inputs["condition"][:1], 6, axis=0)}))


def _check(model, **tolerance):
    network = kh.specialize(model, _inputs()["condition"][:1])
    np.testing.assert_allclose(array(network(_inputs()["x"])), _expected(model), **tolerance)
    return network


@pytest.mark.parametrize("make", [_embedding_method, _hypernetwork])
def test_layers_with_lora_are_specialized(make):
    model = make()
    without = _expected(model)
    for number, layer in enumerate(layer for layer in model.primary if isinstance(layer, keras.layers.Dense)):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(normal(layer.lora_kernel_b.shape, seed=number))  # zero to begin with
    assert np.abs(_expected(model) - without).max() > 0.01
    _check(model, rtol=1e-5, atol=1e-5)
    inputs = _inputs()
    applied = model.apply(inputs["x"], model.generate(inputs["condition"]))
    np.testing.assert_allclose(array(applied), array(model(inputs)), rtol=1e-5, atol=1e-5)


def test_layers_that_were_quantized_are_specialized():
    model = _hypernetwork()
    expected = _expected(model)
    with pytest.warns(UserWarning, match="Layer HyperDense does not have a `quantize` method"):
        model.quantize("int8")
    assert all(layer.quantization_mode == "int8" for layer in (model.generator.layers[0], model.primary[0]))
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.primary[1].weights} == {"float32"}
    np.testing.assert_allclose(_expected(model), expected, atol=0.1)
    _check(model, atol=1e-5)


def test_what_joins_the_condition_is_not_quantized_beforehand():
    model = _embedding_method()
    expected = _expected(model)
    model.quantize("int8")
    np.testing.assert_allclose(_expected(model), expected, atol=0.1)
    condition = _inputs()["condition"]
    message = "Received: a Dense quantized to int8; quantize what `specialize` returns instead"
    for use in (model.generate, lambda condition: kh.specialize(model, condition[:1])):
        with pytest.raises(ValueError, match=message):
            use(condition)


@pytest.mark.parametrize("make", [_embedding_method, _hypernetwork])
def test_a_specialized_network_is_quantized(make, tmp_path):
    model = make()
    network = _check(model, atol=1e-5)
    network.quantize("int8")
    kernels = [layer.kernel for layer in network.layers]
    assert {keras.backend.standardize_dtype(kernel.dtype) for kernel in kernels} == {"int8"}
    x, expected = _inputs()["x"], _expected(model)
    np.testing.assert_allclose(network.predict(x, verbose=0), expected, atol=0.05 * np.abs(expected).max())
    network.save(tmp_path / "g.keras")
    loaded = keras.saving.load_model(tmp_path / "g.keras")
    np.testing.assert_allclose(array(loaded(x)), array(network(x)), atol=1e-6)
