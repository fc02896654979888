"""HyperMultiHeadAttention: attention whose projections are generated from a condition."""

import functools
from typing import Any

import keras
from keras import ops

from keras_hypernet.common.checks import integer
from keras_hypernet.layers.base import HyperLayer
from keras_hypernet.layers.einsum_dense import HyperEinsumDense


@keras.saving.register_keras_serializable(package="keras_hypernet")
class SelfAttention(keras.Layer):
    """`MultiHeadAttention` of x with itself, as a layer of x alone; `specialize` returns this layer.

    Args:
        num_heads, key_dim: As in `keras.layers.MultiHeadAttention`.
        use_causal_mask: Whether each position attends only to itself and earlier positions.
        name, dtype, trainable: As in every Keras layer.
        **options: Further arguments of `keras.layers.MultiHeadAttention`, such as `value_dim` and `dropout`.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        use_causal_mask: bool = False,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.supports_masking = True
        self.options = {"num_heads": num_heads, "key_dim": key_dim, **options}
        self.use_causal_mask = use_causal_mask
        self.attention = keras.layers.MultiHeadAttention(**self.options, dtype=self.dtype_policy)

    def build(self, x_shape):
        self.attention.build(x_shape, x_shape)

    def call(self, x, training=None, mask=None):
        if mask is not None:  # the mask of x, which is both query and value
            mask = ops.logical_and(ops.expand_dims(mask, -1), ops.expand_dims(mask, -2))
        return self.attention(x, x, attention_mask=mask, training=training, use_causal_mask=self.use_causal_mask)

    def compute_output_shape(self, x_shape):
        return self.attention.compute_output_shape(x_shape, x_shape)

    def get_config(self):
        return {**super().get_config(), **self.options, "use_causal_mask": self.use_causal_mask}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperMultiHeadAttention(HyperLayer):
    """Multi-head attention with generated projections of query, key, value and output.

    Each projection is a `HyperEinsumDense`. In a `Hypernetwork`, the layer is self-attention.

    Call arguments:
        x: The query, a tensor `[B, T, i]`. T is free.
        condition: Tensor `[B, R]`, or `[1, R]` for one condition shared by the whole batch.
        value: Tensor `[B, S, j]`; by default x, self-attention.
        key: Tensor `[B, S, k]`; by default the value.
        attention_mask: Boolean tensor `[B, T, S]`: which positions attend to which.
        training: Whether dropout is active; by default as in the enclosing call.
        x_mask, value_mask, key_mask: Boolean tensors `[B, T]`, `[B, S]` and `[B, S]`; by default the masks that Keras
            attached to the tensors.

    Returns:
        A tensor `[B, T, i]`, or `[B, T, *output_shape]`, of the compute dtype.

    Args:
        num_heads, key_dim, value_dim, use_bias, output_shape, dropout, seed: As in `keras.layers.MultiHeadAttention`.
        use_causal_mask: Whether each position attends only to itself and earlier positions.
        projection: Further arguments of the four `HyperEinsumDense`, as a dict, such as
            `{"basis": LowRank(8), "kernel_regularizer": "l2"}`. Each projection has a basis of its own.
        **kwargs: `name`, `dtype`, `trainable` and `activity_regularizer`.

    Raises:
        ValueError: If a size is not a positive integer, or shapes do not fit.

    Example:

    >>> layer = HyperMultiHeadAttention(num_heads=2, key_dim=3)
    >>> layer(keras.ops.ones((8, 5, 6)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 5, 6])
    >>> list(layer.generated_shapes)[:3]
    ['query/kernel', 'query/bias', 'key/kernel']

    Reference: Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    """

    axes = ("time", "features")
    most_points = 0

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        use_bias: bool = True,
        output_shape: Any = None,
        use_causal_mask: bool = False,
        projection: Any = None,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.key_dim = integer("num_heads", num_heads), integer("key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else integer("value_dim", value_dim)
        sizes = output_shape if isinstance(output_shape, (list, tuple)) or output_shape is None else (output_shape,)
        self.output_sizes = sizes and tuple(integer("output_shape", size) for size in sizes)
        self.use_bias, self.use_causal_mask = use_bias, use_causal_mask
        self.dropout, self.seed = dropout, seed
        self.drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.projection = dict(projection or {})
        if getattr(self.projection.get("basis"), "values", None) is not None:
            raise ValueError(
                "An array cannot be the constant term of all four projections. Give `constant='given'`, and assign the "
                f"values to `query_dense.kernel_constant` and the others. Received: {self.projection['basis']!r}"
            )

    def build(self, x_shape, condition_shape=None, value_shape=None, key_shape=None):
        super().build(x_shape, condition_shape)
        value_shape = value_shape or x_shape
        heads, sizes = (None, self.num_heads), self.output_sizes or (x_shape[-1],)
        labels = "defgijklm"[: len(sizes)]
        shapes = {"query": x_shape, "key": key_shape or value_shape, "value": value_shape}
        for name, shape in shapes.items():
            size = self.value_dim if name == "value" else self.key_dim
            self._project(name, "btc,cnh->btnh", (*heads, size), "nh", shape)
        joined = (*x_shape[:2], self.num_heads, self.value_dim)
        self._project("attention_output", f"btnh,nh{labels}->bt{labels}", (None, *sizes), labels, joined)

    def _project(self, name, equation, output_shape, bias_axes, x_shape):
        bias_axes = bias_axes if self.use_bias else None
        options = {"dtype": self.dtype_policy, **keras.saving.deserialize_keras_object(self.projection_config())}
        layer = HyperEinsumDense(equation, output_shape, bias_axes=bias_axes, name=name, **options)
        layer.build(x_shape, (None, self.rank))
        setattr(self, f"{name}_dense", layer)

    def projection_config(self):
        """The arguments of the projections, as in `get_config`."""
        return keras.saving.serialize_keras_object(self.projection)

    @property
    def projections(self):
        """The four layers by Keras's names; empty before the layer is built."""
        names = ("query", "key", "value", "attention_output") if self.built else ()
        return {name: getattr(self, f"{name}_dense") for name in names}

    def generated_weights(self):
        return [
            (f"{name}/{own}", *layer_and_weight)
            for name, layer in self.projections.items()
            for own, *layer_and_weight in layer.generated_weights()
        ]

    def call(
        self,
        x,
        condition=None,
        value=None,
        key=None,
        attention_mask=None,
        training=None,
        x_mask=None,
        value_mask=None,
        key_mask=None,
    ):
        others = {"value": value, "key": key, "attention_mask": attention_mask, "training": training}
        return self.under(x, condition, **others, x_mask=x_mask, value_mask=value_mask, key_mask=key_mask)

    def compute(self, x, condition, **with_x):
        return self._attend(lambda name, tensor: self.projections[name](tensor, condition), x, **with_x)

    def run(self, x, weights, **with_x):
        def project(name, tensor):
            own = {full.split("/")[1]: weight for full, weight in weights.items() if full.split("/")[0] == name}
            return self.projections[name].apply(tensor, own)

        return self._attend(project, x, **with_x)

    def _attend(
        self,
        project,
        x,
        value=None,
        key=None,
        attention_mask=None,
        training=None,
        x_mask=None,
        value_mask=None,
        key_mask=None,
    ):
        if value is None:
            value, value_mask = x, x_mask
        key = value if key is None else key
        query, key, value = project("query", x), project("key", key), project("value", value)
        every = [
            attention_mask,
            None if x_mask is None else ops.expand_dims(x_mask, -1),
            *(None if mask is None else ops.expand_dims(mask, -2) for mask in (value_mask, key_mask)),
            self._causal(query, key) if self.use_causal_mask else None,
        ]
        masks = [ops.cast(mask, "bool") for mask in every if mask is not None]
        # Not `ops.dot_product_attention`: on JAX, it requires the same dimension of values and keys.
        scores = ops.cast(ops.einsum("btnh,bsnh->bnts", query, key), "float32") * self.key_dim**-0.5
        if masks:
            mask = functools.reduce(ops.logical_and, masks)
            scores = ops.where(ops.expand_dims(mask, 1), scores, -1e9)  # for every head
        weights = self.drop(ops.cast(ops.softmax(scores), value.dtype), training=training)
        return project("attention_output", ops.einsum("bnts,bsnh->btnh", weights, value))

    def _causal(self, query, key):
        rows, columns = (ops.arange(ops.shape(tensor)[1]) for tensor in (query, key))
        return ops.expand_dims(ops.expand_dims(rows, 1) >= ops.expand_dims(columns, 0), 0)

    def set_causal(self, use_causal_mask):
        """Sets `use_causal_mask`, an argument of the call in Keras's layer, before the first call."""
        if self.built and use_causal_mask != self.use_causal_mask:
            raise ValueError(f"Layer {self.name!r} has one value of `use_causal_mask`. Received: calls with both")
        self.use_causal_mask = use_causal_mask

    def specialize(self, condition: Any) -> Any:
        """Returns the `SelfAttention` that equals this layer for one condition `[1, R]`, and its weights."""
        ordinary = SelfAttention(
            **self.sizes(), use_causal_mask=self.use_causal_mask, name=self.name, dtype=self.dtype_policy
        )
        return ordinary, [weight for layer in self.projections.values() for weight in layer.specialize(condition)[1]]

    def sizes(self):
        """The arguments of `keras.layers.MultiHeadAttention` with the same computation, a dict."""
        return {
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
            "output_shape": self.output_sizes,
            "dropout": self.dropout,
            "seed": self.seed,
        }

    def compute_output_shape(self, x_shape, condition_shape, value_shape=None, key_shape=None):
        self.check_shapes(x_shape, condition_shape)
        return (*x_shape[:2], *(self.output_sizes or x_shape[-1:]))

    def get_config(self):
        return {
            **super().get_config(),
            **self.sizes(),
            "use_causal_mask": self.use_causal_mask,
            "projection": self.projection_config(),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "projection": keras.saving.deserialize_keras_object(config["projection"])})
