"""Properties of every layer and every model, on every backend of Keras."""

import inspect

import keras
import numpy as np
import pytest
from cases import LAYERS, MODELS
from helpers import array, gradients, normal, pixels

import keras_hypernet as kh
from keras_hypernet.layers import ConditionedLayer, HyperLayer, KernelLayer
from keras_hypernet.layers.base import keep_mask
from keras_hypernet.layers.contraction import FIXED_AXES
from keras_hypernet.models import ConditionalModel

# Slow properties: these cases run in plain tests, all cases with --full.
FEW = {"dense", "dense_points_materialised", "concatenate", "hypernetwork", "embedding_images", "neural_process_points"}


def _cases(cases, few=False):
    full = [pytest.mark.full]
    params = [pytest.param(case, marks=full if few and case.name not in FEW else ()) for case in cases]
    return pytest.mark.parametrize("case", params, ids=str)


layers = _cases(LAYERS)
# A condition for the whole batch is a constant, not an input of a model of free batch.
batched_layers = _cases([case for case in LAYERS if case.condition_shape[0] > 1], few=True)
hyper_layers = _cases([case for case in LAYERS if isinstance(case.make(), HyperLayer)])
specializing_layers = _cases([case for case in LAYERS if isinstance(case.make(), HyperLayer) and case.specializes])
few_layers = _cases(LAYERS, few=True)
models = _cases(MODELS)
few_models = _cases(MODELS, few=True)


def test_every_public_layer_and_model_has_a_case():
    abstract = {ConditionedLayer, HyperLayer, KernelLayer}
    public = [getattr(module, name) for module in (kh.layers, kh) for name in module.__all__]
    needed = {
        thing
        for thing in public
        if inspect.isclass(thing) and issubclass(thing, (ConditionedLayer, ConditionalModel)) and thing not in abstract
    }
    assert needed == {type(case.make()) for case in [*LAYERS, *MODELS]}


def _layer_inputs(case):
    x = np.random.default_rng(0).integers(0, case.ids, case.x_shape, "int32") if case.ids else normal(case.x_shape)
    return x, normal(case.condition_shape, seed=1)


def _model_inputs(case, batch=6):
    draw = pixels if case.dtype == "uint8" else normal
    return {"x": draw((batch, *case.x_shape)), "condition": draw((batch, *case.condition_shape), seed=1)}


def _model_calls(case):
    """Inputs of a model; for a neural process also inputs with a mask."""
    inputs = _model_inputs(case)
    yield inputs
    if "mask" in case.make().optional_inputs:
        yield {**inputs, "mask": np.arange(case.condition_shape[0]) < np.array([[1], [2], [3], [4], [2], [1]])}


def _functional(case):
    """A model of free batch with the layer after Dense layers, whose gradients show those of the inputs."""
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
    layer, inputs = case.make(), _layer_inputs(case)
    y = layer(*inputs)
    assert tuple(y.shape) == layer.compute_output_shape(case.x_shape, case.condition_shape)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"


@layers
def test_config_makes_the_same_layer(case):
    layer, inputs = case.make(), _layer_inputs(case)
    y = layer(*inputs)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(array(copy(*inputs)), array(y))


@layers
def test_every_constructor_argument_is_in_the_config(case):
    arguments = set(inspect.signature(type(case.make())).parameters) - {"kwargs"}
    assert arguments <= set(case.make().get_config())


@layers
def test_mixed_precision_computes_in_bfloat16_near_float32(case):
    layer, inputs = case.make(), _layer_inputs(case)
    y = layer(*inputs)
    mixed = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    mixed(*inputs)
    mixed.set_weights(layer.get_weights())
    y_mixed = mixed(*inputs)
    assert keras.backend.standardize_dtype(y_mixed.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in mixed.weights} <= {"float32"}
    np.testing.assert_allclose(array(y_mixed), array(y), atol=0.05)


