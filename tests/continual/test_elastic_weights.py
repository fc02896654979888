"""ElasticWeights: its penalty against plain NumPy."""

import keras
import numpy as np
import pytest

from keras_hypernet.continual import ElasticWeights


def _remembered(strength=2.0):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    loss = ElasticWeights(strength, "mse")
    model.compile("sgd", loss)
    model.set_weights([np.array([[1.0], [2.0]])])
    return model, loss


def test_the_fisher_information_adds_up_and_the_last_weights_are_the_anchor():
    model, loss = _remembered()
    x, y = np.array([[1.0, 0.0], [1.0, 1.0]], "float32"), np.zeros((2, 1), "float32")
    loss.remember(model, x, y)
    first = np.mean([(2 * 1.0 * x[0]) ** 2, (2 * 3.0 * x[1]) ** 2], axis=0)  # gradients of (w x)^2
    np.testing.assert_allclose(np.asarray(loss.fisher[0])[:, 0], first, rtol=1e-5)
    model.set_weights([np.array([[0.0], [1.0]])])
    assert float(loss.penalty()) == pytest.approx(first.sum(), rel=1e-5)  # strength / 2 times F times 1
    loss.remember(model, x, y, most=1)
    np.testing.assert_allclose(np.asarray(loss.fisher[0])[:, 0], first, rtol=1e-5)  # w x of the first example is 0
    assert float(loss.penalty()) == 0
    assert float(loss(y, y)) == 0


@pytest.mark.regression
def test_a_layer_that_is_frozen_later_is_penalized_as_before():
    model, loss = _remembered()
    x, y = np.ones((2, 2), "float32"), np.zeros((2, 1), "float32")
    loss.remember(model, x, y)
    model.layers[0].trainable = False
    model.set_weights([np.array([[0.0], [1.0]])])
    assert float(loss.penalty()) == pytest.approx((2 * 3.0) ** 2 * 2)
    with pytest.raises(ValueError, match="must have the same trainable weights"):
        loss.remember(model, x, y)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`strength` must be a finite number"):
        ElasticWeights(-1, "mse")
    model, loss = _remembered()
    for rows in ((0, 0), (1, 20)):
        with pytest.raises(ValueError, match="`x` and `y` must have as many rows, at least one. Received"):
            loss.remember(model, np.zeros((rows[0], 2)), np.zeros((rows[1], 1)))
    for x, y in (([[1.0, 2.0]], np.zeros((1, 1))), (np.zeros((1, 2)), None)):
        with pytest.raises(TypeError, match="must be an array"):
            loss.remember(model, x, y)
    with pytest.raises(ValueError, match="must have weights before `remember`"):
        loss.remember(keras.Sequential([keras.layers.Dense(1)]), np.zeros((1, 2)), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="`most` must be an integer of at least 1"):
        loss.remember(model, np.zeros((1, 2)), np.zeros((1, 1)), most=0)
