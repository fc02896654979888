"""The command doctor: what is installed, and what is missing."""

import importlib.metadata

from keras_hypernet_cli.options import AsJson
from keras_hypernet_cli.printing import show_facts, show_json


def doctor(as_json: AsJson = False):
    """Show what is installed: versions, backend, GPUs, data sets, optional extras.

    Example: keras-hypernet doctor
    """
    import keras
    import tensorflow as tf

    from keras_hypernet.common.versions import versions

    package = importlib.metadata.distribution("keras_hypernet")
    facts = {
        "versions": versions(),
        "backend": keras.config.backend(),
        "GPUs": [device.name for device in tf.config.list_physical_devices("GPU")] or "none",
        "data sets": {name: _data_set(name) for name in ("mnist", "cifar10")},
        "extras": {extra: _missing(extra, package.requires) for extra in package.metadata.get_all("Provides-Extra")},
    }
    if as_json:
        return show_json(facts)
    facts["data sets"] = [
        f"{name}: {folder or 'not prepared; downloaded at first use'}" for name, folder in facts["data sets"].items()
    ]
    facts["extras"] = [
        f"{extra}: missing {', '.join(missing)}; pip install 'keras_hypernet[{extra}]'"
        if missing
        else f"{extra}: installed"
        for extra, missing in facts["extras"].items()
    ]
    show_facts("keras_hypernet on this machine", facts)


def _data_set(name):
    """The folder of a data set, or None; the text of the error if the folder cannot be read."""
    from keras_hypernet.data import tfds

    try:
        return tfds.prepared_in(name)
    except tfds.DataUnavailableError as error:
        return str(error)


def _missing(extra, required):
    """The requirements of an extra that are not installed, or installed in another version, as texts."""
    from packaging.requirements import Requirement

    of_extra = [each for each in map(Requirement, required) if each.marker and each.marker.evaluate({"extra": extra})]
    return [f"{each.name}{each.specifier}" for each in of_extra if not _is_installed(each)]


def _is_installed(requirement):
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
