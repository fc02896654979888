"""gRPC's protocol buffers: tensors, states of versions, and signatures; REST uses the last two as well."""

import math

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_hypernet.serving.errors import invalid, too_large

_DTYPES = {number: name for name, number in types_pb2.DataType.items()}


def decode_tensor(proto, info, name, max_bytes):
    """Reads the `TensorProto` of an input `name` with a `TensorInfo` as an array of at most `max_bytes`.

    The sizes in the message are not trusted, because a short message can stand for a large array.
    """
    if proto.dtype != info.enum:
        received = _DTYPES.get(proto.dtype, f"number {proto.dtype}")
        raise invalid(f"Input {name!r} must be of dtype {_DTYPES[info.enum]}. Received: {received}")
    if proto.tensor_shape.unknown_rank:
        raise invalid(f"Input {name!r} must have a shape. Received: a tensor of unknown rank")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise invalid(f"Input {name!r} must have a shape of at most 32 sizes, none negative. Received: {shape}")
    num_bytes = math.prod(shape) * (1 if info.dtype == object else info.dtype.itemsize)
    if num_bytes > max_bytes:
        raise too_large(f"Input {name!r} of shape {shape} is larger than the {max_bytes:,} bytes that are accepted.")
    content = proto.tensor_content  # once: every access copies it
    if content and info.dtype != object:
        if len(content) != num_bytes:
            raise invalid(f"Input {name!r} of shape {shape} must hold {num_bytes} bytes. Received: {len(content)}")
        return np.frombuffer(content, info.dtype).reshape(shape)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from error


def status_response(versions):
    """The `GetModelStatusResponse` of `(version, state, error)`s."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state, error in versions:
        added = response.model_version_status.add(version=version, state=state)
        added.status.error_code = 2 if error else 0  # UNKNOWN, OK
        added.status.error_message = error
    return response


def signature_map(servable):
    """The signatures of a servable as TensorFlow Serving's message."""
    return get_model_metadata_pb2.SignatureDefMap(signature_def=servable.definitions)


def to_json(message):
    """A message as the dict that TensorFlow Serving's REST interface writes."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
