"""Properties of every layer, on every backend of Keras."""

import functools
import inspect

import keras
import numpy as np
import pytest
from cases import EACH, FEW, LAYERS, MODELS, ONE_INPUT, parametrize
from helpers import array, compiled, gradients, jax_exported, normal

import keras_hypernet as kh
from keras_hypernet.layers import ConditionedLayer, HyperLayer, KernelLayer
from keras_hypernet.layers.base import keep_mask
from keras_hypernet.layers.contraction import FIXED_AXES

pytestmark = pytest.mark.gpu

layers = parametrize(LAYERS)
# A condition for the whole batch is a constant, not an input of a model of free batch.
batched_layers = parametrize([case for case in LAYERS if case.condition_shape[0] > 1], FEW)
specializing_layers = parametrize([case for case in LAYERS if isinstance(case.make(), HyperLayer) and case.specializes])
each_layer = parametrize(LAYERS, EACH | FEW)
compiling = [case for case in LAYERS if case.compiles or keras.backend.backend() != "tensorflow"]
compiled_layers = parametrize(compiling, FEW)


def test_every_public_layer_and_model_has_a_case():
    abstract = {ConditionedLayer, HyperLayer, KernelLayer}
    public = [getattr(module, name) for module in (kh.layers, kh) for name in module.__all__]
    needed = {thing for thing in public if inspect.isclass(thing) and issubclass(thing, keras.Layer)} - abstract
    assert needed == {type(case.make()) for case in [*LAYERS, *ONE_INPUT, *MODELS]}


def _layer_inputs(case):
    x = np.random.default_rng(0).integers(0, case.ids, case.x_shape, "int32") if case.ids else normal(case.x_shape)
    return x, normal(case.condition_shape, seed=1)


@functools.cache
def _called(case):
    """A called layer, the inputs and the output, for all tests that change none of these."""
    keras.utils.set_random_seed(0)
    layer, inputs = case.make(), _layer_inputs(case)
    return layer, inputs, layer(*inputs)


def _functional(case):
    """A model with free batch size and the layer after Dense layers, whose gradients show those of the inputs."""
    x = keras.Input(case.x_shape[1:], dtype="int32" if case.ids else None)
    condition = keras.Input(case.condition_shape[1:])
    layer = case.make()
    y = layer(
        x if case.ids else keras.layers.Dense(case.x_shape[-1])(x),
        keras.layers.Dense(case.condition_shape[-1])(condition),
    )
    return keras.Model([x, condition], y), layer


@layers
def test_output_has_the_computed_shape_and_dtype(case):
    layer, _, y = _called(case)
    assert tuple(y.shape) == layer.compute_output_shape(case.x_shape, case.condition_shape)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"


@layers
def test_config_makes_the_same_layer(case):
    layer, inputs, y = _called(case)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(array(copy(*inputs)), array(y))


@layers
def test_every_constructor_argument_is_in_the_config(case):
    arguments = set(inspect.signature(type(case.make())).parameters) - {"kwargs"}
    assert arguments <= set(case.make().get_config())


@each_layer
def test_mixed_precision_computes_and_generates_in_bfloat16_near_float32(case):
    layer, inputs, y = _called(case)
    mixed = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    mixed(*inputs)
    mixed.set_weights(layer.get_weights())
    y_mixed = mixed(*inputs)
    assert keras.backend.standardize_dtype(y_mixed.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in mixed.weights} <= {"float32"}
    np.testing.assert_allclose(array(y_mixed), array(y), atol=0.05)
    generated = mixed.generate(inputs[1]).values() if isinstance(mixed, HyperLayer) else ()
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in generated} <= {"bfloat16"}


@batched_layers
def test_functional_model_takes_any_batch_and_is_saved_and_loaded(case, tmp_path):
    model, _ = _functional(case)
    inputs = _layer_inputs(case)
    y = array(model(inputs))
    for batch in (1, 3):
        part = array(model([value[:batch] for value in inputs]))
        np.testing.assert_allclose(part, y[:batch], rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(inputs)), y)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch's compiler takes seconds for each layer")
@compiled_layers
def test_a_compiled_layer_has_the_same_output(case):
    layer, inputs, y = _called(case)
    np.testing.assert_allclose(array(compiled(layer)(*inputs)), array(y), atol=1e-5)


@layers
def test_mask_of_x_passes_through(case):
    layer, inputs = case.make(), _layer_inputs(case)
    assert layer.supports_masking
    x = keras.ops.convert_to_tensor(inputs[0])
    mask = keras.ops.ones(case.x_shape[:-1], "bool")
    assert layer.compute_mask(x, mask) is (mask if case.keeps_mask else None)


@batched_layers
def test_every_weight_gets_a_gradient(case):
    model, _ = _functional(case)
    for number, variable in enumerate(model.trainable_variables):  # a generated part that starts at zero hides others
        variable.assign(variable + 0.1 * normal(variable.shape, seed=number))
    targets = np.zeros(array(model(_layer_inputs(case))).shape, "float32")
    for variable, gradient in zip(
        model.trainable_variables, gradients(model, _layer_inputs(case), targets), strict=True
    ):
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path


@specializing_layers
def test_specialized_layer_is_the_layer_under_that_condition(case):
    layer, (x, condition), _ = _called(case)
    expected = layer(x, condition[:1])
    ordinary, weights = layer.specialize(condition[:1])
    assert not isinstance(ordinary, HyperLayer)
    ordinary.build(case.x_shape)
    ordinary.set_weights(weights)
    np.testing.assert_allclose(array(ordinary(x)), array(expected), atol=1e-5)


class Unkept(HyperLayer):
    """A layer whose basis HyperLayer keeps."""

    def build(self, x_shape, condition_shape):
        self.add_basis("scale", x_shape[-1:], condition_shape[-1], "random_normal")

    def call(self, x, condition):
        return x * self.generate(condition)["scale"]


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow's")
def test_tensorflow_checkpoint_holds_every_basis(tmp_path):
    import tensorflow as tf

    layer, x, condition = Unkept(), normal((6, 7)), normal((6, 3), seed=1)
    y = array(layer(x, condition))
    path = tf.train.Checkpoint(layer=layer).save(tmp_path / "checkpoint")
    copy = Unkept()
    copy(x, condition)
    tf.train.Checkpoint(layer=copy).restore(path).assert_consumed()
    np.testing.assert_array_equal(array(copy(x, condition)), y)
    assert copy.generated_shapes == {"scale": (7,)}


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a format of JAX's")
@each_layer
def test_a_layer_is_exported_by_jax_with_free_batch_and_points(case):
    layer, (x, condition), y = _called(case)
    y = array(y)
    channels_first = x.ndim == 1 + len(layer.axes) and layer.axes[0] in FIXED_AXES
    of_condition = ("1",) if len(condition) == 1 else ("b", "p")[: condition.ndim - 1]
    free = ("b", "p")[: 1 if channels_first else x.ndim - 1], of_condition
    exported = jax_exported(lambda x, condition: layer(x, condition), (x, condition), free)
    for batch in (6, 2):
        np.testing.assert_allclose(array(exported(x[:batch], condition[:batch])), y[:batch], atol=1e-5)


@pytest.mark.regression
@pytest.mark.filterwarnings("ignore")  # PyTorch's warnings about Keras
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a compiler of PyTorch's")
def test_pytorch_compiles_keep_mask():
    import torch

    x = keras.ops.convert_to_tensor(normal((6, 7)))
    doubled = torch.compile(lambda x: keep_mask(x, lambda x: 2 * x), backend="eager")
    np.testing.assert_array_equal(array(doubled(x)), 2 * array(x))
