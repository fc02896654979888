"""specialize: a model under one condition, as a network of built-in layers."""

import keras
from keras import ops

from keras_hypernet.layers import ConditionedLayer, HyperLayer
from keras_hypernet.layers.concatenate import check_foldable, joins
from keras_hypernet.layers.image import check_pixels
from keras_hypernet.models.ids import input_dtype


@keras.saving.register_keras_serializable(package="keras_hypernet")
class PixelSequential(keras.Sequential):
    """A `keras.Sequential` that refuses images which are not uint8, where Keras would cast them without a word.

    Raises:
        TypeError: If the images are not uint8.
    """

    def __call__(self, inputs, *args, **kwargs):
        # Here, because `call` receives what has been cast to the dtype of the input layer.
        check_pixels(inputs if hasattr(inputs, "dtype") else ops.convert_to_tensor(inputs), self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        check_pixels(inputs, self.name)  # and here, because Keras's training and prediction with JAX start here
        return super().call(inputs, training=training, mask=mask, **kwargs)


def specialize(model, condition):
    """Returns the small network that a model is under one condition: g(.; f(I0)), without f.

    Args:
        model: A built model of this package.
        condition: One condition, `[1, ...]`; for a `ConditionalNeuralProcess` one set, all of whose members count.

    Returns:
        A `keras.Sequential` of built-in layers (and `StandardizeImage`), with constant weights. It takes x of the
        shape, points included, that the model was built with. Its output is the model's on x and this condition, but
        for rounding: 1e-5 of the largest output, in mixed precision that of its dtype. Save it with `.save("g.keras")`,
        quantize it with `.quantize("int8")`. Layers that act in training only are in it as well, and as in every
        Sequential some of them, such as RandomFlip, act in a bare call, but not in `predict` or with `training=False`.

    Raises:
        TypeError: If the model is not one of this package.
        ValueError: If the model has not been built, there is not exactly one condition, a `ConcatenateCondition` is not
            followed by a Dense layer that its part can be folded into, or another layer takes the condition itself.

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
    if not hasattr(model, "check_built"):  # of ConditionalModel, which imports this module
        raise TypeError(f"Only models of x and a condition are specialized, such as a Hypernetwork. Received: {model}")
    model.check_built("specialize")
    model.check_condition(condition)
    for part in keras.tree.flatten(condition):
        if part.shape[0] != 1:
            raise ValueError(
                f"A model is specialized to one condition, of shape [1, ...]. Received: shape {tuple(part.shape)}"
            )
    encoded = model.encode(condition)
    dtype = input_dtype(model.primary)
    layers, weights = [keras.Input(model.x_shape[1:], dtype=None if dtype == "float32" else dtype)], []
    folded = None
    for layer, following in zip(model.primary, [*model.primary[1:], None], strict=True):
        if joins(layer):
            check_foldable(following)
            folded = encoded
            continue
        if folded is not None:
            special, values = _fold(layer, folded)
        elif isinstance(layer, HyperLayer):
            special, values = layer.specialize(encoded)
        elif isinstance(layer, ConditionedLayer):
            raise ValueError(
                f"No network of x alone is known for layer {layer.name!r} of class {type(layer).__name__}, which takes "
                "the condition itself."
            )
        else:
            special, values = layer.__class__.from_config(layer.get_config()), layer.get_weights()
        folded = None
        layers.append(special)
        weights.append(values)
    network = (PixelSequential if dtype == "uint8" else keras.Sequential)(layers, name=f"{model.name}_specialized")
    for layer, values in zip(network.layers, weights, strict=True):
        layer.set_weights(values)
    return network


def folded_bias(dense, encoded):
    """The bias that makes of a Dense layer on `[x, encoded]` one on x alone.

    Args:
        dense: The layer after a `ConcatenateCondition`, or None if there is none.
        encoded: Tensor `[B, R]`.

    Returns:
        A tensor `[B, units]`.

    Raises:
        ValueError: If it is not a Dense layer.
    """
    check_foldable(dense)
    from_condition = ops.matmul(encoded, dense.kernel[-encoded.shape[-1] :])
    return from_condition + dense.bias if dense.use_bias else from_condition


def _fold(dense, encoded):
    bias = folded_bias(dense, encoded)[0]
    kernel = dense.kernel[: -encoded.shape[-1]]
    # `kernel` is the sum of the kernel and what LoRA adds to it.
    config = {**dense.get_config(), "use_bias": True, "lora_rank": None, "lora_alpha": None}
    special = keras.layers.Dense.from_config(config)
    return special, [ops.convert_to_numpy(kernel), ops.convert_to_numpy(bias)]
