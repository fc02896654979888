"""Fixtures for all tests, those of the package's doctests included."""

import functools
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

import keras_hypernet


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="load and faults on the server in full, about a quarter of an hour"
    )


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True)
def _names(doctest_namespace):
    doctest_namespace.update(keras=keras, keras_hypernet=keras_hypernet)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Returns a function that puts exports of zoo entries into a folder, each of which is made once in all tests."""
    from keras_hypernet.serving.config import write_configs

    @functools.cache
    def once(name):
        return keras_hypernet.export(name, tmp_path_factory.mktemp("exported"))

    def put(folder, *names):
        for name in names:
            shutil.copytree(once(name), folder / name / "1")
            write_configs(folder, name)
        return folder

    return put


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
