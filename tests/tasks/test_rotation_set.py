"""The rotation task of neural processes: the sets against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks import RotationSetTask, RotationTask

IMAGES, LABELS = (load("test") for load in (get_source("digits").load, get_source("digits").load_labels))


def _classes(members):
    """The class of each member `[B, members, 28, 28, 1]`, by its pixels."""
    known = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    return np.array([[known[member.tobytes()] for member in each] for each in members])


def test_members_are_images_of_the_class_of_x():
    task = RotationSetTask("digits", members=5)
    batches = list(task.evaluation_dataset("test", 64))
    members = np.concatenate([inputs["condition"] for inputs, _ in batches])
    assert members.shape == (300, 5, 28, 28, 1)
    np.testing.assert_array_equal(_classes(members), np.repeat(LABELS[:, None], 5, axis=1))
    # A set draws from the whole class: there are far more different images than classes.
    assert len({member.tobytes() for member in members.reshape(-1, 28, 28, 1)}) > 250


def test_x_and_its_label_match_the_rotation_task():
    theirs = list(RotationTask("digits").evaluation_dataset("test", 100))
    for (inputs, labels), (expected, expected_labels) in zip(
        RotationSetTask("digits").evaluation_dataset("test", 100), theirs, strict=True
    ):
        np.testing.assert_array_equal(inputs["x"], expected["x"])
        np.testing.assert_array_equal(labels, expected_labels)


def test_sets_are_drawn_anew_in_each_epoch_and_belong_to_the_image_that_is_turned():
    task, epoch = RotationSetTask("digits", members=2), tf.Variable(0)
    dataset = task.training_dataset((IMAGES, LABELS), 300, 7, epoch)

    def draw():
        ((inputs, _),) = list(dataset)
        return inputs["x"].numpy(), _classes(inputs["condition"].numpy())

    x, classes = draw()
    assert (classes[:, 0] == classes[:, 1]).all()
    # The rotation task has the same order; its condition is the upright image.
    ((single, _),) = list(RotationTask("digits").training_dataset(IMAGES, 300, 7, 0))
    np.testing.assert_array_equal(x, single["x"])
    np.testing.assert_array_equal(classes[:, :1], _classes(single["condition"].numpy()[:, None]))
    epoch.assign(1)
    assert (draw()[1] != classes).any()


def test_errors():
    for members in (0, 2.5, "4", True):
        with pytest.raises(ValueError, match=f"`members` must be an integer of at least 1. Received: {members!r}"):
            RotationSetTask("digits", members=members)
    with pytest.raises(ValueError, match="'patches' have no labels"):
        RotationSetTask("patches")
