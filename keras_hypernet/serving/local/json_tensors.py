"""Tensors in JSON, by the rules of TensorFlow Serving's REST interface: nested lists, and base64 for bytes."""

import base64
import binascii
import functools
import json
import math
import operator
import reprlib

import numpy as np

from keras_hypernet.serving.errors import ServingError, invalid

_SHOWN = 80  # characters of a value that an error repeats


def shown(value):
    """A value as an error repeats it, shortened."""
    if isinstance(value, (list, dict)):
        return reprlib.repr(value)[:_SHOWN]
    return json.dumps(value[:_SHOWN] if isinstance(value, str) else value)[:_SHOWN]


def decode_tensor(value, info, name, plain):
    """Nested lists as an array. What is said of a value does not depend on the values beside it.

    Args:
        value: What the JSON has for an input.
        info: The `TensorInfo` of the input.
        name: Its name, for errors.
        plain: Whether there are only numbers in it, as far as is known: NumPy reads these faster than Python.

    Returns:
        An array of the input's dtype.

    Raises:
        ServingError: If it is ragged, nested too deeply, or not of that dtype.
    """
    kind = info.dtype.kind
    if plain and kind in "iuf":
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError, RecursionError):
            array = np.asarray(None)  # ragged, or nested deeper than an array can be
        if array.size == 0:
            return np.zeros(array.shape, info.dtype)
        if array.dtype.kind in "iu":
            return _from_integers(array, value, info, name)
        if array.dtype.kind == kind == "f":
            return _from_floats(array, value, info, name)
    leaves, shape = [], _shape(value)
    _flatten(value, shape, 0, info, name, leaves)
    return np.array(leaves, dtype=info.dtype).reshape(shape)


def _from_integers(array, value, info, name):
    if info.dtype.kind == "f":
        return _from_floats(array.astype("float64"), value, info, name)
    limits = np.iinfo(info.dtype)
    outside = array[(array < limits.min) | (array > limits.max)]
    if outside.size:
        raise _outside(outside.flat[0], info, name)
    return array.astype(info.dtype)


def _from_floats(array, value, info, name):
    """NumPy has made floats of integers, too: whether a large number was one only `value` tells."""
    for place in np.argwhere(np.abs(array) >= _first_inexact(info)):
        _leaf(functools.reduce(operator.getitem, place, value), info, name)
    return array.astype(info.dtype)


def _shape(value):
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flatten(value, shape, level, info, name, leaves):
    if isinstance(value, list):
        if level >= len(shape):
            raise invalid(f"Input {name!r}: encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise invalid(
                f"Input {name!r}: encountered list at unexpected size: {len(value)} at level: {level} expected size: "
                f"{shape[level]}"
            )
        if level > 32:  # no tensor has so many dimensions
            raise invalid(f"Input {name!r}: encountered list at unexpected level: {level} expected < 32")
        for item in value:
            _flatten(item, shape, level + 1, info, name, leaves)
    elif level != len(shape):
        raise invalid(
            f"Input {name!r}: JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
            f"Expected at level: {len(shape)}"
        )
    else:
        leaves.append(_leaf(value, info, name))


def _leaf(value, info, name):
    """One value, as it is, if it can be one of the input's dtype."""
    kind = info.dtype.kind
    if info.dtype == object:
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
                raise invalid(f"JSON Value: {shown(value)} is no text: {error.reason}") from error
        if is_base64(value):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except (binascii.Error, ValueError) as error:
                raise invalid("Unable to base64 decode") from error
        if isinstance(value, dict):
            raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    integer = isinstance(value, int) and not isinstance(value, bool)
    if kind == "b" and isinstance(value, bool):
        return value
    if kind in "iu" and integer:
        if not np.iinfo(info.dtype).min <= value <= np.iinfo(info.dtype).max:
            raise _outside(shown(value), info, name)
        return value
    if kind == "f" and number:
        lossy = abs(value) >= _first_inexact(info) if integer else abs(value) > float(np.finfo(info.dtype).max)
        if lossy and (integer or math.isfinite(value)):
            raise invalid(f"Cannot convert JSON value: {shown(value)} to {info.dtype} without loss of precision.")
        return value
    if kind not in "biufO":
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {shown(value)} to type: {info.dtype}")
    kinds = {dict: "Object", str: "String", bool: str(value), type(None): "Null"}
    raise invalid(
        f"JSON Value: {shown(value)} Type: {kinds.get(type(value), 'Number')} is not of expected type: "
        f"{'string' if info.dtype == object else info.dtype}"
    )


def _first_inexact(info):
    """The least integer that TensorFlow Serving refuses for a float: the next one could not be told from it."""
    return 2 ** (np.finfo(info.dtype).nmant + 1)


def _outside(value, info, name):
    limits = np.iinfo(info.dtype)
    return invalid(f"Input {name!r} must hold numbers of {limits.min} to {limits.max}. Received: {value}")


def is_base64(value):
    """Whether a JSON value is the object `{"b64": text}`, by which binary values are written."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)
