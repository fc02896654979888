"""Layers and models predict under Keras's OpenVINO backend: `KERAS_BACKEND=openvino pytest -k openvino`."""

import functools

import keras
import numpy as np
import pytest
from cases import LAYERS, MODELS
from helpers import normal, pixels

from keras_hypernet.bases import Full
from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer, HyperDense, StandardizeImage

if keras.backend.backend() != "openvino":
    pytest.skip("the backend is not OpenVINO", allow_module_level=True)

pytestmark = pytest.mark.regression
ACTIVATIONS = {"linear": np.positive, "tanh": np.tanh, "relu": functools.partial(np.maximum, 0)}


@pytest.fixture(autouse=True)
def _float32(monkeypatch):
    """Keras leaves the precision to OpenVINO, which computes in bfloat16 where the processor can."""
    import openvino

    compile_model = functools.partial(openvino.compile_model, config={"INFERENCE_PRECISION_HINT": "f32"})
    monkeypatch.setattr(openvino, "compile_model", compile_model)


def _numpy(layer, x, z=None):
    """A layer in plain NumPy, on x `[B, ...]` and, if it takes one, a condition `[B, R]`."""
    if isinstance(layer, StandardizeImage):
        return (x / 255 - layer.mean) / layer.stddev
    if isinstance(layer, keras.layers.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(layer, ConcatenateCondition):
        return np.concatenate([x, np.broadcast_to(_points(z, x), (*x.shape[:-1], z.shape[-1]))], axis=-1)
    kernel, bias = [*layer.get_weights(), np.zeros(layer.units)][:2]
    if isinstance(layer, HyperDense):
        extended = np.concatenate([z, np.ones((len(z), 1))], axis=1)
        if layer.kernel_source == "generated":
            kernel = np.einsum("br,iro->bio", extended, kernel)
        if layer.bias_source == "generated" and layer.use_bias:
            bias = _points(extended @ bias, x)
    product = "b...i,bio->b...o" if kernel.ndim == 3 else "b...i,io->b...o"
    return ACTIVATIONS[layer.activation.__name__](np.einsum(product, x, kernel) + bias)


def _is_known(case):
    """Whether `_numpy` knows the layer of a case."""
    layer = case.make()
    if isinstance(layer, HyperDense):
        return repr(layer.basis) == repr(Full()) and len(case.condition_shape) == 2
    return isinstance(layer, ConcatenateCondition)


def _points(values, x):
    """Values `[B, n]` as they are joined to x `[B, n]` or `[B, P, n]`."""
    return values[:, np.newaxis] if x.ndim == 3 else values


def _through(layers, x, z=None):
    return functools.reduce(lambda x, layer: _numpy(layer, x, z), layers, x)


@pytest.mark.parametrize("case", [case for case in LAYERS if _is_known(case)], ids=str)
def test_a_layer_predicts_what_numpy_computes(case):
    x, condition = normal(case.x_shape), normal(case.condition_shape, seed=1)
    layer, inputs = case.make(), keras.Input(case.x_shape[1:])
    if len(condition) == 1:  # for the whole batch: a constant
        model, arguments = keras.Model(inputs, layer(inputs, keras.ops.convert_to_tensor(condition))), x
    else:
        second = keras.Input(case.condition_shape[1:])
        model, arguments = keras.Model([inputs, second], layer(inputs, second)), [x, condition]
    expected = _numpy(layer, x, np.repeat(condition, len(x) // len(condition), axis=0))
    np.testing.assert_allclose(model.predict(arguments, verbose=0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in MODELS if case.name != "hypernetwork_convolution"], ids=str)
def test_a_model_predicts_what_numpy_computes(case):
    draw = pixels if case.dtype == "uint8" else normal
    x, condition = draw((6, *case.x_shape)), draw((6, *case.condition_shape), seed=1)
    model = case.make()
    y = model.predict({"x": x, "condition": condition}, batch_size=4, verbose=0)
    members = len(case.condition_shape) - len(model.encoder.input_shape[1:])  # 1 where a condition is a set
    z = _through(model.encoder.layers, condition.reshape(-1, *condition.shape[1 + members :]))
    z = z.reshape(*condition.shape[: 1 + members], -1).mean(axis=1) if members else z
    assert any(isinstance(layer, ConditionedLayer) for layer in model.primary)
    np.testing.assert_allclose(y, _through(model.primary, x, z), rtol=1e-5, atol=1e-5)
