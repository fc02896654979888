"""hypernetize: which weights are trained, and which do not change."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import array, mostly_full, normal
from hypernetized import fit, make_generator, make_inputs, make_mlp, make_nested
from keras import layers

import keras_hypernet as kh
from keras_hypernet.layers import FiLM

BASES = {
    "full": lambda: kh.bases.Full(),
    "mixture": lambda: kh.bases.Mixture(2),
    "low_rank": lambda: kh.bases.LowRank(2),
    "chunked": lambda: kh.bases.Chunked(5, 2),
}
FROZEN = (False, True), (None, False)  # by `training` of the nested model, by `trainable` of the layer


def values_of(model):
    return [array(variable) for variable in model.weights]


@pytest.mark.parametrize("basis", mostly_full(BASES, "low_rank"))
def test_an_adapter_starts_as_the_model_and_trains_no_value_of_the_model(basis):
    model, inputs, targets = make_mlp(), make_inputs(), normal((3, 2), seed=2)
    before = values_of(model)
    hyper = kh.hypernetize(model, make_generator(), basis=BASES[basis](), train_base=False, train_others=False)
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    fit(hyper, inputs, targets)
    for was, now in zip(before, values_of(model), strict=True):
        np.testing.assert_array_equal(was, now)
    for name in ("first", "last"):
        layer, ordinary = hyper.primary.get_layer(name), model.get_layer(name)
        for weight in ("kernel", "bias"):
            constant = getattr(layer, f"{weight}_constant")
            assert not constant.trainable
            np.testing.assert_array_equal(array(constant), array(getattr(ordinary, weight)))
    assert np.abs(array(hyper(inputs)) - array(model(inputs["x"]))).max() > 1e-4  # G has a gradient at the start


def test_frozen_layers_get_trained_adapters():
    model = make_nested()
    model.get_layer("backbone").trainable = False
    hyper = kh.hypernetize(model, make_generator(), "backbone", basis=kh.bases.LowRank(1), train_base=False)
    trained = {variable.name for variable in hyper.primary.get_layer("dense").trainable_variables}
    assert trained == {"kernel_left", "kernel_scale", "kernel_right", "bias_basis"}


@pytest.mark.parametrize(
    ("training", "trainable"), [(None, True), *(pytest.param(*each, marks=pytest.mark.full) for each in FROZEN)]
)
def test_moving_statistics_change_in_training_as_those_of_the_model(training, trainable):
    norm, inputs = layers.BatchNormalization(name="norm", trainable=trainable), keras.Input((5,))
    inner = keras.Sequential([keras.Input((5,)), norm], name="inner")
    model = keras.Model(inputs, layers.Dense(2)(inner(inputs, training=training)))
    hyper, inputs, targets = kh.hypernetize(model, make_generator()), make_inputs(), normal((3, 2))
    film = hyper.primary.get_layer("norm")
    assert isinstance(film, FiLM)
    fit(hyper, inputs, targets, rate=0.0)
    fit(model, inputs["x"], targets, rate=0.0)
    np.testing.assert_allclose(array(film.normalization.moving_mean), array(norm.moving_mean), atol=1e-6)
    np.testing.assert_allclose(array(film.normalization.moving_variance), array(norm.moving_variance), atol=1e-6)
    assert np.abs(array(norm.moving_mean)).max() > 0 or training is False or not trainable
    assert set(film.generated_shapes) == {"scale", "offset"}
    y = array(hyper(inputs))  # in a call without training, as the nested model is called
    np.testing.assert_allclose(y, array(model(inputs["x"])), atol=1e-5)


@pytest.mark.parametrize("jit_compile", mostly_full([True, False], "False"))
def test_it_is_trained(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("PyTorch's own compiler needs a C compiler")
    inputs, targets = make_inputs(), normal((3, 2), seed=2)
    losses = fit(kh.hypernetize(make_mlp(), make_generator()), inputs, targets, jit_compile=jit_compile)
    assert np.isfinite(losses).all()


def test_it_is_trained_with_outputs_by_name_and_tells_its_parts():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, {"u": layers.Dense(1, name="u")(inputs), "v": layers.Dense(2, name="v")(inputs)})
    hyper = kh.hypernetize(model, make_generator(), layers="u")
    hyper.compile("sgd", {"u": "mse", "v": "mse"}, run_eagerly=keras.backend.backend() == "tensorflow")
    hyper.fit(make_inputs(), {"u": normal((3, 1)), "v": normal((3, 2))}, verbose=0)
    lines = []
    hyper.summary(print_fn=lambda line, **_: lines.append(line))
    hyper.primary.summary(print_fn=lambda line, **_: lines.append(line))
    assert "HyperDense" in "\n".join(lines)


def test_it_is_built_and_drawn(tmp_path):
    hyper = kh.hypernetize(make_mlp(), make_generator())
    assert hyper.built
    assert hyper.num_parameters()["primary"] == make_mlp().count_params()
    try:
        keras.utils.plot_model(hyper, tmp_path / "hyper.png", show_shapes=True)
    except ImportError:
        pytest.skip("plot_model needs pydot and graphviz")
    keras.utils.plot_model(hyper.primary, tmp_path / "primary.png", show_shapes=True)
    assert min(path.stat().st_size for path in (tmp_path / "hyper.png", tmp_path / "primary.png")) > 1000


def test_mixed_precision():
    model, inputs = make_mlp(dtype="mixed_bfloat16"), make_inputs()
    hyper = kh.hypernetize(model, make_generator())
    assert hyper.primary.get_layer("first").compute_dtype == "bfloat16"
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=0.05)


ON_TWO_DEVICES = """
import json, keras, numpy as np, keras_hypernet as kh
losses = []
for distribution in (None, keras.distribution.DataParallel()):
    keras.utils.set_random_seed(0)
    keras.distribution.set_distribution(distribution)
    dense = [keras.layers.Dense(6, "tanh"), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    generator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    hyper = kh.hypernetize(keras.Sequential([keras.Input((5,)), *dense]), generator)
    hyper.compile(keras.optimizers.SGD(0.1), "mse")
    x, condition, y = (np.random.default_rng(0).normal(size=(8, size)).astype("float32") for size in (5, 4, 2))
    fitted = hyper.fit({"x": x, "condition": condition}, y, batch_size=8, epochs=3, verbose=0, shuffle=False)
    losses.append(fitted.history["loss"])
print(json.dumps(losses))
"""


@pytest.mark.full
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras distributes on JAX")
def test_it_is_trained_on_two_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES], capture_output=True, text=True, check=True, env=environment
    )
    alone, together = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert together[-1] < together[0]
