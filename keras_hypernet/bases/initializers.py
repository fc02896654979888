"""Initializers for generated weights, and the initialization of the paper's experiments.

A basis of shape `[..., R + 1, units]` generates a weight of shape `[..., units]` by contraction with `[z, 1]`, where z
is the condition (see `bases/full.py`). If the constant term is zero and the R entries of the condition have the second
moment m2, a generated weight has the variance `R * m2 * Var(basis)`. The hyperfan initializers choose `Var(basis)` so
that the *generated* network is well initialized; initializers for ordinary weights do not.
"""

import dataclasses
import math
import typing

import keras
from keras import ops


class _Initializer(keras.initializers.Initializer):
    """Abstract: a subclass is a dataclass, whose fields are its configuration."""

    def __post_init__(self):
        for name in ("gain", "condition_second_moment", "fan_in"):
            value = getattr(self, name, None)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be positive. Received: {value!r}")

    def get_config(self):
        return dataclasses.asdict(self)

    def uniform(self, limit, shape, dtype, stream=0):
        # Without a seed, Keras's initializer draws a seed from the state that `set_random_seed` sets.
        seed = None if self.seed is None else self.seed + stream
        return keras.initializers.RandomUniform(-limit, limit, seed)(shape, dtype)


class Fans(typing.NamedTuple):
    """The fan-in of a generated kernel (inputs per output), and its fan-out (outputs per input)."""

    fan_in: int
    fan_out: int


class Hyperfan(_Initializer):
    """Abstract: uniform, with a constant term of zero; a subclass defines the variance of a generated weight."""

    def __call__(self, shape, dtype=None, fans=None):
        if len(shape) < 2:
            raise ValueError(f"A basis has the shape [..., R + 1, units]. Received: {tuple(shape)}")
        *leading, terms, units = shape
        variance = self.generated_variance((*leading, units), fans) / self.condition_second_moment
        return self.terms(variance / (terms - 1), shape, dtype)

    def generated_variance(self, shape, fans=None):
        """Returns the variance of a generated weight of shape `[..., units]`, by default with the fans of the shape."""
        raise NotImplementedError

    def terms(self, variance, shape, dtype=None):
        """Terms with a given variance, `[..., R + 1, units]`; the last term, the constant term, is zero."""
        *leading, terms, units = shape
        slopes = self.draw(variance, (*leading, terms - 1, units), dtype)
        return ops.concatenate([slopes, ops.zeros((*leading, 1, units), dtype=slopes.dtype)], axis=-2)

    def draw(self, variance, shape, dtype=None, stream=0):
        """Uniform values with a given variance. The variables of a weight share the seed; each has its own `stream`."""
        return self.uniform(math.sqrt(3 * variance), shape, dtype, stream)

    def unit_map(self, rank):
        """Returns an initializer of a map `[R, n]` that takes the condition to entries of second moment one."""
        variance = 1 / (rank * self.condition_second_moment)
        return lambda shape, dtype: self.draw(variance, shape, dtype, stream=1)


@keras.saving.register_keras_serializable(package="keras_hypernet")
@dataclasses.dataclass(eq=False)
class HyperfanIn(Hyperfan):
    """Keeps the variance of activations: generated kernels get the variance `gain / fan_in`.

    If a layer also generates its bias, kernel and bias share the variance of the output: use one
    `HyperfanIn(generates_bias=True)` for both, which halves the variance and gives biases `gain / 2`.

    Args:
        gain: Variance of an output for inputs of second moment one: 2 before a ReLU, otherwise 1.
        condition_second_moment: Mean square of the condition's entries, m2.
        generates_bias: Whether the layer generates its bias as well.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If `gain` or `condition_second_moment` is not positive, or the shape is not that of a basis.

    Example:

    >>> basis = HyperfanIn(gain=2.0, seed=0)((64, 4 + 1, 10))
    >>> basis.shape
    TensorShape([64, 5, 10])

    Reference: Chang, Flokas and Lipson, "Principled Weight Initialization for Hypernetworks", ICLR 2020.
    """

    gain: float = 1.0
    condition_second_moment: float = 1.0
    generates_bias: bool = False
    seed: int | None = None

    def generated_variance(self, shape, fans=None):
        # A bias has no input axis: the empty product gives the fan-in 1. A kernel without inputs has no weights.
        fan_in = max(fans.fan_in if fans else math.prod(shape[:-1]), 1)
        return self.gain / (fan_in * (2 if self.generates_bias else 1))


