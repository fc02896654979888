"""The graph of x alone that a graph of x and a condition is under one condition."""

import keras

from keras_hypernet.layers import HyperLayer, HyperMultiHeadAttention
from keras_hypernet.models.graphs import copied, inlined, is_graph, new_inputs, rewrite, structure_of, takes
from keras_hypernet.models.selection import leaves_of, unique_names


def without_condition(model, x, conditions, values, name):
    """Returns a functional model of x, with built-in layers in the place of hyper layers.

    Args:
        model: A functional model.
        x: The inputs of the model that stay, symbolic tensors in any structure.
        conditions: The other inputs, a list of symbolic tensors.
        values: The value of each of the conditions, a list of tensors `[1, ...]`.
        name: The name of the returned model.
    """
    inputs = dict(zip(map(id, model.inputs), new_inputs(list(model.inputs)), strict=True))
    given = [inputs[id(tensor)] for tensor in conditions]
    names, made = unique_names(leaves_of(model)), {}

    def value_of(layer, z):
        try:
            evaluate = keras.Model(given, [z, *(keras.layers.Identity()(tensor) for tensor in given)])
        except ValueError as error:
            raise ValueError(
                f"Layer {layer.name!r} has a condition that is made of x: there is no such network"
            ) from error
        return evaluate(values, training=False)[0]

    def call(layer, *args, **kwargs):
        if is_graph(layer) and any(isinstance(leaf.layer, HyperLayer) for leaf in leaves_of(layer)):
            return inlined(layer, args, kwargs, [], call)
        key = id(layer)
        if isinstance(layer, HyperLayer):
            x, z, *others = args
            if made.setdefault(key, (z, None))[0] is not z:
                raise ValueError(f"Layer {layer.name!r} is called with several conditions, and has one copy only.")
            if made[key][1] is None:
                made[key] = z, ordinary(layer, value_of(layer, z), names[key])
            return call_ordinary(layer, *made[key][1], x, others, kwargs)
        if key not in made:
            made[key] = copied(layer, names.get(key))
        return made[key](*args, **kwargs)

    outputs = rewrite(model, list(inputs.values()), [], call)
    outputs = keras.tree.pack_sequence_as(structure_of(model, "output"), outputs)
    try:
        return keras.Model(keras.tree.map_structure(lambda tensor: inputs[id(tensor)], x), outputs, name=name)
    except ValueError as error:
        raise ValueError(
            "A layer that is not a hyper layer takes both x and the condition; there is no network of x alone for it."
        ) from error


def ordinary(layer, z, name):
    """The built-in layer that a hyper layer is under one condition, not yet built, and its weights."""
    made, weights = layer.specialize(z)
    made = made.attention if isinstance(layer, HyperMultiHeadAttention) else made
    return type(made).from_config({**made.get_config(), "name": name}), weights


def call_ordinary(layer, made, weights, x, others, options):
    """The output of the built-in layer in the place of a hyper layer."""
    if isinstance(layer, HyperMultiHeadAttention):
        others = others or [options.pop("value", x)]
        options = {**options, "use_causal_mask": layer.use_causal_mask, "query_mask": options.get("x_mask")}
    options = {**options, "mask": options.get("x_mask")}
    options = {key: value for key, value in options.items() if value is not None and takes(made, key)}
    built = made.built
    y = made(x, *others, **options)
    if not built:
        made.set_weights(weights)
    return y
