"""Requests and responses in JSON, as in TensorFlow Serving's REST interface.

A request holds rows (`instances`) or columns (`inputs`), and its response has the same format. A tensor is nested
lists, with base64 for bytes.
"""

import base64
import json
import math
import reprlib

import numpy as np

from keras_hypernet.serving.errors import ServingError, invalid, too_large

# Bytes of a value in JSON, with few exceptions: -0.012345678901234567 and a comma.
BYTES_OF_A_VALUE = 20
# Bytes of a request for each value, list or object in it. A parsed value takes up to 90 bytes, however short its text;
# images of one channel, [[[0], [255], ...]], have 3 to 6 characters per value.
_BYTES_OF_A_PARSED_VALUE = 16
_SHOWN = 80  # characters of a value that an error repeats
# Python's types of JSON values by NumPy's kind of dtype.
_TYPES = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}, "O": {str, dict}}


def parse(body, max_bytes):
    """Parses a JSON object of limited size, in which NaN, Infinity and -Infinity are numbers too."""
    values, max_values = sum(body.count(sign) for sign in (b",", b"[", b"{")), max_bytes // _BYTES_OF_A_PARSED_VALUE
    if values > max_values:
        accepted = f"A request in JSON may have {max_values:,} values, lists and objects."
        raise too_large(f"{accepted} Received: {values:,}. Send it in parts.")
    try:
        content = json.loads(body.decode("utf-8-sig"))  # json.loads would accept other encodings of bytes
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of too many digits; too deeply nested
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(content, dict):
        raise invalid(f"A request in JSON must be an object. Received: {_shown(content)}")
    return content


def signature_name(content):
    """The signature that a request names, or the default one."""
    name = content.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' must be a string. Received: {_shown(name)}")
    return name or "serving_default"


def decode_request(content, infos):
    """Returns whether a request is in the row format, and its arrays, by the `TensorInfo`s."""
    row_format, names = "instances" in content, ", ".join(sorted(infos))
    if row_format == ("inputs" in content):
        raise invalid("A request must have either rows, 'instances', or columns, 'inputs'.")
    inputs = content["instances" if row_format else "inputs"]
    if row_format:
        if not isinstance(inputs, list) or not inputs:
            raise invalid(f"'instances' must be a list of at least one row. Received: {_shown(inputs)}")
        if _is_named(inputs[0]):
            wrong = [row for row in inputs if not isinstance(row, dict) or set(row) != set(infos)]
            if wrong:
                raise invalid(f"Each of 'instances' must be an object of {names}. Received: {_shown(wrong[0])}")
            inputs = {name: [row[name] for row in inputs] for name in infos}
    if not _is_named(inputs) and len(infos) == 1:
        inputs = dict.fromkeys(infos, inputs)
    if not _is_named(inputs) or set(inputs) != set(infos):
        received = ", ".join(sorted(inputs))[:200] if _is_named(inputs) else _shown(inputs)
        raise invalid(f"The inputs must be named, {names}. Received: {received}")
    return row_format, {name: decode_tensor(inputs[name], info, name) for name, info in infos.items()}


def _is_named(inputs):
    return isinstance(inputs, dict) and not _is_base64(inputs)


def encode_response(outputs, row_format):
    """Returns the JSON of outputs, a dict of arrays, in the format of the request."""
    sizes = {name: value.shape[:1] for name, value in outputs.items()}
    if row_format and (len(set(sizes.values())) > 1 or () in sizes.values()):
        raise invalid(f"Outputs with different first dimensions, {sizes}, need the columnar format: use 'inputs'.")
    content = {name: encode_tensor(outputs[name], name) for name in sorted(outputs)}
    if len(content) == 1:
        (content,) = content.values()
    elif row_format:
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    return json.dumps({"predictions" if row_format else "outputs": content}).encode()


def _shown(value):
    """A value for an error message, shortened."""
    if isinstance(value, (list, dict)):
        return reprlib.repr(value)[:_SHOWN]
    return json.dumps(value[:_SHOWN] if isinstance(value, str) else value)[:_SHOWN]


def decode_tensor(value, info, name):
    """The nested lists of an input, with this `TensorInfo` and name, as an array of its dtype.

    The validity of a value does not depend on the other values.
    """
    kind = info.dtype.kind
    if kind not in _TYPES:
        raise ServingError("UNIMPLEMENTED", f"Input {name!r} is of dtype {info.dtype}, which JSON cannot hold.")
    nested = np.array(value, object)
    values = nested.ravel().tolist()
    if set(map(type, values)) - _TYPES[kind]:
        wrong = next(item for item in values if type(item) not in _TYPES[kind])
        if isinstance(wrong, list):
            raise invalid(f"Input {name!r} must have lists of one size at each level. Received: {_shown(wrong)}")
        raise invalid(f"Input {name!r} must hold values of {info.dtype}. Received: {_shown(wrong)}")
    if kind == "O":
        values = [_text(item, name) for item in values]
    elif kind in "iu":
        least, most = np.iinfo(info.dtype).min, np.iinfo(info.dtype).max
        for item in (min(values, default=least), max(values, default=most)):
            if not least <= item <= most:
                raise invalid(f"Input {name!r} must hold numbers of {least} to {most}. Received: {_shown(item)}")
    elif kind == "f":
        # As in TensorFlow Serving: from 2^24 on, the next integer rounds to the same float32. Floats are rounded.
        inexact, most = 2 ** (np.finfo(info.dtype).nmant + 1), float(np.finfo(info.dtype).max)
        wrong = [
            item for item in values if (abs(item) >= inexact if type(item) is int else most < abs(item) < math.inf)
        ]
        if wrong:
            raise invalid(f"Cannot convert JSON value: {_shown(wrong[0])} to {info.dtype} without loss of precision.")
    return np.array(values, info.dtype).reshape(nested.shape)


def _text(value, name):
    try:
        return base64.b64decode(value["b64"], validate=True) if _is_base64(value) else value.encode()
    except (AttributeError, ValueError) as error:  # another object; half of a surrogate pair; not base64
        raise invalid(f"Input {name!r} must hold text or base64. Received: {_shown(value)}") from error


def _is_base64(value):
    """Whether a JSON value is an object `{"b64": text}`, which stands for bytes."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def encode_tensor(array, name):
    """An array as nested lists; strings become base64 if the name of the output ends in `_bytes`."""
    if array.dtype.kind != "O":
        return array.tolist()

    def encode(value):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode(errors="replace")

    return np.vectorize(encode, otypes=[object])(array).tolist()
