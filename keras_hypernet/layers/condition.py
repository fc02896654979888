"""Layers of the condition: encodings of it, embeddings of tasks and of layers, and its concatenation with x."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypernet.common.checks import integer
from keras_hypernet.layers.base import ConditionedLayer, match_batch


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ConcatenateCondition(ConditionedLayer):
    """`[x, condition]`, concatenated along the last axis.

    Call arguments:
        x: Tensor `[B, i]`, or `[B, P, i]` for P points for each condition.
        condition: Tensor `[B, R]`, or `[1, R]` for one condition shared by the whole batch.

    Returns:
        A tensor `[B, i + R]` or `[B, P, i + R]` of the compute dtype.

    Raises:
        ValueError: If the shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 5, 2)), keras.ops.ones((8, 3))
    >>> ConcatenateCondition()(x, condition).shape
    TensorShape([8, 5, 5])

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2, method B.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, condition=None):  # TimeDistributed passes x alone
        self.check_shapes(x.shape, getattr(condition, "shape", None))
        condition = match_batch(x, condition)  # XLA's broadcast_to would repeat two conditions for four x
        if len(x.shape) > len(condition.shape):
            condition = ops.expand_dims(condition, axis=1)
        condition = ops.broadcast_to(condition, (*ops.shape(x)[:-1], condition.shape[-1]))
        return ops.concatenate([ops.cast(x, self.compute_dtype), ops.cast(condition, self.compute_dtype)], axis=-1)

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        return (*x_shape[:-1], x_shape[-1] + condition_shape[-1])


