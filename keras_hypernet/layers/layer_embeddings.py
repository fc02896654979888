"""LayerEmbeddings: a z for each layer, from the output of the generator and an embedding of the layer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.full import positive


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
        self.dim, self.generator, self.seed = positive("dim", dim), generator, seed
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
