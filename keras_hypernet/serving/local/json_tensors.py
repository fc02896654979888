"""Tensors in JSON by the rules of TensorFlow Serving's REST interface: nested lists, and base64 for bytes."""

import base64
import json
import math
import reprlib

import numpy as np

from keras_hypernet.serving.errors import ServingError, invalid

_SHOWN = 80  # characters of a value that an error repeats
# Python's types of JSON values by NumPy's kind of dtype.
_TYPES = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str, dict}}


def shown(value):
    """A value as an error repeats it, shortened."""
    if isinstance(value, (list, dict)):
        return reprlib.repr(value)[:_SHOWN]
    return json.dumps(value[:_SHOWN] if isinstance(value, str) else value)[:_SHOWN]


def decode_tensor(value, info, name):
    """The nested lists of an input, with this `TensorInfo` and name, as an array of its dtype.

    Whether a value is valid does not depend on the values beside it.
    """
    kind = info.dtype.kind
    if kind not in _TYPES:
        raise ServingError("UNIMPLEMENTED", f"Input {name!r} is of dtype {info.dtype}, which JSON cannot hold.")
    nested = np.array(value, object)
    values = nested.ravel().tolist()
    if set(map(type, values)) - _TYPES[kind]:
        wrong = next(item for item in values if type(item) not in _TYPES[kind])
        if isinstance(wrong, list):
            raise invalid(f"Input {name!r} must have lists of one size at each level. Received: {shown(wrong)}")
        raise invalid(f"Input {name!r} must hold values of {info.dtype}. Received: {shown(wrong)}")
    if kind == "O":
        values = [_text(item, name) for item in values]
    elif kind in "iu":
        least, most = np.iinfo(info.dtype).min, np.iinfo(info.dtype).max
        wrong = [item for item in values if not least <= item <= most]
        if wrong:
            raise invalid(f"Input {name!r} must hold numbers of {least} to {most}. Received: {shown(wrong[0])}")
    elif kind == "f":
        # As in TensorFlow Serving: from 2^24 on, the next integer rounds to the same float32. Floats are rounded.
        inexact, most = 2 ** (np.finfo(info.dtype).nmant + 1), float(np.finfo(info.dtype).max)
        wrong = [
            item for item in values if (abs(item) >= inexact if type(item) is int else most < abs(item) < math.inf)
        ]
        if wrong:
            raise invalid(f"Cannot convert JSON value: {shown(wrong[0])} to {info.dtype} without loss of precision.")
    return np.array(values, info.dtype).reshape(nested.shape)


def _text(value, name):
    try:
        return base64.b64decode(value["b64"], validate=True) if is_base64(value) else value.encode()
    except (AttributeError, ValueError) as error:  # another object; half of a surrogate pair; not base64
        raise invalid(f"Input {name!r} must hold text or base64. Received: {shown(value)}") from error


def is_base64(value):
    """Whether a JSON value is an object `{"b64": text}`, which stands for bytes."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def encode_tensor(array, name):
    """An array as nested lists; strings become base64 if the name of the output ends in `_bytes`."""
    if array.dtype.kind != "O":
        return array.tolist()

    def encode(value):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode(errors="replace")

    return np.vectorize(encode, otypes=[object])(array).tolist()
