"""Images and labels of TensorFlow Datasets."""

import contextlib
import os
import pathlib
import re
import textwrap

import numpy as np

_OFFLINE = "digits, patches"  # the sources that need no network
# If the training split has at least the first number of examples, the second number is held out for validation,
# otherwise a tenth.
_LARGE, _HELD_OUT = 50_000, 5_000


class DataUnavailableError(RuntimeError):
    """A data set is not on this machine and cannot be downloaded, or its files are damaged."""


def describe(name, sources):
    """Returns the image shape of a data set, the names of the features with images and labels, and facts for `Source`.

    Raises the errors of `get_source`.
    """
    import tensorflow_datasets as tfds

    try:
        builder = _builder(name) if re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_.-]+)*", name) else None
    except DataUnavailableError as error:
        if not isinstance(error.__cause__, tfds.core.DatasetNotFoundError):
            raise
        builder = None
    if builder is None:
        raise ValueError(
            f"There is no data source {name!r}; choose one of {sorted(sources)}, or an image data set of TensorFlow "
            "Datasets. Or give the images as arrays."
        )
    info, names = builder.info, []
    for kind in (tfds.features.Image, tfds.features.ClassLabel):
        names.append(next((feature for feature, value in info.features.items() if isinstance(value, kind)), None))
    image = info.features[names[0]] if names[0] else None
    if image is None or None in image.shape or image.dtype != "uint8":
        received = f"images of type {np.dtype(image.np_dtype)} and shape {image.shape}" if image else "no images"
        raise ValueError(f"{name!r} must have uint8 images of one size, or be given as arrays. Received: {received}")
    if len(info.splits):  # known before a download for some data sets
        _check_splits(builder)
    facts = {
        "origin": f"{name} in TensorFlow Datasets; {info.homepage}",
        "license": info.redistribution_info.license or "see its origin",
        "note": f"The pixels as TensorFlow Datasets has prepared them, in version {info.version}.",
    }
    return image.shape, *names, facts


def load(name, feature, dtype, split):
    """Reads a feature of all examples of a split as an array; arguments and errors are those of `Source.load`."""
    import tensorflow_datasets as tfds

    builder = _builder(name)
    if not builder.is_prepared():
        _download(builder)
    with _readable(name, builder.data_dir):
        held_out = builder.info.splits["train"].num_examples if split != "test" else 0
        held_out = _HELD_OUT if held_out >= _LARGE else max(1, held_out // 10)
        parts = {"train": f"train[:-{held_out}]", "validation": f"train[-{held_out}:]", "test": "test"}
        # TensorFlow Datasets warns about its own PartialDecoding, so the other features skip decoding instead.
        decoders = {other: tfds.decode.SkipDecoding() for other in builder.info.features if other != feature}
        examples = builder.as_dataset(split=parts[split], batch_size=-1, decoders=decoders)
        return examples[feature].numpy().astype(dtype, copy=False)


def prepared_in(name):
    """Returns the folder where TensorFlow Datasets has prepared a data set, or None.

    Raises DataUnavailableError if the folder cannot be read.
    """
    builder = _builder(name)
    return os.fspath(builder.data_dir) if builder.is_prepared() else None


def _check_splits(builder):
    if not {"train", "test"} <= set(builder.info.splits):
        raise ValueError(
            f"The data set {builder.name!r} must have the splits train and test. Received: {[*builder.info.splits]}. "
            "Divide the images, and give them as a dict of arrays for train, validation and test."
        )


def _builder(name):
    import tensorflow_datasets as tfds

    folder = os.environ.get("TFDS_DATA_DIR")  # TensorFlow Datasets reads it only when it is imported
    with _readable(name, pathlib.Path(folder or "~/tensorflow_datasets").expanduser() / name):
        return tfds.builder(name, data_dir=folder, try_gcs=False)


@contextlib.contextmanager
def _readable(name, folder):
    """Converts any error of TensorFlow or TensorFlow Datasets to an error that names the data set and its folder."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).rpartition("}} ")[2].partition(" [Op:")[0]  # without TensorFlow's operation names
        raise DataUnavailableError(
            f"The data set {name!r} in {os.fspath(folder)} cannot be read ({type(error).__name__}: "
            f"{textwrap.shorten(reason, 200)}). If its files are damaged, delete this folder, and the data set is "
            "downloaded again; or set TFDS_DATA_DIR to a folder where TensorFlow Datasets has prepared it."
        ) from error


def _download(builder):
    import requests

    try:
        # One quick request, because TensorFlow Datasets retries for minutes without a network.
        for url in list(builder.url_infos)[:1]:
            requests.head(url, timeout=10)
        builder.download_and_prepare()
    except Exception as error:
        raise DataUnavailableError(
            f"The data set {builder.name!r} is not in {os.fspath(builder.data_dir)} and cannot be downloaded "
            f"({type(error).__name__}). Set TFDS_DATA_DIR to a folder where TensorFlow Datasets has prepared it, or "
            f"use a source that needs no network: {_OFFLINE}."
        ) from error
    _check_splits(builder)
