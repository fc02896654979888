"""The user's arrays: checks, splits, and identification by SHA-256.

This process keeps the arrays; a file, whose name is the SHA-256, transfers them to other processes.
"""

import hashlib
import pathlib
import re

import numpy as np

from keras_hypernet.common.files import replacing

SPLITS = ("train", "validation", "test")
_SHARE = 10  # Plain arrays give a tenth each for validation and test.
_MOST_EXACT = 2**24  # float32 holds integers up to here.
_KEPT = {}


def keep(parts):
    """Stores the result of `divide` for `find`, and returns the SHA-256 of names, dtypes, shapes and bytes."""
    arrays = {f"{split}_{part}": array for part, splits in sorted(parts.items()) for split, array in splits.items()}
    digest = hashlib.sha256()
    for name, array in arrays.items():
        array.flags.writeable = False  # all users share the array
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))
    _KEPT.setdefault(digest.hexdigest(), arrays)
    return digest.hexdigest()


def find(sha256, split, part):
    """Returns a read-only array, or None if there is no such part; ValueError if this process lacks the arrays."""
    if sha256 not in _KEPT:
        raise ValueError(f"This process does not have the arrays of the SHA-256 {sha256}: make their ArrayTask first.")
    return _KEPT[sha256].get(f"{split}_{part}")


def write(sha256, folder):
    """Writes arrays into a folder atomically, unless they are there, and returns the path of the file."""
    path = pathlib.Path(folder).absolute() / f"{sha256}.npz"
    if not path.exists():
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **_KEPT[sha256])
    return path


def read(path):
    """Reads the arrays of a file for `find`; ValueError if the file is damaged."""
    path = pathlib.Path(path)
    if path.stem in _KEPT:
        return
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    if not re.fullmatch("[0-9a-f]{64}", path.stem):
        raise ValueError(f"{path} must be a file of a training or a search. For other arrays, make an ArrayTask.")
    parts = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                split, _, part = name.partition("_")
                parts.setdefault(part, {})[split] = file[name]
        received = keep(parts)
    except Exception as error:  # any failure of a damaged file
        raise ValueError(f"{path} does not hold arrays: {error}. Delete the file, and run again.") from error
    if received != path.stem:
        raise ValueError(f"{path} is damaged: its arrays have the SHA-256 {received}. Delete the file, and run again.")


def divide(**parts):
    """Returns arrays by part and split. All parts are arrays, or all are dicts of an array for each split.

    A fixed permutation divides plain arrays: validation and test get a tenth each, but at least one example. Raises
    ValueError if a split is missing or empty, or the parts differ in their number of rows.
    """
    if not any(isinstance(value, dict) for value in parts.values()):
        number = _rows(parts, least=len(SPLITS))
        order, held = np.random.default_rng(0).permutation(number), max(1, number // _SHARE)
        numbers = dict(zip(SPLITS, np.split(order, [number - 2 * held, number - held]), strict=True))
        return {name: {split: array[numbers[split]] for split in SPLITS} for name, array in parts.items()}
    for name, splits in parts.items():
        received = [*splits] if isinstance(splits, dict) else "a plain array"
        if set(received) != set(SPLITS):
            expected = f"`{name}` must be a dict of the splits {SPLITS}, or all arrays plain"
            raise ValueError(f"{expected}. Received: {received}")
    for split in SPLITS:
        _rows({name: splits[split] for name, splits in parts.items()}, where=f" in the {split} split")
    return {name: {split: splits[split] for split in SPLITS} for name, splits in parts.items()}


def _rows(arrays, least=1, where=""):
    """The number of rows of all arrays; ValueError if it differs, or is too small."""
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1 or min(rows.values()) < least:
        expected = f"All arrays must have a row for each of at least {least} example{'s' * (least > 1)}{where}"
        raise ValueError(f"{expected}. Received: rows {rows}")
    return min(rows.values())


def each(function, name, value):
    """Returns `function(name, array)` for an array, or for each array of a dict."""
    if not isinstance(value, dict):
        return function(name, value)
    return {split: function(f"{name}[{split!r}]", array) for split, array in value.items()}


def as_array(name, value):
    """Returns a copy of an array; ValueError unless it holds numbers."""
    array = np.array(value, order="C")
    if array.ndim == 0:
        raise ValueError(f"`{name}` must be an array with a row for each example. Received: {value!r}")
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"`{name}` must be an array of numbers. Received: the dtype {array.dtype}. Encode the values as numbers."
        )
    return array


def as_images(name, value):
    """Returns uint8 images `[N, height, width, channels]`; ValueError for anything else."""
    array = as_array(name, value)
    if array.dtype != "uint8" or array.ndim != 4 or 0 in array.shape[1:]:
        raise ValueError(
            f"`{name}` must be uint8 images [N, height, width, channels]. Received: {array.dtype} of the shape "
            f"{array.shape}. For images on a scale of 0 to 1: np.round(255 * images).astype('uint8')."
        )
    return array


def as_numbers(name, value):
    """Returns uint8 images unchanged, other numbers as float32; ValueError if float32 cannot hold them."""
    array = as_array(name, value)
    if array.dtype == "uint8" and array.ndim > 3:
        return array
    with np.errstate(over="ignore"):
        single = array.astype("float32")
    largest = np.max(np.abs(array.astype("float64")), initial=0)
    if array.dtype.kind in "ui" and largest > _MOST_EXACT:
        raise ValueError(f"`{name}` must be integers up to {_MOST_EXACT}. Received: {largest:.0f}. Divide by a scale.")
    wrong = np.argwhere(~np.isfinite(single))
    if len(wrong):
        first = tuple(map(int, wrong[0]))
        raise ValueError(
            f"`{name}` must be finite numbers that float32 holds. Received: {len(wrong)} that are not, the first "
            f"{array[first]} at {first}. Remove these examples, or replace the values."
        )
    return single


def as_labels(name, value):
    """Returns labels `[N]` as int32; ValueError unless they are integers of at least 0."""
    array = as_array(name, value)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must be labels [N] for the metric 'error'. Received: the shape {array.shape}")
    wrong = array[(array != np.floor(array)) | (array < 0) | (array >= 2**31)]
    if len(wrong):
        raise ValueError(
            f"`{name}` must be labels for the metric 'error', whole numbers from 0 on. Received: {wrong[0]}. For "
            "numbers to approximate, say metric='mse'."
        )
    return array.astype("int32")
