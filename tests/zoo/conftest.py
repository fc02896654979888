"""What several files of these tests use."""

import shutil

import pytest

from keras_hypernet.zoo.store import zoo_folder


@pytest.fixture
def entry(tmp_path):
    """The folder of a copy of an entry."""
    return shutil.copytree(zoo_folder() / "rotation_mnist_hyper", tmp_path / "mine")
