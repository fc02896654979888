"""Tensors in protocol buffers, as gRPC requests carry them; a message is not believed what it says of its size."""

import math

import numpy as np

from keras_hypernet.serving.errors import invalid, too_large


def decode_tensor(proto, info, name, max_bytes):
    """Reads a `TensorProto`.

    Args:
        proto: The message.
        info: The `TensorInfo` of the input that it is for.
        name: Name of the input, for errors.
        max_bytes: How large the array may be; a message may stand for many times its own size.

    Returns:
        An array.

    Raises:
        ServingError: If it is of another dtype, its shape is not one or does not fit what it holds, or it is too large.
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
    content = proto.tensor_content  # once: each time it is copied
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


def encode_tensor(tensor, proto):
    """Writes an array into a `TensorProto`."""
    import tensorflow as tf

    array = np.asarray(tensor)
    if array.dtype == object:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    proto.tensor_content = np.ascontiguousarray(array).tobytes()


def _dtype_name(enum):
    from tensorflow.core.framework import types_pb2

    try:
        return types_pb2.DataType.Name(enum)
    except ValueError:
        return f"number {enum}"
