"""What is served of a model: `serving_default`, and its two halves, of which the first depends on the condition alone.

For a model without a condition there is `serving_default` alone.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_hypernet.layers import ConditionedLayer
from keras_hypernet.models import ConditionalModel, EmbeddingMethod
from keras_hypernet.models.apply import apply_encoded, weight_shapes
from keras_hypernet.models.conditions import declared_inputs, pack, parts, symbolic
from keras_hypernet.models.ids import input_dtype
from keras_hypernet.models.shapes import output_shape

# What a last layer may be called, for its output to be served under its name; others are served as the first.
OUTPUTS = ("logits", "value", "rgb")


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        name, dtype: Its name, and its dtype.
        shape: Its shape; None is a dimension that every request chooses.
        values: The vocabulary that its values are looked up in, if that is known.
    """

    name: str
    dtype: str
    shape: tuple
    values: tuple = ()


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of named tensors that is exported.

    Attributes:
        name: What requests call it.
        function: Takes the inputs as keyword arguments, returns a dict of float32 tensors.
        inputs: The `Input`s, in order.
    """

    name: str
    function: Callable
    inputs: tuple


def signatures(model):
    """Returns the signatures that a model is served by.

    Args:
        model: A built model of this package, or a `keras.Sequential` of x alone.

    Returns:
        A list of `Signature`s: `serving_default(x, condition)`, and either `generate_weights(condition)` and
        `apply(x, *weights)`, or, for the embedding method, `embed(condition)` and `apply(x, embedding)`. `apply`
        takes the weights of one condition for all of x, or those of one condition for each. An input is of the integer
        dtype that the layer declares which takes it, or, as an Embedding does, reads; otherwise of float32. Strings
        have the dtype `"string"`. A condition of several parts is an input for each of them, such as `condition_image`.

    Raises:
        ValueError: If two weights would have the same name.

    Example:

    >>> for signature in signatures(keras_hypernet.load("rotation_mnist_embed")):
    ...     print(signature.name, [input.name for input in signature.inputs])
    serving_default ['x', 'condition']
    embed ['condition']
    apply ['x', 'embedding']
    """
    if not isinstance(model, ConditionalModel):
        return [_of_x_alone(model)]
    x = Input("x", input_dtype(model.primary), (None, *_x_shape(model)))
    conditions, output = _condition_inputs(model), output_name(model.primary[-1])

    def serve(x, **condition):
        inputs = {"x": x, "condition": pack(condition, model.condition_shape)}
        return {output: _float(model(inputs, training=False))}

    default = Signature("serving_default", serve, (x, *conditions))
    halves = _embedding_halves if isinstance(model, EmbeddingMethod) else _weight_halves
    return [default, *halves(model, x, conditions, output)]


def _condition_inputs(model):
    """The `Input`s that a condition is made of."""
    structure = symbolic(model.condition_shape)
    declared = declared_inputs(model.encoder, structure)
    inputs = []
    for name, part in parts(structure).items():
        read = model.encoder, declared.get(name)
        inputs.append(Input(name, _dtype(*read), (None, *part.shape[1:]), _vocabulary(*read)))
    return tuple(inputs)


def _x_shape(model):
    """The shape of x without its batch. Of points `[P, features]` P is free, unless a layer needs the one it was built
    on, as Flatten before a Dense layer does."""
    shape = tuple(model.x_shape[1:])
    if len(shape) != 2 or shape[0] is None:
        return shape
    try:
        free = _features(model, shape[0]) == _features(model, shape[0] + 1)
    except ValueError:  # a layer refuses another number
        free = False
    return (None, shape[1]) if free else shape


def _features(model, points):
    """How many features each primary layer returns, for a number of points."""
    encoded, features = _encoded_shape(model), []
    shape = (model.x_shape[0], points, model.x_shape[-1])
    for layer in model.primary:
        shape = output_shape(layer, *((shape, encoded) if isinstance(layer, ConditionedLayer) else (shape,)))
        features.append(shape[-1])
    return features


def _encoded_shape(model):
    return output_shape(model.encoder, model.encoder_shape(model.condition_shape))


def _dtype(encoder, declared):
    dtype = input_dtype([encoder]) if declared is None else keras.backend.standardize_dtype(declared.dtype)
    return "float32" if "float" in dtype else dtype


def _vocabulary(encoder, declared):
    """The vocabulary of the lookup layer that reads an input of the encoder, if there is one."""
    for layer in getattr(encoder, "layers", ()):
        if hasattr(layer, "get_vocabulary") and layer.input is declared:
            return tuple(layer.get_vocabulary(include_special_tokens=False))
    return ()


def output_name(layer):
    """The name under which what a last layer returns is served."""
    return layer.name if layer.name in OUTPUTS else OUTPUTS[0]


def _weight_halves(model, x, conditions, output):
    shapes = weight_shapes(model)
    names = {name: name.replace("/", "_") for name in shapes}
    if len(set(names.values())) < len(names) or "x" in names.values():
        raise ValueError(f"The weights have no distinct names when / is replaced by _. Received: {sorted(names)}")
    weights = [Input(names[name], "float32", (None, *shape)) for name, shape in shapes.items()]

    def generate_weights(**condition):
        generated = model.generate(pack(condition, model.condition_shape))
        return {names[name]: _float(weight) for name, weight in generated.items()}

    def apply(x, **weights):
        return {output: _float(model.apply(x, {name: weights[names[name]] for name in names}))}

    return [Signature("generate_weights", generate_weights, conditions), Signature("apply", apply, (x, *weights))]


def _embedding_halves(model, x, conditions, output):
    def embed(**condition):
        return {"embedding": _float(model.encode(pack(condition, model.condition_shape)))}

    def apply(x, embedding):
        return {output: _float(apply_encoded(model, x, embedding))}

    embedding = Input("embedding", "float32", (None, _encoded_shape(model)[-1]))
    return [Signature("embed", embed, conditions), Signature("apply", apply, (x, embedding))]


def _of_x_alone(model):
    (declared,), output = model.inputs, output_name(model.layers[-1])

    def serve(x):
        return {output: _float(model(x, training=False))}

    return Signature("serving_default", serve, (Input("x", str(declared.dtype), (None, *declared.shape[1:])),))


def example(signature):
    """One row of inputs that a signature takes, a dict of arrays; None if it does not take what is tried.

    All values are zeros, or a word of the vocabulary. Where a request chooses a size, that is the smallest power of two
    that the model takes.
    """
    import tensorflow as tf

    free = any(None in tensor.shape[1:] for tensor in signature.inputs)
    for size in [2**number for number in range(9 if free else 1)]:
        inputs = {}
        for tensor in signature.inputs:
            value = tensor.values[0] if tensor.values else "" if tensor.dtype == "string" else 0
            dtype = object if tensor.dtype == "string" else tensor.dtype
            inputs[tensor.name] = np.full([1, *(part or size for part in tensor.shape[1:])], value, dtype)
        try:
            signature.function(**{name: tf.constant(array) for name, array in inputs.items()})
            return inputs
        except (ValueError, tf.errors.InvalidArgumentError):  # too small for a convolution, a word that is not known
            continue
    return None


def _float(tensor):
    return keras.ops.cast(tensor, "float32")
