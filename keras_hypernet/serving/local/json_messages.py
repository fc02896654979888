"""Requests and answers in JSON by the rules of TensorFlow Serving's REST interface.

A request holds rows (`instances`) or columns (`inputs`), and its answer has the same format.
"""

import json
import math

import numpy as np

from keras_hypernet.serving.errors import invalid, too_large
from keras_hypernet.serving.local.json_tensors import decode_tensor, encode_tensor, is_base64, shown

# Of a value in JSON, with few exceptions: -0.012345678901234567 and a comma.
BYTES_OF_A_VALUE = 20
# Values encoded at a time: Python's encoder blocks all other threads until it is done.
_PIECE = 2**14


def parse(body, max_values):
    """Parses a JSON object, in which NaN, Infinity and -Infinity are numbers too, of limited size."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    if b"\0" in body:  # the parser would not name the cause
        raise invalid("JSON Parse error: The document must be UTF-8. Received: a byte of zero, as UTF-16 has it")
    values = sum(body.count(sign) for sign in (b",", b"[", b"{"))
    if values > max_values:
        accepted = f"A request in JSON may have {max_values:,} values, lists and objects."
        raise too_large(f"{accepted} Received: {values:,}. Send it in parts.")
    try:
        content = json.loads(body.decode("utf-8-sig"))  # json itself would take other encodings of bytes
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of too many digits; too deeply nested
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(content, dict):
        raise invalid(f"JSON Value: {shown(content)} Is not object")
    return content


def signature_name(content):
    """The signature that a request names, or the default one."""
    name = content.get("signature_name", "serving_default")
    if not isinstance(name, str):
        expected = "'signature_name' key must be a string value."
        raise invalid(f"JSON Value: {shown(content)} not formatted correctly. {expected}")
    return name or "serving_default"


def decode_request(body, content, infos):
    """Returns whether a request, as bytes and parsed, is in the row format, and its arrays by the `TensorInfo`s."""
    row_format = "instances" in content
    if row_format and "inputs" in content:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if not row_format and "inputs" not in content:
        raise invalid("Missing 'inputs' or 'instances' key")
    tensors = _rows(content["instances"], infos) if row_format else _columns(content["inputs"], infos)
    if any(tensor.dtype.kind == "f" and np.isinf(tensor).any() for tensor in tensors.values()):
        json.loads(body, parse_float=_finite)  # only the text tells Infinity from a number that is too large
    return row_format, tensors


def _finite(text):
    value = float(text)
    if math.isinf(value):
        raise invalid(f"Cannot convert JSON value: {text[:40]} to float64 without loss of precision.")
    return value


def _rows(instances, infos):
    if not isinstance(instances, list):
        raise invalid("Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid("No values in 'instances' array")
    if not isinstance(instances[0], dict) or is_base64(instances[0]):
        return _only_input(instances, infos, "instances is a plain list", "list of objects")
    for number, row in enumerate(instances):
        if not isinstance(row, dict):
            raise invalid(f"Expecting object but got list at item {number} of input list")
        if set(row) != set(infos):
            failed = f"Failed to process element: {number} of 'instances' list."
            raise invalid(f"{failed} JSON object: {shown(row)} keys must be equal to: {','.join(sorted(infos))}")
    return {name: decode_tensor([row[name] for row in instances], info, name) for name, info in infos.items()}


def _columns(inputs, infos):
    if not isinstance(inputs, dict) or is_base64(inputs):
        return _only_input(inputs, infos, "inputs is a plain value/list", "an object")
    for name in infos:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    for name in inputs:
        if name not in infos:
            raise invalid(f"JSON object: does not have named input: {shown(name)}. Expected: {','.join(sorted(infos))}")
    return {name: decode_tensor(inputs[name], info, name) for name, info in infos.items()}


def _only_input(value, infos, received, expected):
    """The tensor of a request without names of inputs, which only signatures of one input allow."""
    if len(infos) > 1:
        names = ", ".join(sorted(infos))
        raise invalid(f"{received}, but expecting {expected} as multiple input tensors required: {names}")
    ((name, info),) = infos.items()
    return {name: decode_tensor(value, info, name)}


def encode_response(outputs, row_format):
    """Returns the JSON of outputs, a dict of arrays, in the format of the request."""
    outputs = {name: outputs[name] for name in sorted(outputs)}
    (only, *others), key = outputs, "predictions" if row_format else "outputs"
    if row_format:
        sizes = {name: value.shape[0] if value.ndim else None for name, value in outputs.items()}
        if len(set(sizes.values())) > 1 or None in sizes.values():
            raise invalid(f"Outputs of different 0th dimensions, {sizes}, need the columnar format: use 'inputs'.")
    if not others:
        content = _array(outputs[only], only)
    elif row_format:
        rows = ({name: value[row, ...] for name, value in outputs.items()} for row in range(len(outputs[only])))
        content = f"[{', '.join(map(_object, rows))}]"
    else:
        content = _object(outputs)
    return f'{{"{key}": {content}}}'.encode()


def _object(arrays):
    return f"{{{', '.join(f'{json.dumps(name)}: {_array(array, name)}' for name, array in arrays.items())}}}"


def _array(array, name):
    """The JSON of an array, encoded in pieces."""
    if array.ndim == 0 or array.size <= _PIECE:
        return json.dumps(encode_tensor(array, name))
    size = array.size // len(array)
    if size > _PIECE:
        return f"[{', '.join(_array(row, name) for row in array)}]"
    step = _PIECE // size
    pieces = (json.dumps(encode_tensor(array[row : row + step], name))[1:-1] for row in range(0, len(array), step))
    return f"[{', '.join(pieces)}]"
