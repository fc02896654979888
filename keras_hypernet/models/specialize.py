"""specialize: the network of x that a model is under one condition, made of built-in layers."""

import keras
from keras import ops

from keras_hypernet.layers.image import check_pixels
from keras_hypernet.models.base import ConditionalModel
from keras_hypernet.models.conditions import check_condition, check_finite
from keras_hypernet.models.graphs import is_graph, structure_of
from keras_hypernet.models.ids import input_dtype
from keras_hypernet.models.without_condition import without_condition


@keras.saving.register_keras_serializable(package="keras_hypernet")
class PixelSequential(keras.Sequential):
    """A `keras.Sequential` of uint8 images. Other dtypes raise TypeError; Keras itself casts them silently."""

    def __call__(self, inputs, *args, **kwargs):
        # Checked here, because Keras casts the inputs to the dtype of the input layer before `call`.
        check_pixels(inputs if hasattr(inputs, "dtype") else ops.convert_to_tensor(inputs), self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        check_pixels(inputs, self.name)  # and here, where training and prediction on JAX enter
        return super().call(inputs, training=training, mask=mask, **kwargs)


def specialize(model, condition):
    """Returns the small network that a model is under one condition: g(.; f(I0)), without f.

    Args:
        model: A built model of this package; or a functional model of Keras with hyper layers, whose condition is the
            input named `condition`.
        condition: One condition, `[1, ...]`; for a `ConditionalNeuralProcess` one set, all of whose members count.

    Returns:
        A `keras.Sequential` of built-in layers (and `StandardizeImage`, `SelfAttention`), with constant weights; of a
        functional model, also as a `primary`, a functional model of the other inputs. The network takes x of the shape,
        points included, that the model was built with. Its output equals the model's output for x and this condition
        up to rounding: 1e-5 of the largest output, or the precision of the dtype in mixed precision. Save the network
        with `.save("g.keras")`, quantize it with `.quantize("int8")`. The network keeps layers that act in training
        only. As in every Sequential, some of these, such as RandomFlip, also act in a bare call; they do not act in
        `predict` or with `training=False`.

    Raises:
        TypeError: If the model is neither one of this package nor a functional model of hyper layers.
        ValueError: If the model has not been built, the number of conditions is not one, the condition is not finite, a
            `ConcatenateCondition` is not followed by a Dense layer, or another layer takes the condition itself.

    Example:

    >>> generator = keras.Sequential([keras.layers.Dense(4, activation="relu")])
    >>> model = keras_hypernet.Hypernetwork(generator, [keras_hypernet.layers.HyperDense(3)])
    >>> x, condition = keras.ops.ones((2, 5)), keras.ops.ones((1, 7))
    >>> expected = model({"x": x, "condition": condition})
    >>> network = specialize(model, condition)
    >>> network.count_params()
    18
    >>> bool(keras.ops.all(keras.ops.abs(network(x) - expected) < 1e-5))
    True
    """
    name = f"{getattr(model, 'name', None)}_specialized"
    if not isinstance(model, ConditionalModel):
        x, declared = _split_graph(model)
        _check_one(condition)
        check_condition(condition, tuple(declared.shape))
        return without_condition(model, x, [declared], [ops.convert_to_tensor(condition)], name)
    model.check_built("specialize")
    model.check_condition(condition)
    _check_one(condition)
    encoded = model.encode(condition)
    if isinstance(model.primary, keras.Model):
        x, z = model.primary.input
        return without_condition(model.primary, x, keras.tree.flatten(z), keras.tree.flatten(encoded), name)
    special, dtype = [step.specialize(encoded) for step in model.steps], input_dtype(model.primary)
    inputs = keras.Input(model.x_shape[1:], dtype=None if dtype == "float32" else dtype)
    make = PixelSequential if dtype == "uint8" else keras.Sequential
    network = make([inputs, *(layer for layer, _ in special)], name=name)
    for layer, weights in special:
        layer.set_weights(weights)
    return network


def _check_one(condition):
    check_finite(condition)
    for part in keras.tree.flatten(condition):
        if part.shape[0] != 1:
            raise ValueError(
                f"A model is specialized to one condition, of shape [1, ...]. Received: shape {tuple(part.shape)}"
            )


def _split_graph(model):
    """The inputs of a functional model besides its condition, in the model's structure, and the condition."""
    named = {tensor.name: tensor for tensor in model.inputs} if is_graph(model) else {}
    if "condition" not in named or len(named) < 2:
        raise TypeError(
            "Only models of x and a condition are specialized: a model of this package, such as a Hypernetwork, or a "
            f"functional model with an input named 'condition'. Received: {model}"
        )
    condition, inputs = named.pop("condition"), structure_of(model, "input")
    if len(named) == 1:
        return next(iter(named.values())), condition
    if isinstance(inputs, dict):
        return {key: tensor for key, tensor in inputs.items() if tensor is not condition}, condition
    return [tensor for tensor in model.inputs if tensor is not condition], condition
