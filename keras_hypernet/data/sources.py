"""Image sources: MNIST and CIFAR-10 through TensorFlow Datasets, and images that ship inside a package.

Every source has train, validation and test splits, which share no image or part of an image.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import textwrap
from collections.abc import Callable

import numpy as np

SPLITS = ("train", "validation", "test")
_TFDS_SPLITS = {"train": "train[:-5000]", "validation": "train[-5000:]", "test": "test"}


class DataUnavailableError(RuntimeError):
    """A data set is not on this machine and cannot be downloaded, or its files are damaged."""


@dataclasses.dataclass(frozen=True)
class Source:
    """An image source.

    Attributes:
        name: Name in this package.
        image_shape: `(height, width, channels)`.
        origin: Authors and place of publication.
        license: Terms of publication.
        offline: Whether the images ship with a Python package.
        note: Further facts about the copy in use.
    """

    name: str
    image_shape: tuple
    origin: str
    license: str
    offline: bool
    note: str
    _load: Callable = dataclasses.field(repr=False)
    _load_labels: Callable | None = dataclasses.field(default=None, repr=False)

    def load(self, split):
        """Reads the images of a split.

        Args:
            split: `"train"`, `"validation"` or `"test"`.

        Returns:
            A read-only uint8 array `[N, height, width, channels]`, in the same order at every call.

        Raises:
            ValueError: If the split does not exist.
            DataUnavailableError: If the images are damaged, or not on this machine and cannot be downloaded.
        """
        check_split(split)
        return _load_once(self._load, split)

    def load_labels(self, split):
        """Reads the classes of the images of a split, int32 `[N]`, in the order and with the errors of `load`."""
        check_split(split)
        self.check_labels()
        return _load_once(self._load_labels, split)

    def check_labels(self):
        """Raises ValueError if the images have no labels."""
        if self._load_labels is None:
            with_labels = sorted(source.name for source in SOURCES.values() if source._load_labels)
            raise ValueError(f"The images of {self.name!r} have no labels; choose one of {with_labels}.")


def check_split(split):
    """Raises ValueError if the split does not exist."""
    if split not in SPLITS:
        raise ValueError(f"The split must be one of {SPLITS}. Received: {split!r}")


@functools.lru_cache(maxsize=6)
def _load_once(load, split):
    array = load(split)
    array.flags.writeable = False  # all callers share the array
    return array


def get_source(name):
    """Returns the `Source` with a name.

    Raises:
        ValueError: If the source does not exist.

    Example:

    >>> get_source("digits").load("test").shape
    (300, 28, 28, 1)
    """
    if name not in SOURCES:
        raise ValueError(f"There is no data source {name!r}; choose one of {sorted(SOURCES)}.")
    return SOURCES[name]


def _load_tfds(name, feature, dtype):
    def load(split):
        import tensorflow_datasets as tfds

        folder = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser() / name
        with _readable(name, folder):
            builder = tfds.builder(name, try_gcs=False)
        if not builder.is_prepared():
            _download(builder)
        with _readable(name, builder.data_dir):
            # TensorFlow Datasets warns of its own PartialDecoding, so the other features skip decoding instead.
            decoders = {other: tfds.decode.SkipDecoding() for other in builder.info.features if other != feature}
            examples = builder.as_dataset(split=_TFDS_SPLITS[split], batch_size=-1, decoders=decoders)
            return examples[feature].numpy().astype(dtype, copy=False)

    return load


@contextlib.contextmanager
def _readable(name, folder):
    """Turns any error of TensorFlow or TensorFlow Datasets into an error that names the data set and its folder."""
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
        # One quick request: without a network, TensorFlow Datasets retries for minutes.
        for url in list(builder.url_infos)[:1]:
            requests.head(url, timeout=10)
        builder.download_and_prepare()
    except Exception as error:
        offline = sorted(source.name for source in SOURCES.values() if source.offline)
        raise DataUnavailableError(
            f"The data set {builder.name!r} is not in {os.fspath(builder.data_dir)} and cannot be downloaded "
            f"({type(error).__name__}). Set TFDS_DATA_DIR to a folder where TensorFlow Datasets has prepared it, or "
            f"take one of the sources that need no network: {', '.join(offline)}."
        ) from error


_DIGITS_SPLITS = {"train": slice(0, 1197), "validation": slice(1197, 1497), "test": slice(1497, None)}


def _load_digits_labels(split):
    from sklearn.datasets import load_digits

    return load_digits().target[_DIGITS_SPLITS[split]].astype("int32")


def _load_digits(split):
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits().images[_DIGITS_SPLITS[split]]  # [N, 8, 8], values 0 to 16
    pixels = np.round(digits * (255 / 16)).astype("uint8")
    resized = [np.asarray(Image.fromarray(image).resize((28, 28), Image.Resampling.BILINEAR)) for image in pixels]
    return np.stack(resized)[..., np.newaxis]


def _load_patches(split):
    from sklearn.datasets import load_sample_images

    # A strip of columns per split: overlapping crops never cross splits.
    left, right = {"train": (0, 448), "validation": (448, 544), "test": (544, 640)}[split]
    crops = []
    for photograph in load_sample_images().images:  # two uint8 arrays [427, 640, 3]
        windows = np.lib.stride_tricks.sliding_window_view(photograph[:, left:right], (32, 32), axis=(0, 1))
        crops.append(windows[::8, ::8].transpose(0, 1, 3, 4, 2).reshape(-1, 32, 32, 3))
    return np.ascontiguousarray(np.concatenate(crops))


_SOURCES = (
    Source(
        "mnist",
        (28, 28, 1),
        origin="Y. LeCun, C. Cortes, C. Burges, MNIST; mnist in TensorFlow Datasets",
        license="CC BY-SA 3.0",
        offline=False,
        note="The original pixels.",
        _load=_load_tfds("mnist", "image", "uint8"),
        _load_labels=_load_tfds("mnist", "label", "int32"),
    ),
    Source(
        "cifar10",
        (32, 32, 3),
        origin="A. Krizhevsky, V. Nair, G. Hinton, CIFAR-10; cifar10 in TensorFlow Datasets",
        license="none stated by its authors",
        offline=False,
        note="The pixels as TensorFlow Datasets has prepared them.",
        _load=_load_tfds("cifar10", "image", "uint8"),
        _load_labels=_load_tfds("cifar10", "label", "int32"),
    ),
    Source(
        "digits",
        (28, 28, 1),
        origin="E. Alpaydin, C. Kaynak, handwritten digits; load_digits in scikit-learn, resized from 8 x 8",
        license="CC BY 4.0",
        offline=True,
        note="1,197 training, 300 validation and 300 test images.",
        _load=_load_digits,
        _load_labels=_load_digits_labels,
    ),
    Source(
        "patches",
        (32, 32, 3),
        origin="Crops of the photographs china.jpg (danielbuechele) and flower.jpg (vultilion) in scikit-learn",
        license="CC BY 2.0",
        offline=True,
        note="Crops of 32 x 32 pixels every 8; the splits are disjoint strips of the photographs.",
        _load=_load_patches,
    ),
)
SOURCES = {source.name: source for source in _SOURCES}
