"""Converts a graph of x and z to the graph of x alone for one condition."""

import keras
from keras import ops

from keras_hypernet.layers import HyperLayer, HyperMultiHeadAttention
from keras_hypernet.models.graphs import copied, new_inputs, rewrite, structure_of, takes


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Constant(keras.Layer):
    """A layer that returns its weight, `[1, *shape]`, for each x, instead of an encoded condition."""

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)

    def build(self, x_shape):
        self.value = self.add_weight(name="value", shape=(1, *self.shape), initializer="zeros", trainable=False)

    def call(self, x):
        return ops.broadcast_to(ops.cast(self.value, self.compute_dtype), (ops.shape(x)[0], *self.shape))

    def compute_output_shape(self, x_shape):
        return (x_shape[0], *self.shape)

    def get_config(self):
        return {**super().get_config(), "shape": self.shape}


def without_condition(model, encoded, name):
    """Returns a functional model of x, with Keras layers instead of hyper layers.

    Args:
        model: A functional model with the inputs `[x, z]`.
        encoded: The value of z, a tensor `[1, ...]` or a structure of tensors.
        name: The name of the returned model.
    """
    x, z = (new_inputs(structure) for structure in model.input)
    flat, tensors = keras.tree.flatten(x), keras.tree.flatten(z)
    values = dict(zip(map(id, tensors), keras.tree.flatten(encoded), strict=True))
    made, constants = {}, {}

    def constant(tensor):
        if id(tensor) not in values:
            return tensor
        if id(tensor) not in constants:
            layer = Constant(tensor.shape[1:], dtype=keras.DTypePolicy(tensor.dtype))
            constants[id(tensor)] = layer(flat[0])
            layer.set_weights([ops.convert_to_numpy(values[id(tensor)])])
        return constants[id(tensor)]

    def call(layer, *args, **kwargs):
        if not isinstance(layer, HyperLayer):
            args, kwargs = keras.tree.map_structure(constant, (args, kwargs))
            if id(layer) not in made:
                made[id(layer)] = copied(layer)
            return made[id(layer)](*args, **kwargs)
        x, z, *others = args
        x, others, kwargs = keras.tree.map_structure(constant, (x, others, kwargs))
        if id(layer) not in made:
            if id(z) not in values:
                raise ValueError(f"Layer {layer.name!r} takes a condition that the generator does not return.")
            made[id(layer)] = id(z), layer.specialize(values[id(z)])
        if made[id(layer)][0] != id(z):
            raise ValueError(f"Layer {layer.name!r} is called with several conditions, but has only one copy.")
        return call_ordinary(layer, *made[id(layer)][1], x, others, kwargs)

    outputs = rewrite(model, [*flat, *tensors], [], call)
    return keras.Model(x, keras.tree.pack_sequence_as(structure_of(model, "output"), outputs), name=name)


def call_ordinary(layer, made, weights, x, others, options):
    """The output of the Keras layer that replaces a hyper layer."""
    if isinstance(layer, HyperMultiHeadAttention):
        made, others = made.attention, others or [options.pop("value", x)]
        options = {**options, "use_causal_mask": layer.use_causal_mask, "query_mask": options.get("x_mask")}
    options = {**options, "mask": options.get("x_mask")}
    options = {key: value for key, value in options.items() if value is not None and takes(made, key)}
    y = made(x, *others, **options)
    made.set_weights(weights)  # the layer is built now
    return y