@keras.saving.register_keras_serializable(package="keras_hypernet")
class MagnitudeInvariant(keras.Layer):
    """`sqrt(2) [cos(pi t / 2), sin(pi t / 2)]` for each entry of the condition, scaled to t in 0 to 1.

    If the generator has ReLU layers and no biases, generated weights are proportional to the condition: a small
    condition gives small weights and small gradients. This encoding has the same norm for every condition, and entries
    of second moment one, as the initializers of generated weights assume. The other half of the published method is a
    constant term: give the hyper layers a basis such as `Full(constant="glorot_uniform")`.

    Call arguments:
        condition: Tensor `[B, r]` with entries in `low` to `high`.

    Returns:
        A tensor `[B, 2 r]` of the compute dtype.

    Args:
        low, high: The range of the condition, a number or one for each of the r entries. The encoding is periodic: an
            entry far outside the range has the same encoding as an entry inside.

    Raises:
        ValueError: If `low` is not below `high`.

    Example:

    >>> encoded = MagnitudeInvariant()(keras.ops.array([[0.1, 0.9]]))
    >>> encoded.shape, round(float(keras.ops.mean(encoded**2)), 4)
    (TensorShape([1, 4]), 1.0)

    Reference: Ortiz, Guttag and Dalca, "Magnitude Invariant Parametrizations Improve Hypernetwork Learning", ICLR 2024.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = np.asarray(low, "float32").tolist(), np.asarray(high, "float32").tolist()
        if not np.all(np.less(self.low, self.high)):
            raise ValueError(f"`low` must be below `high`. Received: low={low!r}, high={high!r}")

    def call(self, condition):
        low, high = (ops.cast(value, condition.dtype) for value in (self.low, self.high))
        angle = math.pi / 2 * (condition - low) / (high - low)
        return math.sqrt(2) * ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class TaskEmbedding(keras.layers.Embedding):
    """A trained vector for each task, whose entries have a second moment of one at initialization.

    `keras.layers.Embedding` starts with entries of at most 0.05. Generated weights are proportional to the condition,
    so with such an embedding their variance starts a thousand times too small, and they hardly learn.

    Call arguments:
        task_id: int32 tensor `[B]`, of `0` to `num_tasks - 1`.

    Returns:
        A tensor `[B, dim]` of the compute dtype: the condition of a hyper layer, or the input of a generator.

    Args:
        num_tasks: Number of tasks, a positive integer.
        dim: Dimension of the vectors, a positive integer.
        seed: An integer for reproducible initial vectors, or None.
        **kwargs: `name`, `dtype`, `trainable`, `embeddings_regularizer`, `embeddings_constraint`.

    Raises:
        ValueError: If `num_tasks` or `dim` is not a positive integer.

    Example:

    >>> model = keras_hypernet.Hypernetwork(TaskEmbedding(10, dim=8), [keras_hypernet.layers.HyperDense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.array([0, 9])}).shape
    TensorShape([2, 3])

    Reference: von Oswald et al., "Continual Learning with Hypernetworks", ICLR 2020.
    """

    def __init__(self, num_tasks: int, dim: int, seed: int | None = None, **kwargs: Any) -> None:
        vectors = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        num_tasks, dim = integer("num_tasks", num_tasks), integer("dim", dim)
        super().__init__(num_tasks, dim, embeddings_initializer=vectors, **kwargs)
        self.num_tasks, self.dim, self.seed = num_tasks, dim, seed

    def get_config(self):
        config = super().get_config()
        for name in ("input_dim", "output_dim", "embeddings_initializer"):
            config.pop(name)
        return {**config, "num_tasks": self.num_tasks, "dim": self.dim, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class LayerEmbeddings(keras.Layer):
    """`[z, e_l]` for each layer l: the generator's z, concatenated with a trained vector of the layer.

    A generator for `keras_hypernet.hypernetize`. Layers that share a basis, such as `Chunked`, still receive different
    weights.

    Call arguments:
        condition: As the generator takes it; without a generator, z itself, `[B, R]`.
        training: As in the generator.

    Returns:
        A dict from the name of each layer to a tensor `[B, R + dim]`.

    Args:
        dim: Dimension of the vectors, a positive integer.
        generator: A layer or model from the condition to z; None if the condition is z.
        names: The names of the layers; None for the layers that `hypernetize` chooses.
        seed: An integer for reproducible initial vectors, or None.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: If `dim` is not a positive integer, or the layer is called without names.

    Example:

    >>> layer = LayerEmbeddings(2, names=["first", "second"])
    >>> {name: tuple(z.shape) for name, z in layer(keras.ops.ones((8, 3))).items()}
    {'first': (8, 5), 'second': (8, 5)}

    Reference: Ha, Dai and Le, "HyperNetworks", ICLR 2017.
    """

    def __init__(
        self,
        dim: int,
        generator: Any = None,
        names: Sequence[str] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dim, self.generator, self.seed = integer("dim", dim), generator, seed
        self.names = names if names is None else list(names)

    def with_names(self, names):
        """A copy of this layer for layers of these names, with the same generator."""
        return LayerEmbeddings(self.dim, self.generator, names, self.seed, name=self.name, dtype=self.dtype_policy)

    def build(self, condition_shape):
        if self.names is None:
            raise ValueError("LayerEmbeddings needs `names` of layers outside of `hypernetize`. Received: None")
        vectors = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self.vectors = self.add_weight(name="vectors", shape=(len(self.names), self.dim), initializer=vectors)
        if self.generator is not None and not self.generator.built:
            self.generator.build(condition_shape)

    def call(self, condition, training=False):
        z = condition if self.generator is None else self.generator(condition, training=training)
        zeros = ops.zeros_like(z[:, :1])
        own = ops.unstack(ops.cast(self.vectors, z.dtype), len(self.names))
        return {name: ops.concatenate([z, zeros + vector], -1) for name, vector in zip(self.names, own, strict=True)}

    def compute_output_shape(self, condition_shape):
        shape = condition_shape if self.generator is None else self.generator.compute_output_shape(condition_shape)
        return dict.fromkeys(self.names, (shape[0], shape[-1] + self.dim))

    def get_config(self):
        generator = keras.saving.serialize_keras_object(self.generator)
        own = {"dim": self.dim, "generator": generator, "names": self.names, "seed": self.seed}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "generator": keras.saving.deserialize_keras_object(config["generator"])})
