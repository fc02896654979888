"""HyperEmbedding: an Embedding layer whose table is generated from a condition."""

from typing import Any

import keras
from keras import ops

from keras_hypernet import bases
from keras_hypernet.bases.base import Cost
from keras_hypernet.bases.initializers import Fans, HyperfanIn
from keras_hypernet.common.checks import check_choice, integer
from keras_hypernet.layers.base import HyperLayer
from keras_hypernet.layers.contraction import CHOICES, plan


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperEmbedding(HyperLayer):
    """Looks up ids in a table `[input_dim, output_dim]` that is generated from the condition.

    A lookup is linear in the table, so the factorised route looks up the terms of the rows and never writes a table. At
    initialization, the entries of the rows have variance one if the entries of the condition have a second moment of
    one, as the initializers of the following layers expect.

    Call arguments:
        x: Integer tensor of ids `[B]`, `[B, T]`, or `[B, P, T]`; ids are read as int32.
        condition: Tensor `[B, R]`; `[1, R]` for one condition shared by the whole batch; or `[B, P, R]` for a condition
            for each id in `[B, P]`, or for each sequence in `[B, P, T]`.

    Returns:
        A tensor of the shape of x and `output_dim`, of the compute dtype. With `mask_zero`, its mask is `x != 0`.

    Args:
        input_dim: Number of ids, a positive integer.
        output_dim: Length of a row, a positive integer.
        embeddings_initializer: Initializer of the generated table; `HyperfanIn()` by default. The fan-in of a lookup is
            one.
        embeddings_regularizer, embeddings_constraint: Applied to the variables of the basis.
        mask_zero: Whether the id 0 is padding, which the following layers skip.
        contraction: `"factorised"` (the table is not written), `"materialised"` (the table is written), or `"auto"`:
            the table is written if it has fewer rows than are looked up.
        basis: How the table is generated, a basis of `keras_hypernet.bases`; `Full()` by default.
        **kwargs: `name`, `dtype`, `trainable` and `activity_regularizer`.

    Raises:
        ValueError: If a size is not a positive integer, an argument is not one of its choices, or shapes do not fit.

    Example:

    >>> layer = HyperEmbedding(100, 3)
    >>> layer(keras.ops.ones((8, 5), "int32"), keras.ops.ones((8, 4))).shape
    TensorShape([8, 5, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(keras.ops.ones((8, 4))).items()}
    {'embeddings': (8, 100, 3)}
    """

    keras_layer = keras.layers.Embedding
    axes = ()
    most_points = 2

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        contraction: str = "auto",
        basis: bases.Basis | dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("contraction", contraction, CHOICES)
        self.input_dim, self.output_dim = integer("input_dim", input_dim), integer("output_dim", output_dim)
        initializer = embeddings_initializer or HyperfanIn()
        self.use_options("embeddings", initializer, embeddings_regularizer, embeddings_constraint)
        self.mask_zero, self.contraction = mask_zero, contraction
        self.use_basis(basis)

    def build(self, x_shape, condition_shape=None):
        super().build(x_shape, condition_shape)
        shape, fans = (self.input_dim, self.output_dim), Fans(1, self.output_dim)
        self.add_basis("embeddings", shape, self.rank, **self.options_of("embeddings"), basis=self.basis, fans=fans)

    def plan(self, x_shape, condition_shape):
        """The `Contraction` of a call on these shapes."""

        def costs(rows, conditions):
            # The number of rows to compute. The factorised route computes only the rows that it looks up.
            computed = {"factorised": Cost(rows, 0.0), "materialised": Cost(conditions * self.input_dim, 0.0)}
            return {route: computed[route] for route in self.basis.routes}

        return plan(x_shape, condition_shape[0], costs, self.contraction)

    def compute(self, x, condition):
        (table,) = self._generated
        z = ops.cast(condition, self.compute_dtype)
        if self.plan(x.shape, condition.shape).route == "materialised":
            return self.run(x, {"embeddings": self.write(table, z)})
        return table.basis.contract(_rows, ops.cast(x, "int32"), self.variables_of(table), z)

    def run(self, x, weights):
        x, tables = ops.cast(x, "int32"), weights["embeddings"]
        if tables.shape[0] == 1:
            return _rows(x, tables[0])
        # One lookup in the concatenation of all tables. If the number of tables is unknown, one table may serve all x.
        last = ops.shape(tables)[0] - 1
        table = ops.minimum(ops.arange(ops.shape(x)[0], dtype="int32"), last)
        first = ops.reshape(table * self.input_dim, (-1, *[1] * (len(x.shape) - 1)))
        return _rows(x + first, ops.reshape(tables, (-1, self.output_dim)))

    def compute_mask(self, inputs, previous_mask):
        return ops.not_equal(inputs, 0) if self.mask_zero else previous_mask

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        return (*x_shape, self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "mask_zero": self.mask_zero,
            "contraction": self.contraction,
            "basis": bases.serialize(self.basis),
        }


def _rows(ids, table):
    return ops.take(table, ids, axis=0)
