"""The signatures of a served model: `serving_default`, and its two halves. The first half takes the condition alone.

A model without a condition has `serving_default` only.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_hypernet.models import ConditionalModel, EmbeddingMethod
from keras_hypernet.models.conditions import declared_inputs, pack, parts, symbolic
from keras_hypernet.models.ids import input_dtype
from keras_hypernet.models.primary import by_name, shapes
from keras_hypernet.models.shapes import output_shape

# A last layer with one of these names gives its name to the output; any other output has the first of these names.
OUTPUTS = ("logits", "value", "rgb")


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        name, dtype: Name and dtype.
        shape: Shape, with None for each dimension that a request chooses.
        values: The vocabulary of its values, if known.
    """

    name: str
    dtype: str
    shape: tuple
    values: tuple = ()


@dataclasses.dataclass(frozen=True)
class Signature:
    """An exported function of named tensors.

    Attributes:
        name: Its name in requests.
        function: Takes the inputs as keyword arguments, returns a dict of float32 tensors.
        inputs: The `Input`s, in order.
    """

    name: str
    function: Callable
    inputs: tuple


def signatures(model):
    """Returns the signatures of a served model.

    Args:
        model: A built model of this package, or a `keras.Sequential` of x alone.

    Returns:
        A list of `Signature`s: `serving_default(x, condition)`, and either `generate_weights(condition)` and
        `apply(x, *weights)`, or, for the embedding method, `embed(condition)` and `apply(x, embedding)`. `apply`
        takes the weights of one condition for all x, or of one condition for each x. An input has the integer dtype
        that its layer declares or, like an Embedding, reads; otherwise float32. The dtype of strings is `"string"`.
        Each part of a condition of several parts is an input, such as `condition_image`.

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
    """The `Input`s of a condition, one for each part."""
    structure = symbolic(model.condition_shape)
    declared = declared_inputs(model.encoder, structure)
    inputs = []
    for name, part in parts(structure).items():
        read = model.encoder, declared.get(name)
        inputs.append(Input(name, _dtype(*read), (None, *part.shape[1:]), _vocabulary(*read)))
    return tuple(inputs)


def _x_shape(model):
    """The shape of x without its batch. The number P of points `[P, features]` is free, unless a layer needs the number
    that it was built with, as a Dense layer after Flatten does."""
    shape = tuple(model.x_shape[1:])
    if len(shape) != 2 or shape[0] is None:
        return shape
    try:
        free = _features(model, shape[0]) == _features(model, shape[0] + 1)
    except ValueError:  # a layer refuses another number of points
        free = False
    return (None, shape[1]) if free else shape


def _features(model, points):
    """The number of features that each step of the primary network returns, for a number of points."""
    shape = (model.x_shape[0], points, model.x_shape[-1])
    return [each[-1] for each in shapes(model.steps, output_shape, shape, _encoded_shape(model))]


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
    """The name under which the output of a last layer is served."""
    return layer.name if layer.name in OUTPUTS else OUTPUTS[0]


def _weight_halves(model, x, conditions, output):
    weight_shapes = by_name(model.steps, "weight_shapes")
    names = {name: name.replace("/", "_") for name in weight_shapes}
    if len(set(names.values())) < len(names) or "x" in names.values():
        raise ValueError(f"The weights need distinct names when / is replaced by _. Received: {sorted(names)}")
    weights = [Input(names[name], "float32", (None, *shape)) for name, shape in weight_shapes.items()]

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
        return {output: _float(model.apply_encoded(x, embedding))}

    embedding = Input("embedding", "float32", (None, _encoded_shape(model)[-1]))
    return [Signature("embed", embed, conditions), Signature("apply", apply, (x, embedding))]


def _of_x_alone(model):
    (declared,), output = model.inputs, output_name(model.layers[-1])

    def serve(x):
        return {output: _float(model(x, training=False))}

    return Signature("serving_default", serve, (Input("x", str(declared.dtype), (None, *declared.shape[1:])),))


def example(signature):
    """One row of inputs that a signature takes, a dict of arrays, or None if the signature refuses all that are tried.

    All values are zeros, or a word of the vocabulary. A size that a request chooses is the smallest power of two that
    the model takes.
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
        except (ValueError, tf.errors.InvalidArgumentError):  # too small for a convolution, an unknown word
            continue
    return None


def _float(tensor):
    return keras.ops.cast(tensor, "float32")