@keras.saving.register_keras_serializable(package="keras_hypernet")
@dataclasses.dataclass(eq=False)
class HyperfanOut(Hyperfan):
    """Keeps the variance of gradients: generated kernels get the variance `gain / fan_out`.

    A generated bias contributes the rest of the activations' variance, `gain * max(1 - fan_in / fan_out, 0)`.

    Args:
        gain: Variance of a gradient for gradients of variance one: 2 before a ReLU, otherwise 1.
        condition_second_moment: Mean square of the condition's entries, m2.
        fan_in: Input dimension of the layer, needed for the basis of a bias, whose shape does not contain it.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If an argument is not positive, the shape is not that of a basis, or `fan_in` is missing.

    Example:

    >>> float(keras.ops.max(HyperfanOut(fan_in=20)((4 + 1, 10))))
    0.0

    Reference: Chang, Flokas and Lipson, "Principled Weight Initialization for Hypernetworks", ICLR 2020.
    """

    gain: float = 1.0
    condition_second_moment: float = 1.0
    fan_in: int | None = None
    seed: int | None = None

    def generated_variance(self, shape, fans=None):
        *inputs, fan_out = shape
        if inputs:
            return self.gain / (fans.fan_out if fans else fan_out * math.prod(inputs[:-1]))
        if self.fan_in is None:
            raise ValueError("HyperfanOut needs `fan_in`, the layer's input dimension, for the basis of a bias.")
        return self.gain * max(1 - self.fan_in / fan_out, 0.0)


@keras.saving.register_keras_serializable(package="keras_hypernet")
@dataclasses.dataclass(eq=False)
class FanInUniform(_Initializer):
    """Uniform on `+-1 / sqrt(fan_in)`, of variance `1 / (3 fan_in)`: the initialization of the paper's experiments.

    The authors' networks initialize every kernel and bias this way, the default of their framework. The last layer of f
    has R inputs, so `fan_in` is R for a basis and its constant term.

    Args:
        fan_in: Number of inputs of the weight's linear map.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If `fan_in` is not positive.

    Example:

    >>> bool(keras.ops.max(keras.ops.abs(FanInUniform(fan_in=100)((100, 20)))) <= 0.1)
    True

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, published code.
    """

    fan_in: int
    seed: int | None = None

    def __call__(self, shape, dtype=None):
        return self.uniform(1 / math.sqrt(self.fan_in), shape, dtype)


@keras.saving.register_keras_serializable(package="keras_hypernet")
@dataclasses.dataclass(eq=False)
class UnitIncomingNorm(_Initializer):
    """Random directions: the incoming weights of each unit, a column of the kernel, have unit L2 norm.

    Args:
        distribution: `"normal"` or `"uniform"`, the distribution of the weights before scaling.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If the distribution is neither.

    Example:

    >>> kernel = UnitIncomingNorm("normal")((100, 20))
    >>> bool(keras.ops.all(keras.ops.abs(keras.ops.norm(kernel, axis=0) - 1) < 1e-5))
    True

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 2, published code.
    """

    distribution: str = "normal"
    seed: int | None = None

    def __post_init__(self):
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"`distribution` must be 'normal' or 'uniform'. Received: {self.distribution!r}")

    def __call__(self, shape, dtype=None):
        if self.distribution == "normal":
            weights = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)(shape, dtype)
        else:
            weights = self.uniform(1.0, shape, dtype)
        return weights / ops.sqrt(ops.sum(ops.square(weights), axis=tuple(range(len(shape) - 1)), keepdims=True))
