"""Ids: inputs of layers that look up integers. An id that a float rounds would refer to another entry."""

import math

import keras

from keras_hypernet.layers import HyperEmbedding, StandardizeImage

# A float holds every integer up to this one. A Sequential without a `keras.Input` casts its inputs to a float.
EXACT_INTEGERS = {"bfloat16": 2**8, "float16": 2**11, "float32": 2**24}
# Layers that change the shape of ids, but not the ids.
_SHAPERS = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Permute, keras.layers.RepeatVector)


def input_dtype(layers):
    """Returns the input dtype of a list of layers: uint8 for pixels, an integer dtype for ids, otherwise float32.

    >>> input_dtype([keras.layers.Embedding(1000, 4)]), input_dtype([keras.layers.Dense(4)])
    ('int32', 'float32')
    """
    first = _first(layers)
    return "uint8" if isinstance(first, StandardizeImage) else _read(first)[0] or "float32"


def check_ids(network):
    """Raises ValueError if a layer, or a layer inside it, casts ids to a float that rounds them."""
    for layer in getattr(network, "layers", []):
        check_ids(layer)
    inputs = getattr(network, "inputs", None)
    if isinstance(network, keras.layers.CategoryEncoding):
        # In TensorFlow's graphs, Keras casts the input of the layer to the layer's dtype.
        _check_exact(network.name, network.compute_dtype, network, "Create the layer with `dtype='float32'`.")
    elif isinstance(network, keras.Sequential) and inputs:
        advice = "Put `keras.Input(shape, dtype='int32')`, or 'int64', before the first layer."
        _check_exact(network.name, inputs[0].dtype, _first(network.layers), advice)


def _check_exact(name, dtype, layer, advice):
    dtype, number = keras.backend.standardize_dtype(dtype), _read(layer)[1]
    exact = EXACT_INTEGERS.get(dtype, math.inf)
    if number > exact + 1:
        received = f"{type(layer).__name__} of {number if number < math.inf else 'any'} ids"
        raise ValueError(
            f"{name!r} casts its inputs to {dtype}, which rounds ids beyond {exact}. Received: {received}. {advice}"
        )


def _first(layers):
    """The first layer that does more than change the shape."""
    return next((layer for layer in layers if not isinstance(layer, _SHAPERS)), None)


def _read(layer):
    """The dtype of the integers that a layer reads, or None; and its number of ids, which may be infinite."""
    if isinstance(layer, (keras.layers.Embedding, HyperEmbedding)):
        return "int32", layer.input_dim
    if isinstance(layer, keras.layers.CategoryEncoding):
        return "int32", layer.num_tokens
    if isinstance(layer, (keras.layers.Hashing, keras.layers.IntegerLookup)):
        return "int64", math.inf
    declared = getattr(layer, "inputs", None) or []
    dtype = keras.backend.standardize_dtype(declared[0].dtype) if len(declared) == 1 else "float32"
    if dtype.startswith(("int", "uint")):
        return dtype, max((_read(inner)[1] for inner in layer.layers), default=0)
    return _read(_first(layer.layers)) if isinstance(layer, keras.Sequential) else (None, 0)
