"""FiLM against plain NumPy and against the normalization layers of Keras, its state, and its bad arguments."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.layers import FiLM, HyperDense

RANK = 3
NORMALIZATIONS = {
    "none": lambda: None,
    "batch": lambda: keras.layers.BatchNormalization(momentum=0.5),
    "layer": lambda: keras.layers.LayerNormalization(),
    "group": lambda: keras.layers.GroupNormalization(2),
}
every_normalization = pytest.mark.parametrize("make", NORMALIZATIONS.values(), ids=NORMALIZATIONS)


def _randomized(layer, x, z):
    layer(x, z)
    for number, weight in enumerate(layer.basis_variables):
        weight.assign(normal(weight.shape, seed=number))
    return layer


def _scales(layer, z):
    extended = np.concatenate([z, np.ones((len(z), 1))], axis=1)
    return [extended @ array(weight) for weight in layer.basis_variables]


@pytest.mark.parametrize(("shape", "axis"), [((5, 4), None), ((5, 2, 4), -1), ((5, 4, 2, 2), 1), ((5, 2, 4, 2), -2)])
@pytest.mark.parametrize("conditions", [5, 1])
def test_values_match_numpy(shape, axis, conditions):
    x, z = normal(shape), normal((conditions, RANK), seed=1)
    layer = _randomized(FiLM(axis), x, z)
    places = [1] * len(shape)
    places[0], places[-1 if axis is None else axis] = -1, 4
    scale, offset = (values.reshape(places) for values in _scales(layer, z))
    np.testing.assert_allclose(array(layer(x, z)), scale * x + offset, atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(z))), scale * x + offset, atol=1e-5)
    ordinary, weights = layer.specialize(z[:1])
    ordinary.build(shape)
    ordinary.set_weights(weights)
    np.testing.assert_allclose(array(ordinary(x)), array(layer(x, z[:1])), atol=1e-5)


@every_normalization
def test_each_sample_is_the_normalization_of_keras_with_its_weights(make):
    x, z = normal((5, 2, 2, 4)), normal((5, RANK), seed=1)
    layer = _randomized(FiLM(normalization=make()), x, z)
    layer(x, z, training=True)  # moves the statistics
    y = array(layer(x, z))
    for row in range(5):
        ordinary, weights = layer.specialize(z[row : row + 1])
        ordinary.build(x.shape)
        ordinary.set_weights(weights)
        np.testing.assert_allclose(y[row], array(ordinary(x))[row], atol=1e-5)


@every_normalization
def test_the_first_output_is_x_normalized_and_every_variable_has_a_gradient(make):
    x, z = normal((5, 2, 4)), normal((5, RANK), seed=1)
    layer, plain = FiLM(normalization=make()), make()
    expected = x if plain is None else array(plain(x))
    np.testing.assert_allclose(array(layer(x, z)), expected, atol=1e-5)
    inputs = keras.Input((2, 4)), keras.Input((RANK,))
    model = keras.Model(inputs, layer(*inputs))
    for gradient in gradients(model, [x, z], normal((5, 2, 4), seed=2)):
        assert (np.abs(gradient) > 1e-6).all()


def test_gradients_match_numpy():
    x, z, targets = normal((5, 4)), normal((5, RANK), seed=1), normal((5, 4), seed=2)
    inputs = keras.Input((4,)), keras.Input((RANK,))
    model = keras.Model(inputs, FiLM()(*inputs))
    residual = 2 * (x - targets) / x.size
    extended = np.concatenate([z, np.ones((5, 1))], axis=1)
    scale, offset = gradients(model, [x, z], targets)
    np.testing.assert_allclose(scale, extended.T @ (residual * x), atol=1e-6)
    np.testing.assert_allclose(offset, extended.T @ residual, atol=1e-6)


def test_moving_statistics_are_shared_and_change_in_training_only():
    x, z = 3 + 2 * normal((6, 4)), normal((6, RANK), seed=1)
    layer = FiLM(normalization=keras.layers.BatchNormalization(momentum=0.5))
    layer(x, z)
    np.testing.assert_array_equal(array(layer.normalization.moving_mean), np.zeros(4))
    layer(x, z, training=True)
    np.testing.assert_allclose(array(layer.normalization.moving_mean), x.mean(axis=0) / 2, rtol=1e-5)
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(RANK)]), [HyperDense(4), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    before = array(layer.normalization.moving_mean)
    model.fit({"x": x, "condition": z}, x, verbose=0)
    assert (np.abs(array(layer.normalization.moving_mean) - before) > 1e-3).all()
    y = model.predict({"x": x, "condition": np.repeat(z[:1], 6, axis=0)}, verbose=0)
    np.testing.assert_allclose(array(kh.specialize(model, z[:1])(x)), y, atol=1e-5)


def test_a_condition_of_each_point_leaves_the_statistics_of_x():
    x, z = normal((5, 2, 3, 4)), normal((5, 2, RANK), seed=1)
    layer = _randomized(FiLM(normalization=keras.layers.GroupNormalization(2)), x, z)
    normalized = array(keras.layers.GroupNormalization(2)(x))
    scale, offset = (values.reshape(5, 2, 1, 4) for values in _scales(layer, z.reshape(10, RANK)))
    np.testing.assert_allclose(array(layer(x, z)), scale * normalized + offset, atol=1e-5)


def test_the_mask_of_x_counts_for_the_statistics():
    x, z, mask = normal((2, 3, 4)), normal((2, RANK)), np.array([[1, 1, 0], [1, 0, 0]], "bool")
    layer = FiLM(normalization=keras.layers.BatchNormalization(momentum=0.0))
    layer(x, z, training=True, x_mask=mask)
    np.testing.assert_allclose(array(layer.normalization.moving_mean), x[mask].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": 0}, "`axis` must be an integer, and not 0, the axis of the batch. Received: 0"),
        ({"axis": "last"}, "`axis` must be an integer.* Received: 'last'"),
        (
            {"normalization": keras.layers.Dense(3)},
            "`normalization` must be a layer of .* Received: <De",
        ),
        ({"normalization": keras.layers.LayerNormalization(axis=[1, 2])}, "`normalization` must have one axis"),
        (
            {"axis": 1, "normalization": keras.layers.LayerNormalization()},
            "that of the normalization, -1, or None",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FiLM(**arguments)


def test_a_built_normalization_and_an_axis_that_x_lacks_are_refused():
    built = keras.layers.LayerNormalization()
    built.build((None, 4))
    with pytest.raises(ValueError, match="not yet built, .* Received: a built layer"):
        FiLM(normalization=built)
    with pytest.raises(ValueError, match="x must have an axis -3 after the batch. Received: x of shape .5, 2, 4."):
        FiLM(-3)(normal((5, 2, 4)), normal((5, RANK)))
