"""specialize: the network of x that equals a model for one condition, made of Keras layers."""

from typing import Any

import keras

from keras_hypernet.models.base import ConditionalModel
from keras_hypernet.models.by_hand import as_hypernetwork
from keras_hypernet.models.conditions import check_one


def specialize(model: keras.Model, condition: Any) -> keras.Model:
    """Returns the small network that equals a model for one condition: g(.; f(I0)), without f.

    Args:
        model: A built model of this package; or a functional model of Keras with hyper layers, whose condition is the
            input named `condition`, as for `as_hypernetwork`.
        condition: One condition, `[1, ...]`; for a `ConditionalNeuralProcess` one set, all of whose members count.

    Returns:
        A Keras model of x, of Keras layers (and `StandardizeImage`, `SelfAttention`), with constant weights: a
        functional model if the model or its `primary` is one, otherwise a `keras.Sequential`. The network takes x of
        the shape, points included, that the model was built with. Its output equals the model's output for x and this
        condition up to rounding: 1e-5 of the largest output, or the precision of the dtype in mixed precision. Save the
        network with `.save("g.keras")`, quantize it with `.quantize("int8")`. The network keeps layers that are active
        only in training. As in every Sequential, some of these layers, such as RandomFlip, are also active in a bare
        call, but not in `predict` or with `training=False`.

    Raises:
        TypeError: If the model is neither a model of this package nor a functional model of hyper layers.
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
    if not isinstance(model, ConditionalModel):
        model = as_hypernetwork(model)
    model.check_built("specialize")
    model.check_condition(condition)
    check_one(condition)
    return model.network.specialize(model.encode(condition), f"{model.name}_specialized")
