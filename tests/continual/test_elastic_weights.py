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


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`strength` must be a finite number"):
        ElasticWeights(-1, "mse")
    model, loss = _remembered()
    with pytest.raises(ValueError, match="`y` must hold at least one example"):
        loss.remember(model, np.zeros((0, 2)), np.zeros((0, 1)))
    with pytest.raises(ValueError, match="`most` must be an integer of at least 1"):
        loss.remember(model, np.zeros((1, 2)), np.zeros((1, 1)), most=0)
