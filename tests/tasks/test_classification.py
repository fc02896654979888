"""The classification task: images and their classes against scikit-learn's."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks import ClassificationTask

TEST = slice(1497, None)  # of scikit-learn's 1,797 digits


def test_an_evaluation_is_the_split_with_one_hot_classes():
    task = ClassificationTask("digits")
    batches = list(task.evaluation_dataset("test", batch_size=128))
    images, classes = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    np.testing.assert_array_equal(images, get_source("digits").load("test"))
    digits = load_digits().target[TEST]
    assert classes.shape == (300, 10) == (task.num_examples("test"), task.num_outputs)
    np.testing.assert_array_equal(classes, digits[:, np.newaxis] == np.arange(10))


def test_a_shuffled_image_keeps_its_class():
    task = ClassificationTask("digits")
    batches = list(task.training_dataset(task.load("train"), 64, seed=0, epoch=0))
    images, classes = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    expected = {}
    for image, digit in zip(get_source("digits").load("train"), load_digits().target, strict=False):
        expected.setdefault(image.tobytes(), set()).add(digit)
    assert sorted(image.tobytes() for image in images) == sorted(
        image.tobytes() for image in get_source("digits").load("train")
    )
    assert all(
        int(np.argmax(one_hot)) in expected[image.tobytes()] for image, one_hot in zip(images, classes, strict=True)
    )
    np.testing.assert_array_equal(classes.sum(axis=1), 1)
    assert (np.argmax(classes, axis=1) != load_digits().target[:1197]).mean() > 0.8  # shuffled


def test_sources_without_labels():
    message = r"The images of 'patches' have no labels; choose one of \['cifar10', 'digits', 'mnist'\]"
    with pytest.raises(ValueError, match=message):
        ClassificationTask("patches")
    with pytest.raises(ValueError, match="There is no data source 'imagenet'"):
        ClassificationTask("imagenet")
