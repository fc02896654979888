"""Chunked: a small network, shared by all chunks of a weight, writes the weight chunk by chunk."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.base import Basis, Cost, variance_of
from keras_hypernet.common.checks import integer, positive


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ChunkHead(keras.Layer):
    """The network of `Chunked`: maps the condition and the embedding of a chunk to the entries of the chunk.

    Call arguments:
        z: Tensor `[B, R]`.
        chunks: Tensor `[C, embedding_dim]`.

    Returns:
        A tensor `[B, C, size]`. Without an `initializer`, its second moment starts at one if z has the second
        moment `m2`, and the embeddings of the chunks have the standard deviation `stddev`.
    """

    def __init__(self, size, hidden, zeros, m2, stddev, initializer=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.size, self.hidden, self.zeros, self.seed = size, tuple(hidden), zeros, seed
        self.m2, self.stddev, self.initializer = m2, stddev, initializer

    def build(self, z_shape, chunks_shape):
        self.rank, dim = z_shape[-1], chunks_shape[-1]
        inputs, moment = self.rank + dim, self.rank * self.m2 + dim * self.stddev**2
        for number, units in enumerate((*self.hidden, self.size)):
            last = number == len(self.hidden)
            limit = math.sqrt(3 * (1 if last else 2) / moment)
            seed = None if self.seed is None else self.seed + 4 + number
            # Keras's initializers without a seed repeat their values at each call; a clone draws others.
            given = self.initializer and self.initializer.clone()
            initializer = given or keras.initializers.RandomUniform(-limit, limit, seed)
            kernel = self.add_weight(
                name=f"kernel_{number}",
                shape=(inputs, units),
                initializer="zeros" if last and self.zeros else initializer,
            )
            bias = self.add_weight(name=f"bias_{number}", shape=(units,), initializer="zeros")
            setattr(self, f"kernel_{number}", kernel)
            setattr(self, f"bias_{number}", bias)
            inputs = moment = units

    def call(self, z, chunks):
        # The first product is computed for z and for chunks separately: no [z, chunk] is written for each pair.
        kernel = ops.cast(self.kernel_0, z.dtype)
        y = ops.expand_dims(ops.matmul(z, kernel[: self.rank]), 1) + ops.matmul(chunks, kernel[self.rank :])
        # As a matrix: TensorFlow's Grappler miscompiles the gradient of several products `[1, C, hidden]`.
        y = ops.reshape(y + ops.cast(self.bias_0, z.dtype), (-1, self.kernel_0.shape[1]))
        for number in range(1, len(self.hidden) + 1):
            kernel, bias = (ops.cast(getattr(self, f"{name}_{number}"), z.dtype) for name in ("kernel", "bias"))
            y = ops.matmul(ops.relu(y), kernel) + bias
        return ops.reshape(y, (-1, chunks.shape[0], self.size))


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Chunked(Basis):
    """`W(z) = K0 + head([z, e_c])` for each chunk c of the entries of W: the fewest parameters, the most operations.

    The variables of a weight of N entries are one embedding for each of its `ceil(N / size)` chunks, and K0. The head,
    a network with ReLU between its layers, belongs to the basis: layers that receive the same `Chunked` share its head.
    A layer always writes the weight. The entries are in the order of the last axis: all weights of one unit, or
    filter, before those of the next. If a bias has the same basis (`vector_basis`), the head writes it, too.

    Args:
        size: Number of entries of a chunk, a positive integer.
        embedding_dim: Dimension of the embedding e_c of a chunk, a positive integer.
        hidden: Units of the hidden layers of the head.
        constant, train_constant: The constant term; see `Basis`.
        stddev: Standard deviation of the initial embeddings, a positive number. If it is small, the chunks start
            alike, and differ by the condition alone: conditions that are learned one after another find room.
        head_initializer: Initializer of the kernels of the head. By default, each weight has the variance that the
            layer's own initializer states. With an initializer here, all weights are the outputs of the head as they
            are, as in the published code: `"glorot_uniform"` starts with small weights.

    Layers of a `Hypernetwork` may share a `Chunked`. Keras's functional models lose such sharing when they are saved,
    so saving a layer with a shared basis outside a `Hypernetwork` raises an error.

    Raises:
        ValueError: If a size is not a positive integer, `stddev` is not positive, there is no such initializer, or
            layers that share the basis have conditions of different dimensions.

    Example:

    >>> shared = Chunked(size=64, embedding_dim=8, train_constant=False)
    >>> layers = [keras_hypernet.layers.HyperDense(units, basis=shared) for units in (32, 10)]
    >>> shared.num_parameters((100, 32), rank=4)  # 50 embeddings, and a head of 64 x (4 + 8 + 1)
    1232

    Reference: von Oswald et al., "Continual Learning with Hypernetworks", ICLR 2020.
    """

    routes = ("materialised",)
    shares_variables = True

    def __init__(
        self,
        size: int,
        embedding_dim: int,
        hidden: Sequence[int] = (),
        constant: Any = "zeros",
        train_constant: bool = True,
        stddev: float = 1.0,
        head_initializer: Any = None,
    ) -> None:
        super().__init__(constant, train_constant)
        self.stddev = float(positive("stddev", stddev))
        self.head_initializer = keras.initializers.get(head_initializer)
        self.size = integer("size", size)
        self.embedding_dim = integer("embedding_dim", embedding_dim)
        self.hidden = tuple(integer("hidden", units) for units in hidden)
        self.head = None

    def chunks(self, shape):
        """Number of chunks of a weight of shape `shape`."""
        return -(-math.prod(shape) // self.size)

    def variable_shapes(self, shape, rank):
        return {"chunks": (self.chunks(shape), self.embedding_dim), **self.constant_shapes(shape)}

    def num_parameters(self, shape: Sequence[int], rank: int) -> int:
        """Number of parameters of one weight, including the head, which several weights may share."""
        head, inputs = 0, rank + self.embedding_dim
        for units in (*self.hidden, self.size):
            head, inputs = head + (inputs + 1) * units, units
        return head + super().num_parameters(shape, rank)

    def build(self, layer, name, shape, rank, initializer, regularizer=None, constraint=None, fans=None):
        super().build(layer, name, shape, rank, initializer, regularizer, constraint, fans)
        if self.head is None:
            m2, seed = getattr(initializer, "condition_second_moment", 1.0), getattr(initializer, "seed", None)
            options = {"initializer": self.head_initializer, "seed": seed, "dtype": layer.dtype_policy}
            self.head = ChunkHead(self.size, self.hidden, self.starts_at_zero, m2, self.stddev, **options)
            self.head.build((None, rank), (None, self.embedding_dim))
        if self.head.rank != rank:
            raise ValueError(
                f"Layers that share a Chunked take conditions of one dimension. Received: {self.head.rank} and {rank}"
            )
        setattr(layer, layer.attribute(name, "head"), self.head)
        # One head generates weights of different variances.
        gain = 1.0 if self.head_initializer else math.sqrt(variance_of(initializer, shape, fans, self))
        setattr(layer, layer.attribute(name, "gain"), gain)

    def variables(self, layer, name, shape):
        extra = {each: getattr(layer, layer.attribute(name, each)) for each in ("head", "gain")}
        return {**super().variables(layer, name, shape), **extra, "shape": shape}

    def owned_variables(self, layer, name, shape):
        return [*super().owned_variables(layer, name, shape), *self.head.weights]

    def write(self, variables, z):
        shape, head, gain = (variables[each] for each in ("shape", "head", "gain"))
        chunks = head(z, variables["chunks"])
        entries = ops.reshape(chunks, (-1, self.size * self.chunks(shape)))[:, : math.prod(shape)]
        weights = gain * ops.moveaxis(ops.reshape(entries, (-1, shape[-1], *shape[:-1])), 1, -1)
        return weights + variables["constant"] if "constant" in variables else weights

    def draw(self, name, shape, rank, initializer, fans):
        if not self.head_initializer:
            variance_of(initializer, shape, fans, self)
        return keras.initializers.RandomNormal(stddev=self.stddev, seed=getattr(initializer, "seed", None))

    def costs(self, sizes):
        kernels, inputs, operations = sizes.conditions * sizes.inputs * sizes.outputs, 0.0, 0.0
        for units in (*self.hidden, self.size):
            inputs, operations = units, operations + 2.0 * inputs * units
        return {"materialised": Cost(operations * kernels / self.size + sizes.product, 4 * kernels)}

    def get_config(self):
        return {
            "size": self.size,
            "embedding_dim": self.embedding_dim,
            "hidden": list(self.hidden),
            "stddev": self.stddev,
            "head_initializer": keras.initializers.serialize(self.head_initializer) if self.head_initializer else None,
            **super().get_config(),
        }
