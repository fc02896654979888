"""HyperDense: a Dense layer whose kernel, bias or both are generated from a condition."""

from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.full import Full
from keras_hypernet.common.checks import integer
from keras_hypernet.layers.kernel import KernelLayer

# Measured: with at least this ratio of units to inputs, x is multiplied by the factors before the matrix product.
UNITS_PER_INPUT = 8


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperDense(KernelLayer):
    """`activation(x . K(condition) + b(condition))`, with weights generated from the condition.

    Each example of a batch has its own weights. The factorised route does not write these weights: see
    `layers/contraction.py`. A network whose first layer has `kernel="trained"` and `bias="generated"` is the embedding
    method. `Model.quantize` skips this layer, but quantizes the Dense layer that `specialize` returns.

    Call arguments:
        x: Tensor `[B, i]`, or `[B, P, i]` for P points for each condition.
        condition: Tensor `[B, R]`; `[1, R]` for one condition shared by the whole batch; or `[B, P, R]` for a condition
            for each point.

    Returns:
        A tensor `[B, units]` or `[B, P, units]` of the compute dtype.

    Args:
        units: Output dimension, a positive integer.
        activation, use_bias, kernel, bias, contraction: See `KernelLayer`.
        **kwargs: The initializers, regularizers, constraints and other arguments of `KernelLayer`.

    Raises:
        ValueError: If no weight is generated, an argument is not one of its choices, or shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 16)), keras.ops.ones((8, 4))
    >>> layer = HyperDense(3, activation="relu")
    >>> layer(x, condition).shape
    TensorShape([8, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(condition).items()}
    {'kernel': (8, 16, 3), 'bias': (8, 3)}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Secs. 2 and 4.2.
    """

    keras_layer = keras.layers.Dense

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel: str = "generated",
        bias: str = "generated",
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, use_bias, kernel, bias, contraction, **kwargs)
        self.units = integer("units", units)

    def kernel_shape(self, x_shape):
        return x_shape[-1], self.units

    def op(self, x, kernel):
        # One plain GEMM for any number of points. A reshape with -1 fails for an empty tensor.
        inputs, units = kernel.shape
        if len(x.shape) == 2 or inputs == 0:
            return ops.matmul(x, kernel)
        return ops.reshape(ops.matmul(ops.reshape(x, (-1, inputs)), kernel), (*ops.shape(x)[:-1], units))

    def each(self, x, kernels):
        if len(x.shape) == 3:
            return ops.matmul(x, kernels)
        return ops.squeeze(ops.matmul(ops.expand_dims(x, axis=-2), kernels), axis=-2)

    def contract(self, x, variables, z):
        if self._inputs_first(x.shape[-1]):
            return self.basis.contract_inputs(self.op, x, variables, z)
        return super().contract(x, variables, z)

    def costs(self, sizes):
        return self.basis.costs(sizes, inputs_first=True) if self._inputs_first(sizes.inputs) else super().costs(sizes)

    def _inputs_first(self, inputs):
        return isinstance(self.basis, Full) and self.units >= UNITS_PER_INPUT * inputs

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        return (*x_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
