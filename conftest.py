"""Fixtures for all tests, those of the package's doctests included."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

import keras_hypernet


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="load and faults on the server in full, about five minutes")


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True)
def _names(doctest_namespace):
    doctest_namespace.update(keras=keras, keras_hypernet=keras_hypernet)


@pytest.fixture(scope="session")
def source():
    """Returns a function that returns a data source, or skips the test if this machine does not have it."""

    def get(name):
        import tensorflow_datasets as tfds

        from keras_hypernet.data import get_source

        found = get_source(name)
        if not found.offline and not tfds.builder(name, try_gcs=False).is_prepared():
            pytest.skip(f"the data set {name} is not on this machine: see TFDS_DATA_DIR in the README")
        return found

    return get
