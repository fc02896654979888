"""Noisy views: the target is that of the synthetic task, and the copies have the noise that is asked for."""

import numpy as np
import pytest

from keras_hypernet.tasks import NoisyViewsTask, SyntheticTask

SIZES = {"dim": 6, "hidden_units": 4, "seed": 3, "num_train": 4000, "num_validation": 10, "num_test": 20}


def test_copies_are_of_the_condition_of_the_synthetic_task():
    views, plain = (task.load("train") for task in _tasks(members=5, noise=0.5))
    for name in ("x", "y"):
        np.testing.assert_array_equal(views[name], plain[name])
    noise = views["condition"] - plain["condition"][:, None]
    assert noise.shape == (4000, 5, 6)
    np.testing.assert_allclose(np.cov(noise.reshape(4000, -1).T), 0.25 * np.eye(30), atol=0.03)
    np.testing.assert_allclose(noise.mean(axis=1).std(), 0.5 / np.sqrt(5), rtol=0.05)


def test_splits_have_noise_of_their_own():
    task, _ = _tasks(members=2, noise=1.0)
    assert not (task.load("test")["condition"][:10] == task.load("validation")["condition"]).any()


def _tasks(**own):
    return NoisyViewsTask("centred", **SIZES, **own), SyntheticTask("centred", **SIZES)


def test_errors():
    for noise in (-1.0, float("inf"), "1", None):
        with pytest.raises(ValueError, match="`noise` must be a finite number of at least 0"):
            NoisyViewsTask("centred", noise=noise)
    with pytest.raises(ValueError, match="`members` must be"):
        NoisyViewsTask("centred", members=0)
