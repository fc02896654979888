"""Tensors in JSON by the rules of TensorFlow Serving's REST interface: nested lists, and base64 for bytes."""

import base64
import contextlib
import itertools
import json
import math
import reprlib

import numpy as np

from keras_hypernet.serving.errors import ServingError, invalid

_SHOWN = 80  # characters of a value that an error repeats


def shown(value):
    """A value as an error repeats it, shortened."""
    if isinstance(value, (list, dict)):
        return reprlib.repr(value)[:_SHOWN]
    return json.dumps(value[:_SHOWN] if isinstance(value, str) else value)[:_SHOWN]


def decode_tensor(value, info, name):
    """The nested lists of an input, with this `TensorInfo` and name, as an array of its dtype.

    Whether a value is valid does not depend on the values beside it.
    """
    values, shape = _flat(value, name)
    kind, array = info.dtype.kind, np.array(None)
    # Numbers alone: NumPy converts these faster, and would take true for 1.
    if kind in "iuf" and set(map(type, values)) <= {int, float}:
        with contextlib.suppress(OverflowError):  # an integer beyond all floats, among floats
            array = np.array(values)
    if kind == "f" and array.dtype.kind in "iuf":
        # NumPy has turned integers into floats; `values` tells whether that loses digits.
        for number in np.flatnonzero(np.abs(array.astype("float64")) >= _first_inexact(info)):
            _leaf(values[number], info, name)
    elif array.dtype.kind not in "iu" or not np.array_equal(array, array.astype(info.dtype)):
        array = np.array([_leaf(item, info, name) for item in values], dtype=info.dtype)
    return array.astype(info.dtype).reshape(shape)


def _flat(value, name):
    """The values in nested lists, and the shape of the lists."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    unexpected = f"Input {name!r}: encountered list at unexpected"
    if len(shape) > 32:  # the most dimensions of a tensor
        raise invalid(f"{unexpected} level: 33 expected < 32")
    level = [value]
    for depth, size in enumerate(shape):
        if set(map(type, level)) - {list}:
            outside = shown(next(item for item in level if not isinstance(item, list)))
            expected = f"{depth + 1} in the JSON DOM. Expected at level: {len(shape)}"
            raise invalid(f"Input {name!r}: JSON Value: {outside} found at incorrect level: {expected}")
        sizes = set(map(len, level)) - {size}
        if sizes:
            raise invalid(f"{unexpected} size: {min(sizes)} at level: {depth} expected size: {size}")
        level = list(itertools.chain.from_iterable(level))
    if list in set(map(type, level)):
        raise invalid(f"{unexpected} level: {len(shape)} expected < {len(shape)}")
    return level, shape


def _leaf(value, info, name):
    """A value for an array of the input's dtype, if it is valid."""
    kind = info.dtype.kind
    integer = isinstance(value, int) and not isinstance(value, bool)
    if kind == "O" and (isinstance(value, str) or is_base64(value)):
        return _text(value)
    if kind == "O" and isinstance(value, dict):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    if kind == "b" and isinstance(value, bool):
        return value
    if kind in "iu" and integer:
        limits = np.iinfo(info.dtype)
        if not limits.min <= value <= limits.max:
            expected = f"must hold numbers of {limits.min} to {limits.max}"
            raise invalid(f"Input {name!r} {expected}. Received: {shown(value)}")
        return value
    if kind == "f" and (integer or isinstance(value, float)):
        lossy = abs(value) >= _first_inexact(info) if integer else abs(value) > float(np.finfo(info.dtype).max)
        if lossy and (integer or math.isfinite(value)):
            raise invalid(f"Cannot convert JSON value: {shown(value)} to {info.dtype} without loss of precision.")
        return value
    if kind not in "biufO":
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {shown(value)} to type: {info.dtype}")
    kinds = {dict: "Object", str: "String", bool: str(value), type(None): "Null"}
    received, expected = kinds.get(type(value), "Number"), "string" if kind == "O" else info.dtype
    raise invalid(f"JSON Value: {shown(value)} Type: {received} is not of expected type: {expected}")


def _text(value):
    try:
        return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"], validate=True)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
        raise invalid(f"JSON Value: {shown(value)} is no text: {error.reason}") from error
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def _first_inexact(info):
    """The smallest integer that TensorFlow Serving refuses for a float: the next integer rounds to the same float."""
    return 2 ** (np.finfo(info.dtype).nmant + 1)


def is_base64(value):
    """Whether a JSON value is an object `{"b64": text}`, which stands for bytes."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def encode_tensor(array, name):
    """An array as nested lists; strings become base64 if the name of the output ends in `_bytes`."""
    value = array.tolist()
    return _encoded(value, name.endswith("_bytes")) if array.dtype.kind == "O" else value


def _encoded(value, binary):
    if isinstance(value, list):
        return [_encoded(item, binary) for item in value]
    return {"b64": base64.b64encode(value).decode()} if binary else value.decode(errors="replace")