@hyper_layers
def test_mixed_precision_generates_bfloat16(case):
    config = {**case.make().get_config(), "dtype": "mixed_bfloat16"}
    layer, inputs = type(case.make()).from_config(config), _layer_inputs(case)
    layer(*inputs)
    generated = layer.generate(inputs[1])
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in generated.values()} == {"bfloat16"}


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
@few_layers
def test_a_compiled_layer_has_the_same_output(case):
    layer, inputs = case.make(), _layer_inputs(case)
    y = layer(*inputs)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(layer.__call__, jit_compile=True)
    else:
        import jax

        compiled = jax.jit(lambda x, condition: layer(x, condition))
    np.testing.assert_allclose(array(compiled(*inputs)), array(y), atol=1e-5)


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
    layer, (x, condition) = case.make(), _layer_inputs(case)
    expected = layer(x, condition[:1])
    ordinary, weights = layer.specialize(condition[:1])
    assert not isinstance(ordinary, HyperLayer)
    ordinary.build(case.x_shape)
    ordinary.set_weights(weights)
    np.testing.assert_allclose(array(ordinary(x)), array(expected), atol=1e-5)


@few_models
def test_model_is_saved_and_loaded(case, tmp_path):
    model, inputs = case.make(), _model_inputs(case)
    y = array(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(inputs)), y)
    assert loaded.num_parameters() == model.num_parameters()


@models
def test_model_output_has_the_computed_shape(case):
    model, inputs = case.make(), _model_inputs(case)
    shapes = {name: value.shape for name, value in inputs.items()}
    assert tuple(model(inputs).shape) == model.compute_output_shape(shapes)


@models
def test_model_takes_a_pair_as_well_as_a_dict(case):
    model, inputs = case.make(), _model_inputs(case)
    np.testing.assert_array_equal(array(model((inputs["x"], inputs["condition"]))), array(model(inputs)))


@few_models
def test_model_fits_and_predicts_any_batch(case):
    model, inputs = case.make(), _model_inputs(case)
    targets = normal(tuple(model(inputs).shape))
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    losses = model.fit(inputs, targets, batch_size=4, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.predict(inputs, batch_size=5, verbose=0).shape == targets.shape


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow's")
@few_models
def test_tensorflow_checkpoint_holds_every_weight(case, tmp_path):
    import tensorflow as tf

    model, inputs = case.make(), _model_inputs(case)
    y = array(model(inputs))
    path = tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")
    saved = [name for name, _ in tf.train.list_variables(path) if name.startswith("model/")]
    assert len(saved) == len(model.weights)
    built, unbuilt = case.make(), case.make()
    built(inputs)
    for copy in (built, unbuilt):
        status = tf.train.Checkpoint(model=copy).restore(path)
        np.testing.assert_array_equal(array(copy(inputs)), y)
        status.assert_consumed()


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


def _jax_exported(function, arrays, free):
    """A function exported by `jax.export`; `free` names the free first dimensions of each array."""
    import jax

    scope, specs = jax.export.SymbolicScope(), []
    for value, names in zip(arrays, free, strict=True):
        shape = jax.export.symbolic_shape(", ".join([*names, *map(str, value.shape[len(names) :])]), scope=scope)
        specs.append(jax.ShapeDtypeStruct(shape, value.dtype))
    return jax.export.export(jax.jit(function))(*specs).call


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a format of JAX's")
@layers
def test_a_layer_is_exported_by_jax_with_free_batch_and_points(case):
    layer, (x, condition) = case.make(), _layer_inputs(case)
    y = array(layer(x, condition))
    channels_first = x.ndim == 1 + len(layer.axes) and layer.axes[0] in FIXED_AXES
    of_condition = ("1",) if len(condition) == 1 else ("b", "p")[: condition.ndim - 1]
    free = ("b", "p")[: 1 if channels_first else x.ndim - 1], of_condition
    exported = _jax_exported(lambda x, condition: layer(x, condition), (x, condition), free)
    for batch in (6, 2):
        np.testing.assert_allclose(array(exported(x[:batch], condition[:batch])), y[:batch], atol=1e-5)


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a format of JAX's")
@models
def test_a_model_is_exported_by_jax_with_free_batch_points_and_members(case):
    model = case.make()
    for inputs in _model_calls(case):
        y = array(model(inputs))
        free = {"x": ("b", "p") if inputs["x"].ndim == 3 else ("b",), "condition": ("b",), "mask": ("b", "d")}
        if model.optional_inputs:
            free["condition"] = ("b", "d")
        exported = _jax_exported(
            lambda *arrays, names=tuple(inputs): model(dict(zip(names, arrays, strict=True))),
            tuple(inputs.values()),
            [free[name] for name in inputs],
        )
        for batch in (6, 2):
            part = array(exported(*(value[:batch] for value in inputs.values())))
            np.testing.assert_allclose(part, y[:batch], atol=1e-5)


@pytest.mark.regression
@pytest.mark.filterwarnings("ignore")  # PyTorch's warnings about Keras
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a compiler of PyTorch's")
def test_pytorch_compiles_keep_mask():
    import torch

    x = keras.ops.convert_to_tensor(normal((6, 7)))
    doubled = torch.compile(lambda x: keep_mask(x, lambda x: 2 * x), backend="eager")
    np.testing.assert_array_equal(array(doubled(x)), 2 * array(x))


@pytest.mark.regression
@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a compiler of PyTorch's")
@pytest.mark.parametrize("name", ["embedding", "neural_process"])
def test_pytorch_compiles_a_model(name):
    (case,) = (case for case in MODELS if case.name == name)
    *_, inputs = _model_calls(case)
    model = case.make()
    y = array(model(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=True)
    model.fit(inputs, np.zeros_like(y), verbose=0)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), y, atol=1e-6)


