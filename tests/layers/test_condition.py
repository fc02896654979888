"""TaskEmbedding and MagnitudeInvariant: conditions of second moment one, and what another scale does."""

import keras
import numpy as np
import pytest
from helpers import array, normal

import keras_hypernet as kh
from keras_hypernet.layers import HyperDense, MagnitudeInvariant, TaskEmbedding


def _copy(layer):
    return type(layer).from_config(layer.get_config())


def test_a_task_embedding_starts_with_a_second_moment_of_one_and_generates_weights_of_the_variance_of_hyperfan():
    tasks, variances = np.arange(50), {}
    for embedding in (TaskEmbedding(50, 40, seed=0), keras.layers.Embedding(50, 40)):
        z = embedding(tasks)
        layer = HyperDense(30)
        layer(normal((50, 20)), z)
        variances[type(embedding)] = array(layer.generate(z)["kernel"]).var() * 20
    assert np.mean(array(TaskEmbedding(50, 40, seed=0)(tasks)) ** 2) == pytest.approx(1, rel=0.05)
    assert variances[TaskEmbedding] == pytest.approx(1, rel=0.1)
    assert variances[keras.layers.Embedding] < 1e-3


def test_a_task_is_the_condition_of_a_model_that_is_saved_and_loaded(tmp_path):
    model = kh.Hypernetwork(TaskEmbedding(4, 3), [HyperDense(2)])
    inputs = {"x": normal((4, 5)), "condition": np.array([3, 0, 2, 2], "int32")}
    y = array(model(inputs))
    np.testing.assert_allclose(y[2], array(model({"x": inputs["x"][2:3], "condition": np.array([2])}))[0], atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(inputs)), y)
    assert isinstance(loaded.generator, TaskEmbedding)


def test_a_seed_gives_the_same_vectors():
    first = TaskEmbedding(3, 2, seed=1)
    np.testing.assert_array_equal(array(first(np.arange(3))), array(_copy(first)(np.arange(3))))


def test_the_encoding_matches_numpy_and_has_one_norm():
    condition = np.random.default_rng(0).uniform([-1, 0], [1, 10], (20, 2)).astype("float32")
    layer = MagnitudeInvariant(low=[-1, 0], high=[1, 10])
    encoded = array(layer(condition))
    angle = np.pi / 2 * (condition.astype("float64") - [-1, 0]) / [2, 10]
    np.testing.assert_allclose(encoded, np.sqrt(2) * np.concatenate([np.cos(angle), np.sin(angle)], 1), atol=1e-5)
    np.testing.assert_allclose((encoded**2).sum(1), 4, atol=1e-5)
    np.testing.assert_array_equal(array(_copy(layer)(condition)), encoded)
    assert layer.compute_output_shape((None, 2)) == (None, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TaskEmbedding(0, 2), "`num_tasks` must be an integer of at least 1. Received: 0"),
        (lambda: TaskEmbedding(3, 2.0), "`dim` must be an integer of at least 1. Received: 2.0"),
        (lambda: MagnitudeInvariant(1, [2, 1]), "`low` must be below `high`. Received: low=1, high="),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
