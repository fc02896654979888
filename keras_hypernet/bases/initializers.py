"""Initializers for generated weights, and the initialization of the paper's experiments.

A basis of shape `[..., R + 1, units]` generates a weight of shape `[..., units]` by contraction with
the condition extended by a one (see `layers/base.py`). If the R entries of the condition have the
second moment m2, and the constant term starts at zero, a generated weight has the variance
`R * m2 * Var(basis)`. The hyperfan initializers choose `Var(basis)` so that the *generated* network
starts as a well initialized one would; an initializer made for ordinary weights does not.
"""

import math

import keras
from keras import ops


class _Hyperfan(keras.initializers.Initializer):
    """Abstract: uniform, zero in the constant term; a subclass gives the variance of a generated weight."""

    def __init__(self, gain=1.0, condition_second_moment=1.0, generates_bias=False, seed=None):
        for name, value in {"gain": gain, "condition_second_moment": condition_second_moment}.items():
            if not value > 0:
                raise ValueError(f"`{name}` must be positive. Received: {value!r}")
        self.gain = gain
        self.condition_second_moment = condition_second_moment
        self.generates_bias = generates_bias
        self.seed = seed

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError(f"A basis has the shape [..., R + 1, units]. Received: {tuple(shape)}")
        *leading, terms, units = shape
        rank = terms - 1
        variance = self.generated_variance((*leading, units)) / (rank * self.condition_second_moment)
        slopes = _uniform(math.sqrt(3 * variance), self.seed, (*leading, rank, units), dtype)
        return ops.concatenate([slopes, ops.zeros((*leading, 1, units), dtype=slopes.dtype)], axis=-2)

    def get_config(self):
        return {
            "gain": self.gain,
            "condition_second_moment": self.condition_second_moment,
            "generates_bias": self.generates_bias,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperfanIn(_Hyperfan):
    """Keeps the variance of activations: generated kernels get the variance `gain / fan_in`.

    Where the bias is generated too, kernel and bias share the variance of the output: use one
    `HyperfanIn(generates_bias=True)` for both, which halves the variance and gives biases `gain / 2`.

    Args:
        gain: Variance of an output for inputs of second moment one: 2 before a ReLU, otherwise 1.
        condition_second_moment: Mean square of the condition's entries, m2.
        generates_bias: Whether the layer generates its bias as well.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If `gain` or `condition_second_moment` is not positive, or the shape is not a basis's.

    Example:

    >>> basis = HyperfanIn(gain=2.0, seed=0)((64, 4 + 1, 10))
    >>> basis.shape
    TensorShape([64, 5, 10])

    Reference: Chang, Flokas and Lipson, "Principled Weight Initialization for Hypernetworks", ICLR 2020.
    """

    def generated_variance(self, shape):
        """Variance that a generated weight of this shape, `[..., units]`, is to have."""
        # A bias has no input axis: its fan-in is the empty product, one. A kernel of no inputs has no weights.
        fan_in = max(math.prod(shape[:-1]), 1)
        return self.gain / (fan_in * (2 if self.generates_bias else 1))


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperfanOut(_Hyperfan):
    """Keeps the variance of gradients: generated kernels get the variance `gain / fan_out`.

    A generated bias makes up what the kernel leaves of the activations' variance, which is
    `gain * max(1 - fan_in / fan_out, 0)`.

    Args:
        gain: Variance of a gradient for gradients of variance one: 2 before a ReLU, otherwise 1.
        condition_second_moment: Mean square of the condition's entries, m2.
        fan_in: Input dimension of the layer. Needed for the basis of a bias only: it is not in its shape.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If an argument is not positive, the shape is not a basis's, or `fan_in` is missing.

    Example:

    >>> float(keras.ops.max(HyperfanOut(fan_in=20)((4 + 1, 10))))
    0.0

    Reference: Chang, Flokas and Lipson, "Principled Weight Initialization for Hypernetworks", ICLR 2020.
    """

    def __init__(self, gain=1.0, condition_second_moment=1.0, fan_in=None, seed=None):
        super().__init__(gain, condition_second_moment, seed=seed)
        if fan_in is not None and not fan_in > 0:
            raise ValueError(f"`fan_in` must be positive. Received: {fan_in!r}")
        self.fan_in = fan_in

    def generated_variance(self, shape):
        """Variance that a generated weight of this shape, `[..., units]`, is to have."""
        *inputs, fan_out = shape
        if inputs:
            return self.gain / (fan_out * math.prod(inputs[:-1]))
        if self.fan_in is None:
            raise ValueError("HyperfanOut needs `fan_in`, the layer's input dimension, for the basis of a bias.")
        return self.gain * max(1 - self.fan_in / fan_out, 0.0)

    def get_config(self):
        config = {**super().get_config(), "fan_in": self.fan_in}
        del config["generates_bias"]
        return config


@keras.saving.register_keras_serializable(package="keras_hypernet")
class FanInUniform(keras.initializers.Initializer):
    """Uniform on `+-1 / sqrt(fan_in)`, hence of variance `1 / (3 fan_in)`: that of the paper's experiments.

    The authors' networks start every kernel and every bias this way, the default of their framework.
    The last layer of f has R inputs, so in a basis, its constant term included, `fan_in` is R.

    Args:
        fan_in: Number of inputs of the linear map that the weight belongs to.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If `fan_in` is not positive.

    Example:

    >>> bool(keras.ops.max(keras.ops.abs(FanInUniform(fan_in=100)((100, 20)))) <= 0.1)
    True

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, published code.
    """

    def __init__(self, fan_in, seed=None):
        if not fan_in > 0:
            raise ValueError(f"`fan_in` must be positive. Received: {fan_in!r}")
        self.fan_in = fan_in
        self.seed = seed

    def __call__(self, shape, dtype=None):
        return _uniform(1 / math.sqrt(self.fan_in), self.seed, shape, dtype)

    def get_config(self):
        return {"fan_in": self.fan_in, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class UnitIncomingNorm(keras.initializers.Initializer):
    """Random directions: the incoming weights of each unit, a column of the kernel, have unit L2 norm.

    Args:
        distribution: `"normal"` or `"uniform"`, from which the weights are drawn before they are scaled.
        seed: An integer for the same values at every call, or None.

    Raises:
        ValueError: If there is no such distribution.

    Example:

    >>> kernel = UnitIncomingNorm("normal")((100, 20))
    >>> bool(keras.ops.all(keras.ops.abs(keras.ops.norm(kernel, axis=0) - 1) < 1e-5))
    True

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 2, published code.
    """

    def __init__(self, distribution="normal", seed=None):
        if distribution not in ("normal", "uniform"):
            raise ValueError(f"`distribution` must be 'normal' or 'uniform'. Received: {distribution!r}")
        self.distribution = distribution
        self.seed = seed

    def __call__(self, shape, dtype=None):
        if self.distribution == "normal":
            weights = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)(shape, dtype)
        else:
            weights = _uniform(1.0, self.seed, shape, dtype)
        return weights / ops.sqrt(ops.sum(ops.square(weights), axis=tuple(range(len(shape) - 1)), keepdims=True))

    def get_config(self):
        return {"distribution": self.distribution, "seed": self.seed}


def _uniform(limit, seed, shape, dtype):
    # Keras's own initializer draws a fresh seed if there is none, from what `set_random_seed` has set.
    return keras.initializers.RandomUniform(-limit, limit, seed)(shape, dtype)
