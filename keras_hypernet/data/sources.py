"""Image sources: data sets of TensorFlow Datasets, images of installed packages, and the user's arrays.

Every source has train, validation and test splits, which share no image or part of an image.
"""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np

from keras_hypernet.data import arrays, tfds
from keras_hypernet.data.arrays import SPLITS
from keras_hypernet.data.tfds import DataUnavailableError

__all__ = ["SOURCES", "SPLITS", "DataUnavailableError", "Source", "check_split", "get_source", "keep_images"]
# The name of the user's images is this prefix and their SHA-256.
_ARRAYS = "sha256:"


@dataclasses.dataclass(frozen=True)
class Source:
    """An image source.

    Attributes:
        name: Name in this package.
        image_shape: `(height, width, channels)`.
        origin: Authors and place of publication.
        license: Terms of publication.
        in_paper: Whether the paper uses the images.
        sha256: The SHA-256 of the user's arrays.
        note: Further facts about the copy in use.
    """

    name: str
    image_shape: tuple
    origin: str
    license: str
    note: str
    _load: Callable = dataclasses.field(repr=False)
    _load_labels: Callable | None = dataclasses.field(default=None, repr=False)
    in_paper: bool = False
    sha256: str | None = None

    def load(self, split):
        """Returns the images of a split, a read-only uint8 array `[N, height, width, channels]` in a fixed order.

        Raises ValueError unless the split is one of `SPLITS`, and DataUnavailableError if the images are damaged, or
        are neither on this machine nor downloadable.
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


def get_source(name: str) -> Source:
    """Returns the `Source` with a name.

    Args:
        name: A name of `SOURCES`; the name of any other data set of TensorFlow Datasets with images of one size and the
            splits train and test, such as `"fashion_mnist"`; or a name of `keep_images`. The validation split of such a
            data set is the last 5,000 training images, or the last tenth of fewer than 50,000.

    Raises:
        ValueError: If there is no such source, or its images are of several sizes or not uint8.
        DataUnavailableError: If the description of the data set is damaged.

    Example:

    >>> get_source("digits").load("test").shape
    (300, 28, 28, 1)
    """
    if name in SOURCES:
        return SOURCES[name]
    if name.startswith(_ARRAYS):
        return _array_source(name.removeprefix(_ARRAYS))
    return _tfds_source(name, os.environ.get("TFDS_DATA_DIR"))


def keep_images(images):
    """Stores the user's images, as `arrays.divide` takes them, and returns the name of their source."""
    parts = arrays.divide(data=arrays.each(arrays.as_images, "data", images))
    if len(shapes := {array.shape[1:] for array in parts["data"].values()}) > 1:
        raise ValueError(f"The images of all splits must have one size. Received: {sorted(shapes)}")
    return f"{_ARRAYS}{arrays.keep(parts)}"


@functools.lru_cache(maxsize=16)
def _array_source(sha256):
    load = functools.partial(arrays.find, sha256, part="data")
    facts = {"origin": "The user's own.", "license": "not stated", "note": "Images of the user's own, as arrays."}
    return Source("the user's own arrays", load("train").shape[1:], **facts, _load=load, sha256=sha256)


@functools.lru_cache(maxsize=16)
def _tfds_source(name, folder):
    image_shape, image, label, facts = tfds.describe(name, SOURCES)
    load_labels = label and functools.partial(tfds.load, name, label, "int32")
    load = functools.partial(tfds.load, name, image, "uint8")
    return Source(name, image_shape, **facts, _load=load, _load_labels=load_labels)


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

    # One strip of columns per split, so that overlapping crops never cross splits.
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
        in_paper=True,
        note="The original pixels.",
        _load=functools.partial(tfds.load, "mnist", "image", "uint8"),
        _load_labels=functools.partial(tfds.load, "mnist", "label", "int32"),
    ),
    Source(
        "cifar10",
        (32, 32, 3),
        origin="A. Krizhevsky, V. Nair, G. Hinton, CIFAR-10; cifar10 in TensorFlow Datasets",
        license="none stated by its authors",
        in_paper=True,
        note="The pixels as TensorFlow Datasets has prepared them.",
        _load=functools.partial(tfds.load, "cifar10", "image", "uint8"),
        _load_labels=functools.partial(tfds.load, "cifar10", "label", "int32"),
    ),
    Source(
        "digits",
        (28, 28, 1),
        origin="E. Alpaydin, C. Kaynak, handwritten digits; load_digits in scikit-learn, resized from 8 x 8",
        license="CC BY 4.0",
        note="1,197 training, 300 validation and 300 test images.",
        _load=_load_digits,
        _load_labels=_load_digits_labels,
    ),
    Source(
        "patches",
        (32, 32, 3),
        origin="Crops of the photographs china.jpg (danielbuechele) and flower.jpg (vultilion) in scikit-learn",
        license="CC BY 2.0",
        note="Crops of 32 x 32 pixels every 8; the splits are disjoint strips of the photographs.",
        _load=_load_patches,
    ),
)
SOURCES = {source.name: source for source in _SOURCES}
