"""as_hypernetwork: converts a functional model of hyper layers to a `Hypernetwork`."""

import keras

from keras_hypernet.layers import HyperLayer
from keras_hypernet.models.graphs import inlined, is_graph, new_inputs, rewrite, shapes_of, structure_of
from keras_hypernet.models.hypernetwork import Hypernetwork
from keras_hypernet.models.selection import leaves_of

CONDITION = "condition"


def as_hypernetwork(model: keras.Model) -> Hypernetwork:
    """Converts a functional model of hyper layers to a `Hypernetwork` with the same layers and weights.

    All layers that depend only on the condition become the generator, the other layers the primary network.
    `kh.specialize` and `kh.export` use this function; `generate` and `apply` are methods of the returned model.

    Args:
        model: A functional model with hyper layers. The condition is its input named `condition`.

    Returns:
        A built `Hypernetwork`. Its x is the other input, or a dict of the other inputs by name.

    Raises:
        TypeError: If `model` is not such a model.

    Example:

    >>> x, condition = keras.Input((5,)), keras.Input((4,), name="condition")
    >>> z = keras.layers.Dense(3, activation="relu")(condition)
    >>> model = keras.Model([x, condition], keras_hypernet.layers.HyperDense(2, name="last")(x, z))
    >>> sorted(as_hypernetwork(model).generate(keras.ops.ones((1, 4))))
    ['last/bias', 'last/kernel']
    """
    if not is_wired_by_hand(model):
        raise TypeError(
            "Expected a model of this package, such as a Hypernetwork, or a functional model of hyper layers with an "
            f"input named {CONDITION!r} and another one. Received: {model}"
        )
    x = dict(zip(map(id, model.inputs), new_inputs(list(model.inputs)), strict=True))
    named = {name: x[id(tensor)] for name, tensor in _named_inputs(model).items()}
    condition = named.pop(CONDITION)
    alone, encoded = {id(condition): condition}, {}  # tensors that depend only on the condition, by their ids

    def cut(tensor):
        if id(tensor) not in alone:
            return tensor
        if id(tensor) not in encoded:
            encoded[id(tensor)] = keras.layers.Identity()(tensor)
        return encoded[id(tensor)]

    def call(layer, *args, **kwargs):
        tensors = [each for each in keras.tree.flatten([args, kwargs]) if isinstance(each, keras.KerasTensor)]
        if all(id(tensor) in alone for tensor in tensors):
            outputs = layer(*args, **kwargs)
            alone.update({id(tensor): tensor for tensor in keras.tree.flatten(outputs)})
            return outputs
        if is_graph(layer) and _has_hyper_layers(layer):
            return inlined(layer, args, kwargs, [], call)
        args, kwargs = keras.tree.map_structure(cut, (args, kwargs))
        return layer(*args, **kwargs)

    outputs = rewrite(model, list(x.values()), [], call)
    outputs = keras.tree.pack_sequence_as(structure_of(model, "output"), outputs)
    z = list(encoded.values()) if len(encoded) > 1 else next(iter(encoded.values()))
    inputs = next(iter(named.values())) if len(named) == 1 else named
    made = Hypernetwork(keras.Model(condition, z), keras.Model([inputs, z], outputs), name=model.name)
    made.build({"x": shapes_of(inputs), "condition": tuple(condition.shape)})
    return made


def is_wired_by_hand(model):
    """Whether a model is a functional model of hyper layers, with an input named `condition` and other inputs."""
    return is_graph(model) and _has_hyper_layers(model) and CONDITION in _named_inputs(model) and len(model.inputs) > 1


def _named_inputs(model):
    inputs = structure_of(model, "input")
    return inputs if isinstance(inputs, dict) else {tensor.name: tensor for tensor in model.inputs}


def _has_hyper_layers(graph):
    return any(isinstance(leaf.layer, HyperLayer) for leaf in leaves_of(graph))
