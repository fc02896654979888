"""Tensors in gRPC's protocol buffers: no size that a message states is trusted."""

import math

import numpy as np

from keras_hypernet.serving.errors import invalid, too_large


def decode_tensor(proto, info, name, max_bytes):
    """Reads the `TensorProto` of an input `name` with a `TensorInfo` as an array.

    Its size is limited to `max_bytes`: a short message can stand for a large array.
    """
    import tensorflow as tf

    if proto.dtype != info.enum:
        raise invalid(f"Input {name!r} must be of dtype {_dtype_name(info.enum)}. Received: {_dtype_name(proto.dtype)}")
    if proto.tensor_shape.unknown_rank:
        raise invalid(f"Input {name!r} must have a shape. Received: a tensor of unknown rank")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise invalid(f"Input {name!r} must have a shape of at most 32 sizes, none negative. Received: {shape}")
    itemsize = 1 if info.dtype == object else info.dtype.itemsize
    if math.prod(shape) * itemsize > max_bytes:
        raise too_large(f"Input {name!r} of shape {shape} is larger than the {max_bytes:,} bytes that are accepted.")
    content = proto.tensor_content  # once: every access copies it
    if content and info.dtype != object:
        if len(content) != math.prod(shape) * itemsize:
            raise invalid(
                f"Input {name!r} of shape {shape} must hold {math.prod(shape) * itemsize} bytes. "
                f"Received: {len(content)}"
            )
        return np.frombuffer(content, info.dtype).reshape(shape)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from error


def _dtype_name(enum):
    from tensorflow.core.framework import types_pb2

    try:
        return types_pb2.DataType.Name(enum)
    except ValueError:
        return f"number {enum}"
