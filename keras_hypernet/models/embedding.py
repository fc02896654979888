"""EmbeddingMethod: q(x, e(I)), the network that receives its condition as an embedding."""

import keras
from keras import ops

from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer
from keras_hypernet.layers.base import keep_mask, match_batch
from keras_hypernet.layers.concatenate import is_foldable, joins
from keras_hypernet.layers.contraction import assumed, check_shapes
from keras_hypernet.models.base import ConditionalModel, checked_encoder
from keras_hypernet.models.shapes import split_inputs


@keras.saving.register_keras_serializable(package="keras_hypernet")
class EmbeddingMethod(ConditionalModel):
    """`q(x, e(I))`: the condition is embedded and joined to x. `ConditionalNeuralProcess` does it for sets.

    Args:
        embedding: `keras.Model` (or layer) e, from the condition I to the embedding `[B, embedding_dim]`.
        primary: List of layers of q. If it has no layer that takes a condition, a `ConcatenateCondition`
            is put before the first one; to flatten or scale x beforehand, place one yourself.
        **kwargs: `name`, `dtype`, `trainable`.

    Inputs, errors: as for `Hypernetwork`.

    Where `[x, e(I)]` goes into a Dense layer, it is not built: the layer is computed as the sum of its products
    with x and with e(I), the latter once for all points under a condition. If e ends in a Dense layer without an
    activation, as in the paper, the two kernels between which there is nothing are multiplied first, which spares
    the embedding and, in training, most of the time of a step.

    Example:

    >>> embedding = keras.Sequential([keras.layers.Dense(4)])
    >>> model = EmbeddingMethod(embedding, [keras.layers.Dense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.ones((2, 7))}).shape
    TensorShape([2, 3])
    >>> model.num_parameters()
    {'embedding': 32, 'primary': 30}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2.
    """

    def __init__(self, embedding, primary, **kwargs):
        takes = isinstance(primary, (list, tuple))  # what is not is refused below
        if takes and not any(isinstance(layer, ConditionedLayer) for layer in primary):
            primary = [ConcatenateCondition(), *primary]
        super().__init__(primary, **kwargs)
        self.embedding = checked_encoder("embedding", embedding)

    @property
    def encoder(self):
        return self.embedding

    @property
    def linear_output(self):
        """The last layer of e, if that is a Dense layer without an activation and its output is the embedding."""
        last = self.embedding.layers[-1] if type(self.embedding) is keras.Sequential else None
        return last if _is_dense(last) and last.activation is keras.activations.linear else None

    def call(self, inputs, training=False):
        conditioned = [number for number, layer in enumerate(self.primary) if isinstance(layer, ConditionedLayer)]
        place = conditioned[0]
        following = self.primary[place + 1] if place + 1 < len(self.primary) else None
        if len(conditioned) > 1 or not (joins(self.primary[place]) and _is_dense(following)):
            return super().call(inputs, training)
        x, condition, options = split_inputs(inputs, self.optional_inputs)
        x = self.check_x(x)
        options["training"] = training = bool(training)
        for layer in self.primary[:place]:
            x = layer(x, training=training)
        x = keep_mask(x, lambda x: self._joined(following, x, condition, options))
        for layer in self.primary[place + 2 :]:
            x = layer(x, training=training)
        return x

    def _joined(self, dense, x, condition, options):
        """`dense([x, e(I)])`, x and the embedding each with their rows of the kernel."""
        dtype = dense.compute_dtype
        kernel = ops.cast(dense.kernel, dtype)
        num_features = x.shape[-1]
        rows = keras.tree.flatten(condition)[0].shape[0]
        check_shapes(x.shape, (rows, kernel.shape[0] - num_features))
        y = ops.matmul(ops.cast(x, dtype), kernel[:num_features])
        from_condition = match_batch(x, self._projected(condition, options, kernel[num_features:]))
        y = y + (ops.expand_dims(from_condition, axis=1) if len(x.shape) == 3 else from_condition)
        return dense.activation(y + ops.cast(dense.bias, dtype) if dense.use_bias else y)

    def _projected(self, condition, options, kernel):
        """`e(I) . kernel`, `[B, units]`."""
        last = self.linear_output
        if last is None or not _multiplies_first(condition.shape[0], last.kernel.shape[0], kernel.shape[1]):
            return ops.matmul(ops.cast(self.encode(condition, **options), kernel.dtype), kernel)
        self.check_condition(condition)
        hidden = self.apply_encoder(condition, self.embedding.layers[:-1], options["training"])
        projection = ops.matmul(ops.cast(last.kernel, kernel.dtype), kernel)
        projected = ops.matmul(ops.cast(hidden, kernel.dtype), projection)
        if last.use_bias:
            projected = projected + ops.matmul(ops.expand_dims(ops.cast(last.bias, kernel.dtype), axis=0), kernel)
        return projected

    def num_parameters(self):
        """Returns `{"embedding": N_e, "primary": N_q}`, the trained parameters of e and of q."""
        self.check_built("num_parameters")
        return {
            "embedding": self.embedding.count_params(),
            "primary": sum(layer.count_params() for layer in self.primary),
        }

    def get_config(self):
        return {**super().get_config(), "embedding": keras.saving.serialize_keras_object(self.embedding)}


def _multiplies_first(batch, rank, units):
    """Whether `h (A B)` takes fewer operations than `(h A) B`, for h `[batch, rank]`, A `[rank, E]`, B `[E, units]`."""
    return rank * units < assumed(batch) * (rank + units)


def _is_dense(layer):
    # Not one whose output is penalized: it has none here.
    return is_foldable(layer) and layer.activity_regularizer is None and not layer.lora_enabled
