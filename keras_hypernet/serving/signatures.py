"""The signatures of a served model: `serving_default`, and its two halves if the model takes a condition."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_hypernet.models import ConditionalModel, EmbeddingMethod
from keras_hypernet.models.conditions import declared_inputs, pack, parts, symbolic
from keras_hypernet.models.graphs import structure_of
from keras_hypernet.models.ids import input_dtype
from keras_hypernet.models.primary import by_name
from keras_hypernet.models.shapes import output_shape

# If the last layer has one of these names, a single output has this name; otherwise it has the first of these names.
_OUTPUTS = ("logits", "value", "rgb")


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature. None in its shape is a size that the request chooses; `values` is its vocabulary."""

    name: str
    dtype: str
    shape: tuple
    values: tuple = ()


@dataclasses.dataclass(frozen=True)
class Signature:
    """An exported function with its `Input`s as keyword arguments, which returns a dict of float32 tensors."""

    name: str
    function: Callable
    inputs: tuple


def signatures(model):
    """Returns a list of the `Signature`s of a built model of this package, or of a functional model of x alone.

    These are `serving_default(x, condition)`, and either `generate_weights(condition)` and `apply(x, *weights)`, or,
    for the embedding method, `embed(condition)` and `apply(x, embedding)`. `apply` takes the weights of one condition
    for all x, or of one condition for each x. The dtype of an input is the integer dtype that its layer declares, or
    that its layer reads, as an Embedding does; otherwise float32. The dtype of strings is `"string"`. If a condition,
    an x or an output has several parts, each part is an input or output, such as `condition_image`, `x_image`, `angle`,
    or `output_0` for a list. Raises ValueError if two weights would have the same name.

    >>> for signature in signatures(keras_hypernet.load("rotation_mnist_embed")):
    ...     print(signature.name, [input.name for input in signature.inputs])
    serving_default ['x', 'condition']
    embed ['condition']
    apply ['x', 'embedding']
    """
    if not isinstance(model, ConditionalModel):
        return [_of_x_alone(model)]
    x, conditions = _declared(model.network.x), _condition_inputs(model)

    def serve(**inputs):
        packed = {"x": pack(inputs, model.network.x, "x"), "condition": pack(inputs, symbolic(model.condition_shape))}
        return _outputs(model.network.layers, model(packed, training=False))

    default = Signature("serving_default", serve, (*x, *conditions))
    halves = _embedding_halves if isinstance(model, EmbeddingMethod) else _weight_halves
    return [default, *halves(model, x, conditions)]


def _declared(x):
    """An `Input` for each tensor of an x that a functional model declares."""
    return [Input(part, _dtype(tensor), (None, *tensor.shape[1:])) for part, tensor in parts(x, "x").items()]


def _dtype(tensor):
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return "float32" if "float" in dtype else dtype


def _condition_inputs(model):
    """The `Input`s of a condition, one for each part."""
    structure, inputs = symbolic(model.condition_shape), []
    declared = declared_inputs(model.encoder, structure)
    for name, part in parts(structure).items():
        tensor, values = declared.get(name), ()
        dtype = input_dtype([model.encoder]) if tensor is None else _dtype(tensor)
        for layer in getattr(model.encoder, "layers", ()):
            if hasattr(layer, "get_vocabulary") and layer.input is tensor:
                values = tuple(layer.get_vocabulary(include_special_tokens=False))
        inputs.append(Input(name, dtype, (None, *part.shape[1:]), values))
    return inputs


def _outputs(layers, y):
    """The outputs of a model with these layers, in float32, by name."""
    if not keras.tree.is_nested(y):
        return {layers[-1].name if layers[-1].name in _OUTPUTS else _OUTPUTS[0]: _float(y)}
    named = {"_".join(map(str, path)): _float(part) for path, part in keras.tree.flatten_with_path(y)}
    return {f"output_{name}" if name[0].isdigit() else name: part for name, part in named.items()}


def _weight_halves(model, x, conditions):
    weight_shapes = by_name(model.network.steps, "weight_shapes")
    names = {name: name.replace("/", "_") for name in weight_shapes}
    if len({*names.values(), *(each.name for each in x)}) < len(names) + len(x):
        raise ValueError(f"The weights need distinct names when / is replaced by _. Received: {sorted(names)}")
    weights = [Input(names[name], "float32", (None, *shape)) for name, shape in weight_shapes.items()]

    def generate_weights(**condition):
        generated = model.generate(pack(condition, symbolic(model.condition_shape)))
        return {names[name]: _float(weight) for name, weight in generated.items()}

    def apply(**inputs):
        generated = {name: inputs[names[name]] for name in names}
        return _outputs(model.network.layers, model.apply(pack(inputs, model.network.x, "x"), generated))

    return [Signature("generate_weights", generate_weights, conditions), Signature("apply", apply, (*x, *weights))]


def _embedding_halves(model, x, conditions):
    def embed(**condition):
        return {"embedding": _float(model.encode(pack(condition, symbolic(model.condition_shape))))}

    def apply(x, embedding):
        return _outputs(model.network.layers, model.apply_encoded(x, embedding))

    encoded_shape = output_shape(model.encoder, model.encoder_shape(model.condition_shape))
    embedding = Input("embedding", "float32", (None, encoded_shape[-1]))
    return [Signature("embed", embed, conditions), Signature("apply", apply, (*x, embedding))]


def _of_x_alone(model):
    declared = structure_of(model, "input")

    def serve(**inputs):
        return _outputs(model.layers, model(pack(inputs, declared, "x"), training=False))

    return Signature("serving_default", serve, tuple(_declared(declared)))


def example(signature, rows=1, rng=None):
    """Returns example inputs of a signature, a dict of arrays: random values if `rng` is given, otherwise zeros.

    Strings are words of the vocabulary. A size that a request chooses is the smallest power of two that the model
    accepts. If the model accepts no size, its last error is raised.
    """
    import tensorflow as tf

    free = any(None in tensor.shape[1:] for tensor in signature.inputs)
    failure = None
    for size in [2**number for number in range(2 if rng else 0, 9)] if free else [1]:
        inputs = {
            tensor.name: _example(tensor, [rows, *(part or size for part in tensor.shape[1:])], rng)
            for tensor in signature.inputs
        }
        try:
            # Traced, because on some processors TensorFlow runs convolutions even on images that are too small.
            function = tf.function(signature.function, autograph=False)  # as Keras exports it
            function(**{name: tf.constant(array) for name, array in inputs.items()})
            return inputs
        except (ValueError, tf.errors.InvalidArgumentError) as error:  # too small for a convolution, an unknown word
            failure = error
    raise failure


def _example(tensor, shape, rng):
    integers = rng.integers if rng else lambda low, high, shape: np.zeros(shape, int)
    if tensor.values or tensor.dtype == "string":
        words = np.array(tensor.values or [""])
        array = words[integers(0, len(words), shape)]
    elif "float" in tensor.dtype:
        array = rng.normal(size=shape) if rng else np.zeros(shape)
    else:  # pixels, or ids of the smallest vocabulary
        array = integers(0, 256 if tensor.dtype == "uint8" else 2, shape)
    return array.astype(object if tensor.dtype == "string" else tensor.dtype)


def _float(tensor):
    return keras.ops.cast(tensor, "float32")
