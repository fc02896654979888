"""Software versions and date of a result."""

import datetime
import importlib.metadata
import platform

from keras_hypernet import _version

_PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets")


def versions():
    """Returns the versions of Python, of keras_hypernet and of the packages it computes with, by name."""
    packages = {package: importlib.metadata.version(package) for package in _PACKAGES}
    return {"python": platform.python_version(), "keras_hypernet": _version.__version__, **packages}


def today():
    """Returns the day in UTC as YYYY-MM-DD."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
