"""Full and Mixture: a generated weight is a sum of trained terms, weighted by the condition."""

from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.base import Basis, Cost, align, variance_of
from keras_hypernet.bases.initializers import Hyperfan
from keras_hypernet.common.checks import integer


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Full(Basis):
    """`W(z) = K0 + sum_r z_r T_r`: every weight is a linear function of the whole condition.

    The terms are one variable of shape `[*leading, R + 1, o]`, whose last term is K0; a K0 that is not trained is a
    separate variable. A weight of N entries has `(R + 1) N` parameters.

    Args:
        constant, train_constant: The constant term; see `Basis`.

    Example:

    >>> layer = keras_hypernet.layers.HyperDense(10, basis=Full(constant="glorot_uniform"))
    >>> layer(keras.ops.ones((8, 16)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 10])
    >>> Full().num_parameters((16, 10), rank=4)
    800

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 4.2.
    """

    def terms(self, rank):
        """Number of terms of the variable `basis`."""
        return rank + bool(self.train_constant)

    def variable_shapes(self, shape, rank):
        *leading, outputs = shape
        constant = {} if self.train_constant else self.constant_shapes(shape)
        return {"basis": (*leading, self.terms(rank), outputs), **constant}

    def draw(self, name, shape, rank, initializer, fans):
        *leading, outputs = shape
        extended = (*leading, self.terms(rank) + (not self.train_constant), outputs)  # with a slice for K0

        def values(_, dtype):
            if not self.starts_at_zero:
                terms = self.draw_terms(extended, dtype, shape, initializer, fans)
                return terms if self.train_constant else terms[..., :-1, :]
            *_, count, _ = extended
            slopes = ops.zeros((*leading, count - 1, outputs), dtype)
            if not self.train_constant:
                return slopes
            return ops.concatenate([slopes, ops.expand_dims(self.constant_values(shape, dtype), -2)], axis=-2)

        return values

    def draw_terms(self, extended, dtype, shape, initializer, fans):
        """The initial values of the terms, `[*leading, terms + 1, o]`, if K0 starts at zero and G does not."""
        return initializer(extended, dtype, fans) if isinstance(initializer, Hyperfan) else initializer(extended, dtype)

    def assign_constant(self, layer, name, values):
        if not self.train_constant:
            super().assign_constant(layer, name, values)
            return
        variable = getattr(layer, layer.attribute(name, "basis"))
        constant = ops.expand_dims(ops.cast(values, variable.dtype), -2)
        variable.assign(ops.concatenate([variable[..., :-1, :], constant], axis=-2))

    def factors(self, variables, z):
        """The factors of the terms, `[B, terms]`: z, and a one for a constant term among the terms."""
        return ops.concatenate([z, ops.ones_like(z[:, :1])], axis=-1) if self.train_constant else z

    def write(self, variables, z):
        basis = variables["basis"]
        weights = ops.tensordot(self.factors(variables, z), basis, axes=[[1], [len(basis.shape) - 2]])
        return weights + variables["constant"] if "constant" in variables else weights

    def contract(self, op, x, variables, z):
        # One product for all terms. The layout of the basis makes this reshape free of copies.
        *leading, terms, outputs = variables["basis"].shape
        products = op(x, ops.reshape(variables["basis"], (*leading, terms * outputs)))
        products = ops.reshape(products, (*ops.shape(products)[:-1], terms, outputs))
        factors = align(self.factors(variables, z), len(products.shape))
        y = ops.squeeze(ops.matmul(factors, products), axis=-2)
        return y + op(x, variables["constant"]) if "constant" in variables else y

    def contract_inputs(self, op, x, variables, z):
        """As `contract`, for an op that multiplies matrices: first x times the factors, then one matrix product.

        For each x, the intermediate result has `terms * inputs` entries; that of `contract` has `terms * outputs`.
        """
        inputs, terms, outputs = variables["basis"].shape
        factors = align(self.factors(variables, z), len(x.shape))
        outer = ops.expand_dims(x, -1) * ops.expand_dims(factors, -2)
        outer = ops.reshape(outer, (*ops.shape(x)[:-1], inputs * terms))
        y = op(outer, ops.reshape(variables["basis"], (inputs * terms, outputs)))
        return y + op(x, variables["constant"]) if "constant" in variables else y

    def costs(self, sizes, inputs_first=False):
        rows, conditions, inputs, outputs, rank = sizes
        terms = self.terms(rank)
        basis, kernels = inputs * terms * outputs, conditions * inputs * outputs
        products = rows * terms * (inputs if inputs_first else outputs)
        return {
            "factorised": Cost(2.0 * rows * basis + 2.0 * products, 2 * products),
            # The basis is stored for the factorised route; this route reads the basis transposed.
            "materialised": Cost(2.0 * conditions * basis + sizes.product, 2 * kernels + basis),
        }


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Mixture(Full):
    """`W(z) = K0 + sum_n c_n T_n` with the coefficients `c = z P`: few terms for a condition of many entries.

    A weight of N entries has `(n + 1) N + R n` parameters.

    Args:
        size: n, the number of terms, a positive integer.
        constant, train_constant: The constant term; see `Basis`.

    Raises:
        ValueError: If `size` is not a positive integer.

    Example:

    >>> Mixture(3).num_parameters((16, 10), rank=4)
    652
    """

    def __init__(self, size: int, constant: Any = "zeros", train_constant: bool = True) -> None:
        super().__init__(constant, train_constant)
        self.size = integer("size", size)

    def terms(self, rank):
        return super().terms(self.size)

    def variable_shapes(self, shape, rank):
        return {**super().variable_shapes(shape, rank), "projection": (rank, self.size)}

    def draw(self, name, shape, rank, initializer, fans):
        if name == "basis":
            return super().draw(name, shape, rank, initializer, fans)
        variance_of(initializer, shape, fans, self)
        return initializer.unit_map(rank)

    def draw_terms(self, extended, dtype, shape, initializer, fans):
        return initializer.terms(variance_of(initializer, shape, fans, self) / self.size, extended, dtype)

    def factors(self, variables, z):
        return super().factors(variables, ops.matmul(z, variables["projection"]))

    def get_config(self):
        return {"size": self.size, **super().get_config()}
