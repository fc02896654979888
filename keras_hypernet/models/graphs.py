"""Functional and Sequential models as graphs: reads, copies, and calls them layer by layer on other tensors."""

import inspect
import itertools

import keras


def is_graph(layer):
    """Whether a layer is a functional model, or a Sequential with known inputs, whose layers can be called again."""
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def structure_of(model, side):
    """The symbolic `"input"` or `"output"` of a graph, as a structure; a list of one tensor becomes the tensor."""
    if isinstance(model, keras.Sequential):
        return getattr(model, f"{side}s")[0]
    structure = getattr(model, side)
    return structure[0] if isinstance(structure, (list, tuple)) and len(structure) == 1 else structure


def shapes_of(structure):
    """The shapes of a structure of tensors."""
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), structure)


def new_inputs(structure):
    """A `keras.Input` for each tensor of a structure, with the same name, shape and dtype, and a free batch."""

    def new(tensor):
        return keras.Input((*tensor.shape[1:],), dtype=tensor.dtype, name=tensor.name, sparse=tensor.sparse)

    return keras.tree.map_structure(new, structure)


def copied(operation, name=None):
    """A copy of a layer, built and with the same weights if it has any, or of another operation of a graph."""
    config = operation.get_config()
    made = type(operation).from_config(config if name is None else {**config, "name": name})
    if getattr(operation, "weights", None):
        if not made.built:  # `from_config` of some KerasHub layers builds the layer
            made.build_from_config(operation.get_build_config())
        made.set_weights(operation.get_weights())
        if isinstance(made, keras.layers.Normalization):
            made.finalize_state()
    return made


def rewrite(model, inputs, carried, call):
    """The outputs of a graph, a list, with `call(layer, *args, **kwargs)` instead of each call of a layer.

    Args:
        model: A functional model or Sequential.
        inputs: List of symbolic tensors that replace the inputs of the model.
        carried: List of further symbolic tensors, which `call` uses.
        call: A function that returns the outputs of a layer or operation on the new tensors.
    """
    names = (f"rewrite_{number}" for number in itertools.count())  # names that no layer of the model has
    extra = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=next(names)) for tensor in carried]
    # The inputs too, because `clone_model` requires that each input reaches an output.
    ends = {keras.layers.Identity(name=next(names)): each for each in (*model.outputs, *model.inputs, *extra)}
    carrier, reached = keras.Model([*model.inputs, *extra], [end(tensor) for end, tensor in ends.items()]), {}

    def called(layer, *args, **kwargs):
        if layer not in ends:
            return call(layer, *args, **kwargs)
        reached[layer] = args[0]
        return layer(*args, **kwargs)

    keras.models.clone_model(
        carrier, input_tensors=[*inputs, *carried], clone_function=lambda layer: layer, call_function=called
    )
    return [reached[end] for end in ends][: len(model.outputs)]


def inlined(model, args, kwargs, carried, call):
    """The outputs of a nested graph, whose layers are called one by one; see `rewrite`."""

    def called(layer, *inner, **options):
        if kwargs.get("training") is not None and takes(layer, "training"):
            options = {"training": kwargs["training"], **{k: v for k, v in options.items() if v is not None}}
        return call(layer, *inner, **options)

    return rewrite(model, keras.tree.flatten(args), carried, called)


def takes(layer, argument):
    """Whether the call of a layer has an argument named `argument`."""
    return is_graph(layer) or argument in inspect.signature(layer.call).parameters
