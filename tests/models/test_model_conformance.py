"""Properties of every model, on every backend of Keras."""

import functools

import keras
import numpy as np
import pytest
from cases import FEW, MODELS, parametrize
from helpers import array, jax_exported, normal, pixels

import keras_hypernet as kh

pytestmark = pytest.mark.gpu

models = parametrize(MODELS)
few_models = parametrize(MODELS, FEW)


def _model_inputs(case, batch=6):
    draw = pixels if case.dtype == "uint8" else normal
    return {"x": draw((batch, *case.x_shape)), "condition": draw((batch, *case.condition_shape), seed=1)}


@functools.cache
def _called(case):
    """A model that has been called, the inputs and the output, for all tests that change none of them."""
    keras.utils.set_random_seed(0)
    model, inputs = case.make(), _model_inputs(case)
    return model, inputs, array(model(inputs))


def _model_calls(case):
    """Inputs of a model; for a neural process also inputs with a mask."""
    inputs = _model_inputs(case)
    yield inputs
    if "mask" in case.make().optional_inputs:
        yield {**inputs, "mask": np.arange(case.condition_shape[0]) < np.array([[1], [2], [3], [4], [2], [1]])}


@few_models
def test_model_is_saved_and_loaded(case, tmp_path):
    model, inputs = case.make(), _model_inputs(case)
    y = array(model(inputs))
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    of_file = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for loaded in (of_file, type(model).from_preset(tmp_path / "preset")):
        np.testing.assert_array_equal(array(loaded(inputs)), y)
        assert loaded.num_parameters() == model.num_parameters()


@models
def test_model_output_has_the_computed_shape(case):
    model, inputs, y = _called(case)
    shapes = {name: value.shape for name, value in inputs.items()}
    assert y.shape == model.compute_output_shape(shapes)


@models
def test_model_takes_a_pair_as_well_as_a_dict(case):
    model, inputs, y = _called(case)
    np.testing.assert_array_equal(array(model((inputs["x"], inputs["condition"]))), y)


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
        exported = jax_exported(
            lambda *arrays, names=tuple(inputs): model(dict(zip(names, arrays, strict=True))),
            tuple(inputs.values()),
            [free[name] for name in inputs],
        )
        for batch in (6, 2):
            part = array(exported(*(value[:batch] for value in inputs.values())))
            np.testing.assert_allclose(part, y[:batch], atol=1e-5)


@pytest.mark.regression
@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a compiler of PyTorch's")
def test_pytorch_compiles_a_model():
    (case,) = (case for case in MODELS if case.name == "neural_process")  # an embedding method, too
    *_, inputs = _model_calls(case)
    model = case.make()
    y = array(model(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=True)
    losses = model.fit(inputs, np.zeros_like(y), verbose=0).history["loss"]
    assert losses == pytest.approx([np.mean(y**2)], rel=1e-5)  # of the compiled step; each compilation takes a minute


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
    if isinstance(model.primary, keras.Model):
        primary = keras.Model(model.primary.input, probes[1](model.primary.output))
    else:
        primary = [*model.primary, probes[1]]
    model = type(model)(model.encoder, primary)
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
    model, inputs, expected = _called(case)
    weights = model.generate(inputs["condition"])
    assert weights
    assert all(weight.shape[0] == 6 for weight in weights.values())
    np.testing.assert_allclose(array(model.apply(inputs["x"], weights)), expected, atol=1e-5)
    first = {name: weight[:1] for name, weight in weights.items()}
    same = {"x": inputs["x"], "condition": np.repeat(inputs["condition"][:1], 6, axis=0)}
    np.testing.assert_allclose(array(model.apply(inputs["x"], first)), array(model(same)), atol=1e-5)
    with pytest.raises(ValueError, match="`weights` must be those that `generate` returns: .* Received: .'other"):
        model.apply(inputs["x"], {"other/kernel": inputs["x"]})
