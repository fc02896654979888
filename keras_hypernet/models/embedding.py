"""EmbeddingMethod: q(x, e(I)), a network of x and an embedding of the condition."""

from typing import Any

import keras

from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer
from keras_hypernet.layers.base import match_batch
from keras_hypernet.layers.contraction import assumed, check_batch
from keras_hypernet.models.base import ConditionalModel, checked_encoder
from keras_hypernet.models.primary import Joined, Plain, Product, is_foldable


@keras.saving.register_keras_serializable(package="keras_hypernet")
class EmbeddingMethod(ConditionalModel):
    """`q(x, e(I))`: x is concatenated with the embedding of the condition. For sets, use `ConditionalNeuralProcess`.

    Args:
        embedding: `keras.Model` (or layer) e, from the condition I to the embedding `[B, embedding_dim]`.
        primary: List of layers of q. If no layer takes a condition, the model puts a `ConcatenateCondition` before the
            first layer; to flatten or scale x first, place a `ConcatenateCondition` yourself.
        **kwargs: `name`, `dtype`, `trainable`.

    Inputs, errors: as for `Hypernetwork`.

    A Dense layer of `[x, e(I)]` is computed without the concatenation, as the sum of its products with x and with e(I);
    the product with e(I) is computed once for all points of a condition. If e ends in a Dense layer without an
    activation, as in the paper, and if it takes fewer operations, the kernels of both Dense layers are multiplied
    first. The embedding is then not computed, which saves most of the time of a training step.

    Example:

    >>> embedding = keras.Sequential([keras.layers.Dense(4)])
    >>> model = EmbeddingMethod(embedding, [keras.layers.Dense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.ones((2, 7))}).shape
    TensorShape([2, 3])
    >>> model.num_parameters()
    {'embedding': 32, 'primary': 30}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2.
    """

    encoder_name = "embedding"

    def __init__(self, embedding: Any, primary: Any, **kwargs: Any) -> None:
        is_list = isinstance(primary, (list, tuple))  # anything else is refused below
        if is_list and not any(isinstance(layer, ConditionedLayer) for layer in primary):
            primary = [ConcatenateCondition(), *primary]
        super().__init__(primary, **kwargs)
        self.embedding = checked_encoder("embedding", embedding)

    @property
    def linear_output(self):
        """The last layer of e, if it is a Dense layer without an activation and its output is the embedding."""
        last = self.embedding.layers[-1] if type(self.embedding) is keras.Sequential else None
        # A layer with an activity regularizer must compute its output.
        linear = is_foldable(last) and last.activity_regularizer is None
        return last if linear and last.activation is keras.activations.linear else None

    def encode_for(self, x, condition, **options):
        last = self.linear_output
        first, *others = [step for step in self.network.steps if type(step) is not Plain]
        joined = not others and isinstance(first, Joined) and first.layer.activity_regularizer is None
        if not (last and joined and _multiplies_first(condition.shape[0], last.kernel.shape[0], first.layer.units)):
            return super().encode_for(x, condition, **options)
        self.check_condition(condition)
        hidden = self.apply_encoder(condition, self.embedding.layers[:-1], **options)
        check_batch(x.shape, (hidden.shape[0], last.units))
        return Product(match_batch(x, hidden), last)

    def num_parameters(self) -> dict[str, int]:
        """Returns `{"embedding": N_e, "primary": N_q}`, the numbers of trained parameters of e and of q."""
        self.check_built("num_parameters")
        return {
            "embedding": self.embedding.count_params(),
            "primary": sum(layer.count_params() for layer in self.primary),
        }


def _multiplies_first(batch, rank, units):
    """Whether `h (A B)` takes fewer operations than `(h A) B`, for h `[batch, rank]`, A `[rank, E]`, B `[E, units]`."""
    return rank * units < assumed(batch) * (rank + units)