class Probe(keras.layers.Layer):
    """Records the values of `training`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.told = set()  # JAX's first step also traces the model for its shapes, with training=False

    def call(self, inputs, training=None):
        self.told.add(training)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


@few_models
def test_layers_of_both_parts_receive_training(case):
    """Dropout and BatchNormalization need it."""
    model, inputs = case.make(), _model_inputs(case)
    probes = Probe(), Probe()
    model.encoder.add(probes[0])
    model.primary.append(probes[1])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    targets = normal(model.compute_output_shape({name: value.shape for name, value in inputs.items()}))
    for probe in probes:
        probe.told.clear()
    model.train_on_batch(inputs, targets)
    assert all(True in probe.told for probe in probes)
    for probe in probes:
        probe.told.clear()
    model.predict(inputs, verbose=0)
    assert not any(True in probe.told for probe in probes)


@few_models
def test_specialized_model_is_the_model_under_that_condition(case, tmp_path):
    model, inputs = case.make(), _model_inputs(case)
    model(inputs)
    condition = inputs["condition"][:1]
    expected = array(model({"x": inputs["x"], "condition": np.repeat(condition, 6, axis=0)}))
    network = kh.specialize(model, condition)
    np.testing.assert_allclose(array(network(inputs["x"])), expected, atol=1e-5)
    assert not any(isinstance(layer, kh.layers.ConditionedLayer) for layer in network.layers)
    network.save(tmp_path / "g.keras")
    loaded = keras.saving.load_model(tmp_path / "g.keras", safe_mode=True)
    np.testing.assert_allclose(array(loaded(inputs["x"])), expected, atol=1e-5)


@models
def test_generated_weights_are_applied_to_many_x(case):
    model, inputs = case.make(), _model_inputs(case)
    expected = array(model(inputs))
    weights = model.generate(inputs["condition"])
    assert weights
    assert all(weight.shape[0] == 6 for weight in weights.values())
    np.testing.assert_allclose(array(model.apply(inputs["x"], weights)), expected, atol=1e-5)
    first = {name: weight[:1] for name, weight in weights.items()}
    same = {"x": inputs["x"], "condition": np.repeat(inputs["condition"][:1], 6, axis=0)}
    np.testing.assert_allclose(array(model.apply(inputs["x"], first)), array(model(same)), atol=1e-5)
    with pytest.raises(ValueError, match="`weights` must be those that `generate` returns: .* Received: .'other"):
        model.apply(inputs["x"], {"other/kernel": inputs["x"]})
