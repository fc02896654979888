"""Properties of every layer of one input, on every backend of Keras."""

import inspect

import keras
import numpy as np
import pytest
from cases import ONE_INPUT, parametrize
from helpers import array, compiled

pytestmark = pytest.mark.gpu
cases = parametrize(ONE_INPUT)


def _called(case):
    layer, values = case.make(), np.random.default_rng(0)
    inputs = values.normal(size=case.shape) if case.dtype == "float32" else values.integers(0, 9, case.shape)
    inputs = inputs.astype(case.dtype)
    return layer, inputs, _arrays(layer(inputs))


def _arrays(y):
    return keras.tree.map_structure(array, y)


def _assert_close(y, expected, atol=0.0):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), y, expected)


@cases
def test_output_has_the_computed_shape_and_dtype(case):
    layer, inputs, _ = _called(case)
    y, shapes = layer(inputs), layer.compute_output_shape(case.shape)
    for name, output in y.items() if isinstance(y, dict) else [(None, y)]:
        assert tuple(output.shape) == (shapes[name] if name else shapes)
        assert keras.backend.standardize_dtype(output.dtype) == "float32"


@cases
def test_config_has_every_argument_and_makes_the_same_layer(case):
    layer, inputs, y = _called(case)
    parameters = inspect.signature(type(layer)).parameters.values()
    arguments = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    assert arguments <= set(layer.get_config())
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy(inputs)
    copy.set_weights(layer.get_weights())
    _assert_close(_arrays(copy(inputs)), y)


@cases
def test_mixed_precision_computes_in_bfloat16_near_float32(case):
    layer, inputs, y = _called(case)
    mixed = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    mixed(inputs)
    mixed.set_weights(layer.get_weights())
    outputs = mixed(inputs)
    dtypes = {keras.backend.standardize_dtype(output.dtype) for output in keras.tree.flatten(outputs)}
    assert dtypes == {"bfloat16"}
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in mixed.weights} <= {"float32"}
    _assert_close(_arrays(outputs), y, atol=0.05)


@cases
def test_a_model_takes_any_batch_and_is_saved_and_loaded(case, tmp_path):
    layer, inputs, y = _called(case)
    tensor = keras.Input(case.shape[1:], dtype=case.dtype)
    model = keras.Model(tensor, layer(tensor))
    for batch in (1, 3):
        part = keras.tree.map_structure(lambda value, batch=batch: value[:batch], y)
        _assert_close(_arrays(model(inputs[:batch])), part, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    _assert_close(_arrays(loaded(inputs)), y)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch's compiler takes seconds for each layer")
@cases
def test_a_compiled_layer_has_the_same_output(case):
    layer, inputs, y = _called(case)
    _assert_close(_arrays(compiled(layer)(keras.ops.convert_to_tensor(inputs))), y, atol=1e-5)
