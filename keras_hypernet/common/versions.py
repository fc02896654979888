"""Which software made a result, and when."""

import datetime
import importlib.metadata
import platform

import keras_hypernet._version

_PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets")


def versions():
    """Returns the versions of Python, of this package and of those it computes with, by name."""
    return {
        "python": platform.python_version(),
        "keras_hypernet": keras_hypernet._version.__version__,
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
    }


def today():
    """Returns the day, in UTC, as YYYY-MM-DD."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
