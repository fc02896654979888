"""The approximation task: the target against convolutions in plain NumPy, and the samples."""

import numpy as np
import pytest
from helpers import array

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks import ApproximationTask


def _convolution(x, kernel, bias):
    """Kernels of 10 x 10, a stride of 2, no padding, then ReLU: `[N, h, w, i]` -> `[N, (h - 10) // 2 + 1, ..., o]`."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (10, 10), axis=(1, 2))[:, ::2, ::2]  # [N, h, w, i, 10, 10]
    return np.maximum(np.einsum("nhwirc,rcio->nhwo", windows, kernel) + bias, 0)


def _target(weights, x):
    for kernel, bias in (weights[:2], weights[2:4]):
        x = _convolution(x, kernel, bias)
    return x.reshape(len(x), -1) @ weights[4] + weights[5]


def _weights(task):
    return [array(weight) for weight in task.target().weights]


@pytest.mark.parametrize("data", ["digits", "patches", "uniform"])
def test_the_target_matches_numpy(data):
    task = ApproximationTask(data, num_samples=2)
    x = task.load("test")[:2]
    scaled = x.astype("float64") if data == "uniform" else (x / 255 - 0.1307) / 0.3081
    expected = _target(_weights(task), scaled)
    np.testing.assert_allclose(array(task.target()(x)), expected, rtol=1e-4, atol=1e-4)
    ((_, y),) = task.evaluation_dataset(x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("data", "channels", "sides"), [("digits", 1, 1), ("patches", 3, 2)])
def test_weights_of_the_target_have_the_papers_shapes_and_the_authors_distribution(data, channels, sides):
    weights = _weights(ApproximationTask(data))
    flat = 50 * sides**2
    shapes = [(10, 10, channels, 20), (20,), (10, 10, 20, 50), (50,), (flat, 10), (10,)]
    assert [weight.shape for weight in weights] == shapes
    for weight, fan_in in zip(weights, [100 * channels] * 2 + [2000] * 2 + [flat] * 2, strict=True):
        assert 0.5 < np.abs(weight).max() * np.sqrt(fan_in) <= 1 + 1e-6
    assert weights[2].var() == pytest.approx(1 / (3 * 2000), rel=0.02)
    correlation = np.corrcoef(weights[0].ravel()[:2000], weights[2].ravel()[:2000])[0, 1]
    assert abs(correlation) < 0.1  # each layer has its own stream


def test_the_target_is_a_function_of_the_seed():
    x = ApproximationTask("uniform", num_samples=3).load("test")
    outputs = {}
    for task in (
        ApproximationTask("uniform", seed=0),
        ApproximationTask("uniform", seed=1),
        ApproximationTask("uniform", seed=0, num_samples=5),  # made anew
    ):
        outputs.setdefault(task.seed, []).append(array(task.target()(x)))
    np.testing.assert_array_equal(outputs[0][0], outputs[0][1])
    assert np.abs(outputs[0][0] - outputs[1][0]).max() > 0.01
    # Values at the time of the experiments: another target would change the published results.
    np.testing.assert_allclose(outputs[0][0][0, :3], [0.03087674, -0.1154677, -0.08390572], rtol=1e-4)


def _epoch(task, epoch=0, examples=None):
    dataset = task.training_dataset(task.load("train") if examples is None else examples, 64, 0, epoch)
    return [np.concatenate(arrays) for arrays in zip(*dataset, strict=True)]


def test_uniform_samples_are_drawn_anew_in_every_epoch():
    task = ApproximationTask("uniform", num_samples=150)
    (x, y), (other, _) = _epoch(task), _epoch(task, epoch=1)
    assert x.shape == (150, 28, 28, 1)
    assert len({sample.tobytes() for sample in (*x, *other)}) == 300
    assert x.mean() == pytest.approx(0, abs=0.01)
    assert x.var() == pytest.approx(1 / 3, rel=0.02)  # of the uniform distribution on [-1, 1]
    assert 0.99 < np.abs(x).max() <= 1
    np.testing.assert_allclose(y, task.target().predict(x, verbose=0), rtol=1e-4, atol=1e-5)


def test_uniform_samples_of_an_evaluation_are_always_the_same():
    task = ApproximationTask("uniform", num_samples=150)
    validation, test = task.load("validation"), task.load("test")
    assert task.num_examples("test") == 150
    np.testing.assert_array_equal(task.load("test"), test)
    np.testing.assert_array_equal(ApproximationTask("uniform", seed=1, num_samples=150).load("test"), test)
    assert len({sample.tobytes() for sample in (*validation, *test)}) == 300
    assert test.mean() == pytest.approx(0, abs=0.01)
    assert test.var() == pytest.approx(1 / 3, rel=0.02)
    assert np.abs(test).max() <= 1
    (x, y) = (np.concatenate(arrays) for arrays in zip(*task.evaluation_dataset("test", 64), strict=True))
    np.testing.assert_array_equal(x, test)
    np.testing.assert_allclose(y, task.target().predict(test, verbose=0), rtol=1e-4, atol=1e-5)


def test_images_are_shuffled_together_with_their_targets():
    task, images = ApproximationTask("digits"), get_source("digits").load("test")
    x, y = _epoch(task, examples=images)
    assert (x != images).any()
    assert sorted(image.tobytes() for image in x) == sorted(image.tobytes() for image in images)
    np.testing.assert_allclose(y, task.target().predict(x, verbose=0), rtol=1e-4, atol=1e-5)
    assert y.std(axis=0).min() > 0.01


def test_unknown_source():
    with pytest.raises(ValueError, match="There is no data source 'imagenet'"):
        ApproximationTask("imagenet")
    with pytest.raises(ValueError, match="`num_samples` must be an integer of at least 1. Received: 2.5"):
        ApproximationTask("uniform", num_samples=2.5)
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0. Received: 0.5"):
        ApproximationTask("uniform", seed=0.5)
