"""Basis: how a weight is generated from the condition.

A weight of shape `S = (*leading, o)` is `W(z) = K0 + G(z)` for a condition z `[B, R]`. K0 is the constant term; the
basis defines G. The letters of the shapes:

B  batch: number of conditions           R  rank: dimension of the condition
i  inputs: the product of `leading`      o  outputs: the last axis of the weight
"""

import math
import typing
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypernet.bases.initializers import Hyperfan

LARGE = 2**30  # bytes of the variables of one weight


class Cost(typing.NamedTuple):
    """Floating-point operations, and entries of the intermediate results that pass through memory."""

    operations: float
    entries: float


class Sizes(typing.NamedTuple):
    """The sizes on which the cost of a product `op(x, W(z))` depends.

    `rows` is the number of x, points included; `conditions` is the number of different weights.
    """

    rows: int
    conditions: int
    inputs: int
    outputs: int
    rank: int

    @property
    def product(self):
        """Operations of the product of all x with written weights."""
        return 2.0 * self.rows * self.inputs * self.outputs


class Basis:
    """Abstract: how a weight `W(z) = K0 + G(z)` is generated from a condition z. A basis holds configuration only.

    A subclass is a dataclass or has a `get_config`, and implements `variable_shapes`, `draw` and `write`; a subclass
    that can compute a product without writing the weight implements `contract`, and the cost of both in `costs`.

    Args:
        constant: K0. `"zeros"`; an initializer of Keras, or its name; an array of the weight's shape, for one weight;
            or `"given"`, for values that are assigned or loaded later. Unless K0 is `"zeros"`, G starts at zero, and
            its first gradient is not zero: at the start, W is K0 for every condition.
        train_constant: Whether K0 is trained. A K0 of zeros that is not trained has no variable.

    Raises:
        ValueError: If `constant` is none of these.
    """

    routes: tuple[str, ...] = ("factorised", "materialised")
    shares_variables = False  # whether layers that have the same object share variables

    def __init__(self, constant: Any = "zeros", train_constant: bool = True) -> None:
        self.values = None
        if not isinstance(constant, (str, dict, keras.initializers.Initializer)):
            self.values, constant = np.asarray(constant), "given"
        if constant not in ("zeros", "given"):
            try:
                constant = keras.initializers.get(constant)
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"`constant` must be 'zeros', 'given', an initializer or an array. Received: {constant!r}"
                ) from error
        self.constant = "zeros" if isinstance(constant, keras.initializers.Zeros) else constant
        self.train_constant = train_constant
        self.users: weakref.WeakSet = weakref.WeakSet()  # the layers that have this object

    @property
    def starts_at_zero(self):
        """Whether G starts at zero."""
        return self.constant != "zeros"

    def variable_shapes(self, shape, rank):
        """The shapes of the variables of a weight, by name; the constant term is `"constant"`."""
        raise NotImplementedError

    def draw(self, name, shape, rank, initializer, fans):
        """Returns an initializer, a function of shape and dtype, for the variable `name` of G."""
        raise NotImplementedError

    def write(self, variables, z):
        """Writes the weights: variables as tensors by name, z `[B, R]` -> `[B, *S]`."""
        raise NotImplementedError

    def contract(self, op, x, variables, z):
        """`op(x, W(z))` without writing W(z).

        `op(x, kernel)` is linear in the kernel, works for any number of outputs, and its last axis is the kernel's.
        """
        raise NotImplementedError

    def costs(self, sizes):
        """The `Cost` of each route of `routes`."""
        raise NotImplementedError

    def num_parameters(self, shape: Sequence[int], rank: int) -> int:
        """Number of parameters, trained or frozen, of a weight of shape `shape` for conditions of dimension `rank`."""
        return sum(map(math.prod, self.variable_shapes(tuple(shape), rank).values()))

    def constant_shapes(self, shape):
        """The shape of the constant term's variable, if the constant term is a separate variable."""
        return {} if self.constant == "zeros" and not self.train_constant else {"constant": tuple(shape)}

    def build(self, layer, name, shape, rank, initializer, regularizer=None, constraint=None, fans=None):
        """Adds the variables of the weight `name` to a layer, each as the attribute `<name>_<variable>`."""
        self.check(layer, name, shape)
        self.warn_of_size(layer, name, shape, rank)
        for variable, variable_shape in self.variable_shapes(shape, rank).items():
            is_constant = variable == "constant"
            values = self.constant_values if is_constant else self.draw(variable, shape, rank, initializer, fans)
            added = layer.add_weight(
                name=f"{name}_{variable}".replace("/", "_"),  # Keras allows no "/" here
                shape=variable_shape,
                initializer=values,
                trainable=self.train_constant or not is_constant,
                regularizer=regularizer,
                constraint=constraint,
            )
            # `tf.train.Checkpoint` saves attributes, but not the values of a dict.
            setattr(layer, layer.attribute(name, variable), added)

    def variables(self, layer, name, shape):
        """The tensors that `write` and `contract` read, in the compute dtype of the layer."""
        # An explicit cast, because Keras autocasts variables only in `__call__`, and `generate` is called outside.
        return {
            variable: ops.cast(getattr(layer, layer.attribute(name, variable)), layer.compute_dtype)
            for variable in self.variable_shapes(shape, layer.rank)
        }

    def owned_variables(self, layer, name, shape):
        """The Keras variables of a weight, in a list."""
        return [getattr(layer, layer.attribute(name, variable)) for variable in self.variable_shapes(shape, layer.rank)]

    def assign_constant(self, layer, name, values):
        """Assigns an array to K0 of the weight `name` of a layer."""
        getattr(layer, layer.attribute(name, "constant")).assign(values)

    def warn_of_size(self, layer, name, shape, rank):
        """Warns before variables of more than `LARGE` bytes are allocated."""
        number = self.num_parameters(shape, rank)
        size = number * np.dtype(layer.variable_dtype).itemsize if layer.variable_dtype != "bfloat16" else 2 * number
        if size > LARGE:
            warnings.warn(
                f"{type(self).__name__} gives the weight {name!r} of layer {layer.name!r} {number:,} parameters, "
                f"{size / 2**30:.1f} GiB, and gradients and optimizer need a multiple of this. A basis of fewer "
                "parameters is `keras_hypernet.bases.LowRank(16)`.",
                stacklevel=2,
            )

    def check(self, layer, name, shape):
        """Raises ValueError if this basis cannot generate the weight."""
        if self.values is not None and self.values.shape != tuple(shape):
            raise ValueError(
                f"The constant term of {name!r} of layer {layer.name!r} must have the shape {tuple(shape)}. "
                f"Received: an array of shape {self.values.shape}"
            )

    def constant_values(self, shape, dtype):
        """The initial values of K0."""
        if self.values is not None:
            return ops.cast(ops.convert_to_tensor(self.values), dtype)
        if isinstance(self.constant, str):
            return ops.zeros(shape, dtype)
        return self.constant(shape, dtype)

    def get_config(self):
        """The arguments. An array is saved as `"given"`: its values are in the file of the weights."""
        named = isinstance(self.constant, str)
        constant = self.constant if named else keras.initializers.serialize(self.constant)
        return {"constant": constant, "train_constant": self.train_constant}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def variance_of(initializer, shape, fans, basis):
    """The variance that an initializer gives to a generated weight; ValueError if the initializer defines none."""
    if not isinstance(initializer, Hyperfan):
        raise ValueError(
            f"{type(basis).__name__} needs an initializer that states the variance of the generated weight: HyperfanIn "
            f"or HyperfanOut. Received: {initializer!r}"
        )
    return initializer.generated_variance(shape, fans)


def align(tensor, ndim):
    """Inserts axes after the batch until the tensor has `ndim` axes: `[B, c]` -> `[B, 1, ..., c]`."""
    for _ in range(ndim - len(tensor.shape)):
        tensor = ops.expand_dims(tensor, axis=1)
    return tensor
