"""Requests in JSON, by the rules of TensorFlow Serving's REST interface: the row format and the columnar one."""

import json

from keras_hypernet.serving.errors import invalid
from keras_hypernet.serving.json_tensors import decode_tensor, encode_tensor, is_base64, shown


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
    values = {name: encode_tensor(outputs[name], name) for name in sorted(outputs)}
    if not row_format:
        return json.dumps({"outputs": next(iter(values.values())) if len(values) == 1 else values}).encode()
    sizes = {name: value.shape[0] if value.ndim else None for name, value in outputs.items()}
    if len(set(sizes.values())) > 1 or None in sizes.values():
        raise invalid(f"Outputs of different 0th dimensions, {sizes}, need the columnar format: use 'inputs'.")
    if len(values) == 1:
        return json.dumps({"predictions": next(iter(values.values()))}).encode()
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return json.dumps({"predictions": rows}).encode()


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
    if not isinstance(instances[0], dict) or is_base64(instances[0]):
        return _only_input(instances, infos, plain, "instances is a plain list", "list of objects")
    for number, row in enumerate(instances):
        if not isinstance(row, dict):
            raise invalid(f"Expecting object but got list at item {number} of input list")
        if set(row) != set(infos):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(row)} keys must be "
                f"equal to: {','.join(sorted(infos))}"
            )
    return {name: decode_tensor([row[name] for row in instances], info, name, plain) for name, info in infos.items()}


def _columns(inputs, infos, plain):
    if not isinstance(inputs, dict) or is_base64(inputs):
        return _only_input(inputs, infos, plain, "inputs is a plain value/list", "an object")
    for name in infos:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    for name in inputs:
        if name not in infos:
            raise invalid(f"JSON object: does not have named input: {shown(name)}. Expected: {','.join(sorted(infos))}")
    return {name: decode_tensor(inputs[name], info, name, plain) for name, info in infos.items()}


def _only_input(value, infos, plain, received, expected):
    """The tensor of a request that does not name its inputs, which is for signatures of one input."""
    if len(infos) > 1:
        raise invalid(
            f"{received}, but expecting {expected} as multiple input tensors required: {', '.join(sorted(infos))}"
        )
    ((name, info),) = infos.items()
    return {name: decode_tensor(value, info, name, plain)}
