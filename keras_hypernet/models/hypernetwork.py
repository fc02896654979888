"""Hypernetwork: g(x; f(I)), a network whose weights another network generates."""

import math
from typing import Any

import keras

from keras_hypernet.layers import HyperLayer
from keras_hypernet.models.base import ConditionalModel, checked_encoder


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Hypernetwork(ConditionalModel):
    """`h(x, I) = g(x; f(I))`: a network whose weights another network generates for each condition.

    f is `generator`, followed by the linear maps in the hyper layers of `primary`; g is `primary`.

    Args:
        generator: `keras.Model` (or layer) from the condition I to z `[B, R]`, the last hidden layer of f.
        primary: List of layers of g. A `ConditionedLayer`, such as a hyper layer, is called as `layer(x, z)`, any other
            layer as `layer(x)`. Or a functional model with the inputs `[x, z]`, such as that of `hypernetize`; x and z
            may then be structures of tensors.
        **kwargs: `name`, `dtype`, `trainable`.

    Inputs: a dict with `x` and `condition`, or the pair of them. x `[B, ...]`, or `[B, P, ...]` for P
    points for each condition; the condition `[B, ...]`, one for each x, or `[1, ...]` for all x. The condition is one
    tensor, or a structure of tensors (dicts, tuples and lists, nested in any way) that the generator takes. A size of a
    condition is free if it is free in the generator, such as None in its `keras.Input`.

    Raises:
        ValueError: If the inputs are not such a dict or pair, or shapes do not fit.
        TypeError: If the generator is not a layer, `primary` is not a flat list of layers, or one of them reads uint8
            images and receives another dtype.

    `quantize` converts the layers that Keras can quantize, including those of the generator. Hyper layers keep their
    float dtype, with a warning, because their weights are not known in advance. For a fully quantized network, quantize
    the model that `specialize` returns.

    Example:

    >>> generator = keras.Sequential([keras.layers.Dense(4, activation="relu")])
    >>> model = Hypernetwork(generator, [keras_hypernet.layers.HyperDense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.ones((2, 7))}).shape
    TensorShape([2, 3])
    >>> model.num_parameters()
    {'generator': 122, 'primary': 18}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Secs. 2 and 4.2.
    """

    encoder_name = "generator"
    takes_graph = True

    def __init__(self, generator: Any, primary: Any, **kwargs: Any) -> None:
        super().__init__(primary, **kwargs)
        if not any(isinstance(layer, HyperLayer) for layer in self.network.layers):
            raise ValueError(f"`primary` has no hyper layer, so nothing is generated. Received: {primary}")
        self.generator = checked_encoder("generator", generator)

    def num_parameters(self) -> dict[str, int]:
        """Returns `{"generator": N_f, "primary": N_g}`.

        N_f counts the trained parameters of f, including its last, linear layer; N_g counts the weights of g under one
        condition, generated and trained.
        """
        self.check_built("num_parameters")
        hyper = [layer for layer in self.network.layers if isinstance(layer, HyperLayer)]
        bases = _count(variable for layer in hyper for variable in layer.basis_variables)
        trained = _count(variable for layer in self.network.layers for variable in layer.weights) - bases
        return {
            "generator": self.generator.count_params() + bases,
            "primary": trained + sum(layer.num_generated for layer in hyper),
        }


def _count(variables):
    """Number of parameters; a shared variable counts once."""
    return sum(math.prod(variable.shape) for variable in {id(variable): variable for variable in variables}.values())
