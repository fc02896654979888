"""LowRank: the generated part of a weight is a product of two thin trained matrices, scaled by the condition."""

import math
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.base import Basis, Cost, align, variance_of
from keras_hypernet.common.checks import integer


@keras.saving.register_keras_serializable(package="keras_hypernet")
class LowRank(Basis):
    """`W(z) = K0 + A diag(z S) B`: the condition scales r directions, as an adapter (LoRA) does.

    The variables are `left` A `[*leading, r]`, `scale` S `[R, r]`, `right` B `[r, o]` and K0. A weight of i inputs and
    o outputs has `r (i + o) + R r` parameters, and `i o` for K0; r is `min(rank, i, o)`. A layer does not write the
    weight if that is cheaper: the cost is then a product with K0, and r (i + o) operations for each x.

    Args:
        rank: The number of directions, a positive integer.
        constant, train_constant: The constant term; see `Basis`. `train_constant=False` without a constant leaves
            `r (i + o) + R r` parameters.

    Raises:
        ValueError: If `rank` is not a positive integer.

    Example:

    >>> LowRank(8, train_constant=False).num_parameters((4096, 4096), rank=64)
    66048

    Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
    """

    def __init__(self, rank: int, constant: Any = "zeros", train_constant: bool = True) -> None:
        super().__init__(constant, train_constant)
        self.rank = integer("rank", rank)

    def directions(self, shape):
        """r, the number of directions of a weight of shape `shape`."""
        return min(self.rank, math.prod(shape[:-1]), shape[-1])

    def variable_shapes(self, shape, rank):
        *leading, outputs = shape
        r = self.directions(shape)
        variables = {"left": (*leading, r), "scale": (rank, r), "right": (r, outputs)}
        return {**variables, **self.constant_shapes(shape)}

    def draw(self, name, shape, rank, initializer, fans):
        r, inputs = self.directions(shape), max(math.prod(shape[:-1]), 1)
        variance = variance_of(initializer, shape, fans, self)
        if name == "scale":
            return initializer.unit_map(rank)
        if name == "left":
            return lambda shape, dtype: initializer.draw(1 / inputs, shape, dtype, stream=2)
        if self.starts_at_zero:
            return lambda shape, dtype: ops.zeros(shape, dtype)
        return lambda shape, dtype: initializer.draw(variance * inputs / r, shape, dtype, stream=3)

    def write(self, variables, z):
        left, right = variables["left"], variables["right"]
        scaled = ops.expand_dims(ops.matmul(z, variables["scale"]), -1) * right  # [B, r, o]
        weights = ops.tensordot(scaled, left, axes=[[1], [len(left.shape) - 1]])  # [B, o, *leading]
        weights = ops.moveaxis(weights, 1, -1)
        return weights + variables["constant"] if "constant" in variables else weights

    def contract(self, op, x, variables, z):
        y = op(x, variables["left"])
        scale = ops.matmul(z, variables["scale"])
        y = ops.matmul(y * align(scale, len(y.shape)), variables["right"])
        return y + op(x, variables["constant"]) if "constant" in variables else y

    def costs(self, sizes):
        rows, conditions, inputs, outputs, _ = sizes
        r = self.directions((inputs, outputs))
        constant = sizes.product if self.constant_shapes(()) else 0.0
        kernels = conditions * inputs * outputs
        return {
            "factorised": Cost(2.0 * rows * r * (inputs + outputs) + constant, 2 * rows * (r + outputs)),
            "materialised": Cost(2.0 * r * kernels + sizes.product, 3 * kernels),
        }

    def get_config(self):
        return {"rank": self.rank, **super().get_config()}
