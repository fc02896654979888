"""Answers in JSON, in the format of the request: by rows or by columns."""

import base64
import json

from keras_hypernet.serving.errors import invalid

# Of a value in JSON, with few exceptions: -0.012345678901234567 and a comma.
BYTES_OF_A_VALUE = 20
# Values encoded at a time: Python's encoder blocks all other threads until it is done.
_PIECE = 2**14


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


def encode_tensor(array, name):
    """An array as nested lists; strings become base64 if the name of the output ends in `_bytes`."""
    value = array.tolist()
    return _encoded(value, name.endswith("_bytes")) if array.dtype.kind == "O" else value


def _encoded(value, binary):
    if isinstance(value, list):
        return [_encoded(item, binary) for item in value]
    return {"b64": base64.b64encode(value).decode()} if binary else value.decode(errors="replace")
