"""Conditions, each a tensor or a structure of tensors: the parts by name, and checks of the parts."""

import collections.abc

import keras
import numpy as np
from keras import ops

from keras_hypernet.layers.image import check_pixels
from keras_hypernet.models.shapes import check_shape, in_words, static_shape, values_of


def parts(condition, prefix="condition"):
    """The parts of a condition, or of an x, by name, in the order in which Keras flattens a structure.

    The condition is a tensor, or dicts, tuples and lists of tensors, nested in any way. Raises ValueError if two parts
    would have the same name.

    >>> parts({"image": 1, "places": (2, 3)})
    {'condition_image': 1, 'condition_places_0': 2, 'condition_places_1': 3}
    >>> parts(4)
    {'condition': 4}
    """
    named = [("_".join([prefix, *map(str, path)]), part) for path, part in keras.tree.flatten_with_path(condition)]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ValueError(f"The parts of {prefix!r} must have distinct names when joined by _. Received: {names}")
    return dict(named)


def symbolic(shapes):
    """A structure of shapes as a structure of `keras.KerasTensor`s, in plain dicts, lists and tuples.

    Keras stores the attributes of a model in its own containers, which a functional model does not recognize as dicts,
    lists and tuples.
    """
    if isinstance(shapes, collections.abc.Mapping):
        return {name: symbolic(part) for name, part in shapes.items()}
    if all(size is None or isinstance(size, int) for size in shapes):
        return keras.KerasTensor(shapes)
    return (tuple if isinstance(shapes, tuple) else list)(map(symbolic, shapes))


def pack(named, structure, prefix="condition"):
    """The inverse of `parts`: the parts of a condition, or of an x, from a dict, in a structure like another."""
    return keras.tree.pack_sequence_as(structure, [named[name] for name in parts(structure, prefix)])


def declared_inputs(encoder, condition):
    """The symbolic inputs that an encoder declares, a dict by the names of the parts of the condition that they take.

    The dict is empty for an encoder that declares no inputs, such as a layer or a subclass of `keras.Model`. Raises
    ValueError if the number of inputs is not the number of parts.
    """
    inputs, names = getattr(encoder, "inputs", None) or [], list(parts(condition))
    number = 1 if isinstance(encoder, keras.Sequential) else len(inputs)
    if number not in (0, len(names)):
        expected = "one tensor" if number == 1 else f"{number}, {', '.join(part.name for part in inputs)}"
        raise ValueError(_structure_error(expected, condition))
    by_name = {f"condition_{part.name}": part for part in inputs}
    return by_name if set(by_name) == set(names) else dict(zip(names, inputs, strict=False))


def check_arrays(name, structure):
    """Raises TypeError if an input holds anything but dense arrays, such as numbers or a RaggedTensor."""
    for part in keras.tree.flatten(structure):
        if hasattr(part, "row_lengths"):
            raise TypeError(
                f"`{name}` must be dense. Received: a {type(part).__name__}. Pad it by `ragged.to_tensor()`; for a "
                "ConditionalNeuralProcess, also pass `lengths=ragged.row_lengths()`, which says which members count."
            )
        if not hasattr(part, "shape"):
            raise TypeError(
                f"`{name}` must be an array, batch first, or a structure of arrays if the model takes one. Received: "
                f"{type(structure).__name__} with {part!r} in it. `numpy.asarray` makes an array of nested lists."
            )


def check_condition(condition, shapes):
    """Raises TypeError or ValueError unless a model was built for the structure and the shapes of a condition."""
    check_arrays("condition", condition)
    received, expected = parts(condition), parts(symbolic(shapes))
    if set(received) != set(expected):
        if len(expected) == 1:
            raise ValueError(_structure_error(f"one tensor of shape {_free_batch(*expected.values())}", condition))
        wanted = ", ".join(f"{name} {_free_batch(part)}" for name, part in expected.items())
        raise ValueError(_structure_error(wanted, condition))
    for name, part in received.items():
        check_shape(name, part.shape, expected[name].shape)


def check_finite(condition):
    """Raises ValueError if a condition holds NaN or infinity; a traced function has no values to check."""
    for name, part in parts(condition).items():
        values = values_of(part)
        if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"A condition must be finite. Received: NaN or infinity in {name!r}")


