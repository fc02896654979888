"""Tensors in JSON, by the rules of TensorFlow Serving's REST interface: the row format and the columnar one."""

import base64
import binascii
import json
import reprlib

import numpy as np

from keras_hypernet.serving.errors import ServingError, invalid

_SHOWN = 80  # characters of a value that an error repeats


def parse(body):
    """Parses the body of a request: a JSON object, in which NaN, Infinity and -Infinity are numbers too.

    Raises:
        ServingError: If it is not one.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of too many digits; nested too deeply
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(content, dict):
        raise invalid(f"JSON Value: {shown(content)} Is not object")
    return content


def signature_name(content):
    """The signature that a request names, or the default one."""
    name = content.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(content)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name or "serving_default"


def decode_request(body, content, infos):
    """Reads the tensors of a request.

    Args:
        body: The body of the request, bytes.
        content: The parsed body, with `instances` (rows) or `inputs` (columns).
        infos: Dict of the `TensorInfo` of each input.

    Returns:
        A pair: whether it is in the row format, and a dict of arrays.

    Raises:
        ServingError: If it is in neither format, or a tensor is missing, unknown, ragged or not of its dtype.
    """
    if "instances" in content and "inputs" in content:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in content:
        return True, _rows(content["instances"], infos, _plain(body, content))
    if "inputs" in content:
        return False, _columns(content["inputs"], infos, _plain(body, content))
    raise invalid("Missing 'inputs' or 'instances' key")


def encode_response(outputs, row_format):
    """Returns the JSON of outputs, a dict of arrays, in the format of the request."""
    values = {name: _encode(outputs[name], name) for name in sorted(outputs)}
    if not row_format:
        return json.dumps({"outputs": next(iter(values.values())) if len(values) == 1 else values}).encode()
    sizes = {name: value.shape[0] if value.ndim else None for name, value in outputs.items()}
    if len(set(sizes.values())) > 1 or None in sizes.values():
        raise invalid(f"Outputs of different 0th dimensions, {sizes}, need the columnar format: use 'inputs'.")
    if len(values) == 1:
        return json.dumps({"predictions": next(iter(values.values()))}).encode()
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return json.dumps({"predictions": rows}).encode()


def shown(value):
    """A value as an error repeats it, shortened."""
    if isinstance(value, (list, dict)):
        return reprlib.repr(value)[:_SHOWN]
    return json.dumps(value[:_SHOWN] if isinstance(value, str) else value)[:_SHOWN]


def _plain(body, content):
    """Whether the only strings in a request are its keys and the signature's name, and all else in it is numbers.

    NumPy takes true for 1, null for NaN, and makes an array of strings as large as its longest one everywhere.
    """
    if any(word in body for word in (b"true", b"false", b"null")):
        return False
    instances, inputs = content.get("instances"), content.get("inputs")
    strings = len(content) + isinstance(content.get("signature_name"), str)
    strings += len(inputs) if isinstance(inputs, dict) else 0
    if isinstance(instances, list):
        strings += sum(len(row) for row in instances if isinstance(row, dict))
    return body.count(b'"') == 2 * strings


def _rows(instances, infos, plain):
    if not isinstance(instances, list):
        raise invalid("Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid("No values in 'instances' array")
    if not isinstance(instances[0], dict) or _is_base64(instances[0]):
        if len(infos) > 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple input tensors required: "
                f"{', '.join(sorted(infos))}"
            )
        ((name, info),) = infos.items()
        return {name: _tensor(instances, info, name, plain)}
    for number, row in enumerate(instances):
        if not isinstance(row, dict):
            raise invalid(f"Expecting object but got list at item {number} of input list")
        if set(row) != set(infos):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(row)} keys must be "
                f"equal to: {','.join(sorted(infos))}"
            )
    return {name: _tensor([row[name] for row in instances], info, name, plain) for name, info in infos.items()}


def _columns(inputs, infos, plain):
    if not isinstance(inputs, dict) or _is_base64(inputs):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required: "
                f"{', '.join(sorted(infos))}"
            )
        ((name, info),) = infos.items()
        return {name: _tensor(inputs, info, name, plain)}
    for name in infos:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    for name in inputs:
        if name not in infos:
            raise invalid(f"JSON object: does not have named input: {shown(name)}. Expected: {','.join(sorted(infos))}")
    return {name: _tensor(inputs[name], info, name, plain) for name, info in infos.items()}


def _tensor(value, info, name, plain):
    """Nested lists as an array; the fast way if all is well, the long one to say what is not."""
    kind = info.dtype.kind
    if plain and kind in "iuf":
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError, RecursionError):
            array = None  # ragged, or nested deeper than an array can be
        if array is not None and (array.dtype.kind in "iu" or (array.dtype.kind == "f" and kind == "f")):
            return _checked_numbers(array, value, info, name)
        if array is not None and array.size == 0:
            return np.zeros(array.shape, info.dtype)
    leaves, shape = [], _shape(value)
    _flatten(value, shape, 0, info, name, leaves)
    return np.array(leaves, dtype=info.dtype).reshape(shape)


def _checked_numbers(array, value, info, name):
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
            return value.encode()
        if _is_base64(value):
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


def _is_base64(value):
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _encode(array, name):
    if array.dtype != object:
        return array.tolist()
    binary = name.endswith("_bytes")

    def encoded(value):
        if isinstance(value, list):
            return [encoded(item) for item in value]
        return {"b64": base64.b64encode(value).decode()} if binary else value.decode(errors="replace")

    return encoded(array.tolist())
