"""The inputs of a model: splits them, checks their shapes, and computes shapes of outputs."""

import collections.abc

import keras

from keras_hypernet.models.ids import check_ids


def build_on(layer, *shapes):
    """Builds a layer unless it is built, and returns its output's shape; ValueError if the layer rounds ids."""
    if not layer.built and _says_output_shape(layer):
        layer.build(*shapes)
    shape = output_shape(layer, *shapes)
    check_ids(layer)
    return shape


def output_shape(layer, *shapes):
    """The shape of a layer's output, or a structure of shapes.

    If a layer has no `compute_output_shape`, Keras traces `call`, which builds the layer.
    """
    if _says_output_shape(layer):
        shape = layer.compute_output_shape(*shapes)
        return tuple(shape) if all(size is None or isinstance(size, int) for size in shape) else shape
    output = layer(*(keras.tree.map_shape_structure(keras.KerasTensor, shape) for shape in shapes))
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), output)


def _says_output_shape(layer):
    return type(layer).compute_output_shape is not keras.Layer.compute_output_shape


def split_inputs(inputs, optional):
    """Returns x, the condition, and a dict of the optional inputs, from inputs or from their shapes."""
    required = {"x", "condition"}
    if isinstance(inputs, collections.abc.Mapping):
        if required <= set(inputs) <= {*required, *optional}:
            return inputs["x"], inputs["condition"], {name: inputs[name] for name in optional if name in inputs}
        received = f"a dict with the keys {sorted(inputs)}"
    else:
        if isinstance(inputs, (tuple, list)) and len(inputs) == 2:
            return (*inputs, {})
        received = type(inputs).__name__
    others = f"; the dict may also hold {' or '.join(map(repr, optional))}" if optional else ""
    raise ValueError(
        f"Inputs must be a dict with the keys 'x' and 'condition', or a pair of them{others}. Received: {received}"
    )


def check_shape(name, shape, built, takes_points=False):
    """Raises ValueError unless a model was built for a shape; None in `built` stands for any size.

    With `takes_points`, x may also change between `[B, features]` and `[B, P, features]`.
    """
    shape = static_shape(shape)
    vectors = takes_points and {len(shape), len(built)} <= {2, 3}
    received, expected = (shape[-1:], built[-1:]) if vectors else (shape[1:], built[1:])
    if not fits(received, expected):
        hint = ""
        if len(shape) == len(built) - 1:
            hint = f" A batch of one is `{name}[None]`."
        elif len(shape) == len(built) and name != "x":
            hint = " A size that the encoder leaves free is None in its `keras.Input`."
        raise ValueError(
            f"The model was built for `{name}` of shape {(None, *built[1:])}. Received: {in_words(shape)}.{hint}"
        )


def fits(shape, expected):
    """Whether a shape is the expected shape, where None stands for any size."""
    return len(shape) == len(expected) and all(e is None or e == r for r, e in zip(shape, expected, strict=True))


def in_words(shape):
    """The text for a shape of `static_shape` in an error message."""
    note = " (None: another dimension than in an earlier call)" if None in shape[1:] else ""
    return f"{shape or 'another number of dimensions than in an earlier call'}{note}"


def values_of(tensor):
    """The tensor as an array, or None in a traced or vectorized function, where tensors have no values."""
    try:
        return keras.ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError, RuntimeError):  # TensorFlow's, JAX's and, under `torch.vmap`, PyTorch's
        return None


def static_shape(shape):
    """A shape as a tuple; () if the rank is unknown, in a function traced for tensors of several ranks."""
    try:
        return tuple(shape)
    except ValueError:
        return ()
