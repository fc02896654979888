"""Tensors in JSON, by the rules of TensorFlow Serving's REST interface: nested lists, and base64 for bytes."""

import base64
import binascii
import json
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
    """Nested lists as an array; the fast way if all is well, the long one to say what is not.

    Args:
        value: What the JSON has for an input.
        info: The `TensorInfo` of the input.
        name: Its name, for errors.
        plain: Whether there are only numbers in it, as far as is known.

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
            array = None  # ragged, or nested deeper than an array can be
        if array is not None and (array.dtype.kind in "iu" or (array.dtype.kind == "f" and kind == "f")):
            return _checked_numbers(array, info, name)
        if array is not None and array.size == 0:
            return np.zeros(array.shape, info.dtype)
    leaves, shape = [], _shape(value)
    _flatten(value, shape, 0, info, name, leaves)
    if kind == "f":
        return _checked_numbers(np.array(leaves, dtype="float64").reshape(shape), info, name)
    return np.array(leaves, dtype=info.dtype).reshape(shape)


def _checked_numbers(array, info, name):
    """An array of numbers as the dtype of an input, if nothing of them is lost."""
    if info.dtype.kind in "iu":
        limits = np.iinfo(info.dtype)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise invalid(
                f"Input {name!r} must hold numbers of {limits.min} to {limits.max}. "
                f"Received: {array.min()} to {array.max()}"
            )
    elif array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        if finite.size and np.abs(finite).max() > np.finfo(info.dtype).max:
            raise invalid(
                f"Cannot convert JSON value: {np.abs(finite).max()} to {info.dtype} without loss of precision."
            )
    elif array.size and int(np.abs(array.astype("float64")).max()) >= 2 ** (np.finfo(info.dtype).nmant + 1):
        raise _lossy(array.max(), info)
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
        leaves.append(_leaf(value, info))


def _leaf(value, info):
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
    if (kind == "b" and isinstance(value, bool)) or (kind in "iu" and integer and _fits(value, info)):
        return value
    if kind == "f" and number:
        if integer and abs(value) >= 2 ** (np.finfo(info.dtype).nmant + 1):
            raise _lossy(shown(value), info)
        return value
    if kind not in "biufO":
        raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {shown(value)} to type: {info.dtype}")
    kinds = {dict: "Object", str: "String", bool: str(value), type(None): "Null"}
    raise invalid(
        f"JSON Value: {shown(value)} Type: {kinds.get(type(value), 'Number')} is not of expected type: "
        f"{'string' if info.dtype == object else info.dtype}"
    )


def _lossy(value, info):
    return invalid(f"Cannot convert JSON value: {value} to {info.dtype} without loss of precision.")


def _fits(value, info):
    limits = np.iinfo(info.dtype)
    return limits.min <= value <= limits.max


def is_base64(value):
    """Whether a JSON value is the object `{"b64": text}`, by which binary values are written."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)
