"""Requests and answers in JSON by the rules of TensorFlow Serving's REST interface.

A request holds rows (`instances`) or columns (`inputs`), and its answer has the same format.
"""

import json

from keras_hypernet.serving.errors import invalid, too_large
from keras_hypernet.serving.local.json_tensors import decode_tensor, encode_tensor, is_base64, shown

# Of a value in JSON, with few exceptions: -0.012345678901234567 and a comma.
BYTES_OF_A_VALUE = 20


def parse(body, max_values):
    """Parses a JSON object, in which NaN, Infinity and -Infinity are numbers too, of limited size."""
    values = sum(body.count(sign) for sign in (b",", b"[", b"{"))
    if values > max_values:
        accepted = f"A request in JSON may have {max_values:,} values, lists and objects."
        raise too_large(f"{accepted} Received: {values:,}. Send it in parts.")
    try:
        content = json.loads(body.decode("utf-8-sig"))  # json itself would take other encodings of bytes
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of too many digits; too deeply nested
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(content, dict):
        raise invalid(f"A request in JSON must be an object. Received: {shown(content)}")
    return content


def signature_name(content):
    """The signature that a request names, or the default one."""
    name = content.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' must be a string. Received: {shown(name)}")
    return name or "serving_default"


def decode_request(content, infos):
    """Returns whether a request is in the row format, and its arrays by the `TensorInfo`s."""
    row_format, names = "instances" in content, ", ".join(sorted(infos))
    if row_format == ("inputs" in content):
        raise invalid("A request must have either rows, 'instances', or columns, 'inputs'.")
    inputs = content["instances" if row_format else "inputs"]
    if row_format:
        if not isinstance(inputs, list) or not inputs:
            raise invalid(f"'instances' must be a list of at least one row. Received: {shown(inputs)}")
        if _is_named(inputs[0]):
            wrong = [row for row in inputs if not isinstance(row, dict) or set(row) != set(infos)]
            if wrong:
                raise invalid(f"Each of 'instances' must be an object of {names}. Received: {shown(wrong[0])}")
            inputs = {name: [row[name] for row in inputs] for name in infos}
    if not _is_named(inputs) and len(infos) == 1:
        inputs = dict.fromkeys(infos, inputs)
    if not _is_named(inputs) or set(inputs) != set(infos):
        received = ", ".join(sorted(inputs))[:200] if _is_named(inputs) else shown(inputs)
        raise invalid(f"The inputs must be named, {names}. Received: {received}")
    return row_format, {name: decode_tensor(inputs[name], info, name) for name, info in infos.items()}


def _is_named(inputs):
    return isinstance(inputs, dict) and not is_base64(inputs)


def encode_response(outputs, row_format):
    """Returns the JSON of outputs, a dict of arrays, in the format of the request."""
    sizes = {name: value.shape[:1] for name, value in outputs.items()}
    if row_format and (len(set(sizes.values())) > 1 or () in sizes.values()):
        raise invalid(f"Outputs of different 0th dimensions, {sizes}, need the columnar format: use 'inputs'.")
    content = {name: encode_tensor(outputs[name], name) for name in sorted(outputs)}
    if len(content) == 1:
        (content,) = content.values()
    elif row_format:
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    return json.dumps({"predictions" if row_format else "outputs": content}).encode()