def check_numbers(encoder, condition):
    """Raises ValueError if an encoder that begins with an Embedding has no vector for a number in the condition."""
    first = encoder.layers[0] if isinstance(encoder, keras.Sequential) else encoder
    values = values_of(condition) if isinstance(first, keras.layers.Embedding) else None
    wrong = [] if values is None else values[(values < 0) | (values >= first.input_dim) | (values % 1 != 0)]
    if len(wrong):
        raise ValueError(
            f"A condition must be integers from 0 to {first.input_dim - 1}. Received: {wrong[:5].tolist()}"
        )


def check_one(condition):
    """Raises ValueError unless there is one condition, and it is finite."""
    check_finite(condition)
    for part in keras.tree.flatten(condition):
        if part.shape[0] != 1:
            raise ValueError(
                f"A model is specialized to one condition, of shape [1, ...]. Received: shape {tuple(part.shape)}"
            )


def free_sizes(encoder, shapes, declared, encoded_shape):
    """The shapes of a condition, with None for each size that is free in the encoder.

    If the encoder declares its inputs, these state the free sizes. Otherwise the encoder is run on zeros: a size is
    free if the encoder accepts another size, chosen so that no stride ignores the change, and returns the same number
    of features. The encoder is built for `shapes`, with outputs of `encoded_shape`; `declared` are the inputs that the
    encoder declared before it was built.
    """
    structure = symbolic(shapes)
    named = {name: part.shape for name, part in parts(structure).items()}

    def is_free(name, axis):
        if named[name][axis] is None or name not in declared:
            return named[name][axis] is None or takes_another(name, axis)
        return len(declared[name].shape) == len(named[name]) and declared[name].shape[axis] is None

    def takes_another(name, axis):
        sizes = {part: [1, *(size or 1 for size in shape[1:])] for part, shape in named.items()}
        sizes[name][axis] = 2 * sizes[name][axis] + 1
        try:
            encoded = encoder(pack({part: ops.zeros(size) for part, size in sizes.items()}, structure), training=False)
        except Exception:  # any error of a layer or of the backend
            return False
        pairs = zip(keras.tree.flatten(encoded), keras.tree.flatten(symbolic(encoded_shape)), strict=True)
        return all(tuple(part.shape[1:]) == tuple(built.shape[1:]) for part, built in pairs)

    free = {
        name: (shape[0], *(None if is_free(name, axis) else shape[axis] for axis in range(1, len(shape))))
        for name, shape in named.items()
    }
    return pack(free, structure)


def as_declared(condition, declared, name):
    """A condition as tensors, in the dtypes that an encoder declares if Keras's own cast would change values.

    Raises TypeError if the encoder reads uint8 pixels and receives another dtype, and ValueError if an integer does not
    fit into a narrower dtype. A traced function does not know the values: it replaces such an integer by the nearest
    integer of the narrower dtype, which is also outside of any vocabulary.
    """

    def cast(part, tensor):
        part = ops.convert_to_tensor(part)
        if tensor is None or not _is_integer(tensor.dtype):
            return part
        dtype = keras.backend.standardize_dtype(part.dtype)  # AutoGraph warns of `:=`
        if keras.backend.standardize_dtype(tensor.dtype) == "uint8":
            check_pixels(part, name)
        elif _is_integer(dtype) and dtype != tensor.dtype:
            nearest, values = ops.saturate_cast(part, tensor.dtype), values_of(part)
            others = [] if values is None else values[values != ops.convert_to_numpy(nearest)]
            if len(others) > 0:
                raise ValueError(
                    f"{name!r} takes integers that {tensor.dtype} holds. Received: {dtype}, with {others[0]}"
                )
            part = nearest
        return part

    named = parts(condition)
    cast_parts = [cast(part, declared.get(part_name)) for part_name, part in named.items()]
    return keras.tree.pack_sequence_as(condition, cast_parts)


def _is_integer(dtype):
    return keras.backend.standardize_dtype(dtype).startswith(("int", "uint"))


def _free_batch(part):
    return None, *part.shape[1:]


def _structure_error(expected, condition):
    received = ", ".join(f"{name} {in_words(static_shape(part.shape))}" for name, part in parts(condition).items())
    hint = " A list of conditions becomes one array by `numpy.stack`." if isinstance(condition, list) else ""
    return f"`condition` must be {expected}, as the encoder takes it. Received: {received}.{hint}"
