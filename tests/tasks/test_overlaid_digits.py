"""Overlaid digits against plain NumPy, and the losses of two labels."""

import numpy as np
import pytest

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks import OverlaidDigitsTask
from keras_hypernet.tasks.overlaid_digits import ScalarizedLabels

SOURCE = get_source("digits")


def _canvas(image, shift):
    canvas = np.zeros((36, 36, 1), "uint8")
    canvas[shift : shift + 28, shift : shift + 28] = image
    return canvas


def test_an_image_is_the_brighter_of_two_shifted_images_with_their_labels():
    images, labels = SOURCE.load("test"), SOURCE.load_labels("test")
    ((inputs, y),) = OverlaidDigitsTask("digits").evaluation_dataset("test", 300)
    y, x = np.asarray(y), np.asarray(inputs["x"])
    np.testing.assert_array_equal(y[:, 0], labels)
    np.testing.assert_array_equal(y[:, 2:], inputs["condition"])
    np.testing.assert_allclose(y[:, 2:].sum(axis=1), 1, rtol=1e-6)
    for number in range(5):
        alone = _canvas(images[number], 0)
        others = [_canvas(image, 8) for image in images[labels == y[number, 1]]]
        assert any((np.maximum(alone, other) == x[number]).all() for other in others)


def test_a_fixed_preference_leaves_the_condition_out():
    task = OverlaidDigitsTask("digits", preference=0.25)
    x, y = next(iter(task.evaluation_dataset("test", 10)))
    assert (task.inputs, x.shape, [*task.methods]) == (("x",), (10, 36, 36, 1), ["separate"])
    np.testing.assert_allclose(y[:, 2:], np.tile([0.25, 0.75], (10, 1)))


def test_each_epoch_pairs_the_images_anew():
    task, examples = OverlaidDigitsTask("digits"), (SOURCE.load("test"), SOURCE.load_labels("test"))
    first, again, second = (
        np.asarray(next(iter(task.training_dataset(examples, 300, 7, epoch)))[1]) for epoch in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first[:, :2] != second[:, :2]).any(axis=1).mean() > 0.5
    # All 300 images come once as the first image, and many different images as the second.
    np.testing.assert_array_equal(np.bincount(first[:, 0].astype(int)), np.bincount(examples[1]))


@pytest.mark.parametrize("rule", ["linear", "chebyshev"])
def test_the_loss_scalarizes_the_cross_entropies(rule):
    rng = np.random.default_rng(5)
    logits, labels = rng.standard_normal((7, 20)).astype("float32"), rng.integers(10, size=(7, 2))
    weight = rng.uniform(size=(7, 1))
    y = np.concatenate([labels, weight, 1 - weight], axis=1).astype("float32")
    parts = logits.reshape(7, 2, 10).astype("float64")
    log_softmax = parts - np.log(np.exp(parts).sum(axis=2, keepdims=True))
    entropies = -np.take_along_axis(log_softmax, labels[..., None], axis=2)[..., 0] * y[:, 2:]
    expected = entropies.sum(axis=1) if rule == "linear" else entropies.max(axis=1)
    np.testing.assert_allclose(ScalarizedLabels(rule, reduction=None)(y, logits), expected, rtol=1e-4)


def test_errors():
    for preference in (2.0, "a", [0.5]):
        with pytest.raises(ValueError, match="`preference` must be a finite number of at least 0 and at most 1"):
            OverlaidDigitsTask("digits", preference=preference)
    with pytest.raises(ValueError, match="`rule` must be one of"):
        OverlaidDigitsTask("digits", "quadratic")


@pytest.mark.regression
def test_a_preference_may_be_an_integer():
    _, y = next(iter(OverlaidDigitsTask("digits", preference=1).evaluation_dataset("test", batch_size=2)))
    np.testing.assert_array_equal(y[:, 2:], [[1.0, 0.0]] * 2)
