"""The basis of static hypernetworks against plain NumPy, its exact number of weights, and the convnets of the task."""

import keras
import numpy as np
import pytest
from helpers import normal

import keras_hypernet as kh
from keras_hypernet.tasks import StaticKernelTask
from keras_hypernet.tasks.static_kernel import TwoLayer

RECIPE = kh.Recipe(width=16, rank=4, optimizer="adam", learning_rate=0.001, epochs=1)
TASK = StaticKernelTask("digits")


def _models():
    return {method: kh.build_model(TASK, method, RECIPE) for method in TASK.methods}


def test_the_published_kernel_has_4240_weights():
    model = kh.build_model(TASK, "hyper", RECIPE)
    variables = model.get_layer("conv_2").basis_variables
    assert sum(np.prod(variable.shape) for variable in variables) == 4240
    assert model.get_layer("conv_2").generated_shapes == {"kernel": (7, 7, 16, 16)}
    assert model.get_layer("vector").count_params() == 4


@pytest.mark.parametrize(("shape", "constant"), [((3, 2, 5, 6), "zeros"), ((5, 6), "glorot_uniform")])
def test_a_generated_weight_is_numpys(shape, constant):
    """Of a convolution and of a dense layer; a projection for each input channel, and one head."""
    *spatial, channels, outputs = shape
    made = {"basis": TwoLayer(3, constant, train_constant=constant != "zeros"), "use_bias": False}
    dense = not spatial
    layer = kh.layers.HyperDense(outputs, **made) if dense else kh.layers.HyperConv2D(outputs, spatial, **made)
    layer.build((None, channels) if dense else (None, 9, 9, channels), (None, 4))
    for number, variable in enumerate(layer.weights):
        variable.assign(normal(variable.shape, seed=number))
    z = normal((2, 4), seed=9)
    weights = {name: np.asarray(getattr(layer, f"kernel_{name}")) for name in layer.basis.variable_shapes(shape, 4)}
    (written,) = layer.generate(z).values()
    for row in range(2):
        for channel in range(channels):
            hidden = z[row] @ weights["projection"][channel] + weights["projection_bias"][channel]
            part = (hidden @ weights["head"] + weights["head_bias"]).reshape(*spatial, outputs)
            part = part + weights.get("constant", np.zeros(shape))[..., channel, :]
            np.testing.assert_allclose(np.asarray(written)[row, ..., channel, :], part, rtol=1e-4, atol=1e-5)


def test_a_generated_kernel_starts_with_the_variance_of_its_initializer():
    kernels = []
    for seed in range(40):
        keras.utils.set_random_seed(seed)
        layer = kh.layers.HyperConv2D(16, 7, basis=TwoLayer(4), kernel_initializer=kh.initializers.HyperfanIn(gain=2.0))
        layer.build((None, 9, 9, 16), (None, 4))
        kernels.append(np.asarray(layer.generate(normal((8, 4), seed=seed))["kernel"]))
    assert np.mean(np.square(kernels)) == pytest.approx(2 / (7 * 7 * 16), rel=0.1)


def test_the_small_convnet_has_as_many_filters_as_the_weights_of_hyper_allow():
    sizes = {method: model.count_params() for method, model in _models().items()}
    assert sizes["network"] - sizes["hyper"] == 12544 - 4240 - 4
    filter_weights = 7 * 7 * 16 + 1 + 7 * 7 * 10
    assert sizes["hyper"] - filter_weights < sizes["small"] <= sizes["hyper"]


def test_the_convnet_learns_and_survives_saving(tmp_path):
    model = _models()["hyper"]
    kh.fit(model, TASK, RECIPE, progress=False)
    assert kh.evaluate(model, TASK)["error"] < 0.5
    model.save(tmp_path / "model.keras")
    x = TASK.load("test")[0][:8]
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
