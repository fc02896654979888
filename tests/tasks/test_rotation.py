"""The rotation task: pixels against PIL, labels against the definition, epochs."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_hypernet.tasks import RotationTask, angle_labels, evaluation_angles, rotate_images


def rotate_with_pil(images, angles):
    """Rotates images one by one with PIL, counter-clockwise."""
    rotated = [
        np.asarray(Image.fromarray(image.squeeze()).rotate(angle)) for image, angle in zip(images, angles, strict=True)
    ]
    return np.stack(rotated).reshape(images.shape)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (27, 31, 3)])
def test_pixels_match_pil(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (500, *shape), dtype="uint8")  # zeros are outside
    angles = rng.uniform(0, 360, len(images))
    same = rotate_images(tf.constant(images), tf.constant(angles)).numpy() == rotate_with_pil(images, angles)
    assert same.mean() >= 0.999


def test_right_angles_are_exact():
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 3), dtype="uint8")
    rotated = rotate_images(tf.constant(images), tf.constant([0.0, 90.0, 180.0, 270.0])).numpy()
    for turns in range(4):
        np.testing.assert_array_equal(rotated[turns], np.rot90(images[turns], turns))  # counter-clockwise


@pytest.mark.parametrize(
    ("angle", "label"), [(0, 0), (14.9, 0), (15.1, 1), (180, 6), (344.9, 11), (345.1, 11), (359.9, 11)]
)
def test_labels_do_not_wrap_around(angle, label):
    assert angle_labels(tf.constant([angle], tf.float64)).numpy() == [label]


def test_evaluation_rotates_each_image_by_the_angle_of_its_label():
    task = RotationTask("digits")
    batches = list(task.evaluation_dataset("test", batch_size=64))
    x = np.concatenate([inputs["x"] for inputs, _ in batches])
    condition = np.concatenate([inputs["condition"] for inputs, _ in batches])
    labels = np.concatenate([label for _, label in batches])
    angles = evaluation_angles(300)
    np.testing.assert_array_equal(labels, np.argmin(np.abs(angles[:, None] - 30 * np.arange(12)), axis=1))
    assert (x == rotate_with_pil(condition, angles)).mean() >= 0.999


def _epoch(dataset):
    batches = list(dataset)
    images = np.concatenate([inputs["condition"] for inputs, _ in batches])
    return images, np.concatenate([labels for _, labels in batches])


def test_an_epoch_has_every_image_once_and_is_a_function_of_seed_and_epoch():
    task, images = (
        RotationTask("digits"),
        np.arange(130, dtype="uint8")[:, None, None, None] * np.ones((1, 28, 28, 1), "uint8"),
    )
    variable = tf.Variable(0)
    dataset = task.training_dataset(images, 32, 0, variable)
    assert len(dataset) == 5
    first, labels = _epoch(dataset)
    assert sorted(first[:, 0, 0, 0]) == list(range(130))
    assert list(first[:, 0, 0, 0]) != list(range(130))
    assert set(labels) <= set(range(12))
    variable.assign(1)
    second, second_labels = _epoch(dataset)
    assert (first != second).any()
    assert (labels != second_labels).any()
    variable.assign(0)
    again, again_labels = _epoch(dataset)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(again_labels, labels)
    np.testing.assert_array_equal(_epoch(task.training_dataset(images, 32, 0, 1))[0], second)
    assert (_epoch(task.training_dataset(images, 32, 1, 0))[0] != first).any()


def test_angles_are_uniform():
    task = RotationTask("digits")
    images = np.zeros((12_000, 28, 28, 1), "uint8")
    _, labels = _epoch(task.training_dataset(images, 500, 0, 0))
    counts = np.bincount(labels, minlength=12)
    # Class 0 has the 15 degrees from 0 to 15, class 11 the 45 from 315 to 360, the others 30 each.
    expected = 12_000 * np.array([15] + [30] * 10 + [45]) / 360
    assert ((counts - expected) ** 2 / expected).sum() < 31.3  # chi-squared, 11 degrees of freedom, p = 0.001


def test_unknown_source():
    with pytest.raises(ValueError, match="There is no data source 'imagenet'"):
        RotationTask("imagenet")
