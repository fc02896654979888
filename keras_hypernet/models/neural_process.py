"""ConditionalNeuralProcess: the embedding method for a condition that is a set."""

from typing import Any

import keras
from keras import ops

from keras_hypernet.models.conditions import parts, symbolic
from keras_hypernet.models.embedding import EmbeddingMethod
from keras_hypernet.models.shapes import fits, in_words, static_shape, values_of


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ConditionalNeuralProcess(EmbeddingMethod):
    """`q(x, e(I))` with `e(I) = 1/d sum_i e(I_i)`: an embedding method whose condition I is a set of d members.

    The order of the members does not matter, and d may differ from call to call. To put sets of different sizes into
    one batch, pad them with any values, and pass `mask` or `lengths`.

    Args:
        embedding: `keras.Model` (or layer) e, from one member I_i to its embedding: `[B, ...]` to `[B, embedding_dim]`.
        primary: As for `EmbeddingMethod`.
        **kwargs: `name`, `dtype`, `trainable`.

    Inputs: a dict with `x` and `condition`, or the pair of them. The dict may also hold one of `mask` and `lengths`.
        x: Tensor `[B, ...]`, or `[B, P, ...]` for P points for each set.
        condition: Tensor `[B, d, ...]`.
        mask: bool tensor `[B, d]`, True where a member counts; by default, all members count. The values of other
            members do not affect outputs or gradients. (The embedding receives zeros instead of them; in training, a
            `BatchNormalization` in the embedding counts these zeros as examples.)
        lengths: Integer tensor `[B]`: the first `lengths` members of each set count.

    If no member of a set counts, or a length exceeds d, an error is raised. A compiled function, as in `fit` and
    `predict` on TensorFlow and JAX, does not know the values of `mask` and `lengths`: there, the embedding of a set
    without counted members is zero, and a length beyond d counts all d members.

    Raises:
        ValueError: If the inputs are not such a dict or pair, shapes do not fit, or no member of a set counts.
        TypeError: If the embedding or primary reads uint8 images and receives another dtype, `mask` is not bool, or
            `lengths` are not integers.

    Example:

    >>> embedding = keras.Sequential([keras.layers.Dense(4, activation="relu")])
    >>> model = ConditionalNeuralProcess(embedding, [keras.layers.Dense(3)])
    >>> x, members = keras.ops.ones((2, 5)), keras.ops.ones((2, 10, 7))
    >>> model({"x": x, "condition": members}).shape
    TensorShape([2, 3])
    >>> model({"x": x, "condition": members, "lengths": keras.ops.array([10, 6])}).shape
    TensorShape([2, 3])
    >>> model.num_parameters()
    {'embedding': 32, 'primary': 30}

    References: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2; Garnelo et al.,
    "Conditional Neural Processes", ICML 2018.
    """

    optional_inputs = ("mask", "lengths")

    @property
    def linear_output(self):
        return None  # the mean follows the last layer of e

    def encoder_shape(self, condition_shape):
        declared, condition_shape = getattr(self.embedding, "inputs", None), symbolic(condition_shape)
        if not isinstance(condition_shape, keras.KerasTensor):
            raise ValueError(f"`condition` must be one tensor of sets. Received: {', '.join(parts(condition_shape))}")
        condition_shape = condition_shape.shape
        if len(condition_shape) < 3 or (declared and len(declared[0].shape) != len(condition_shape) - 1):
            member = tuple(declared[0].shape[1:]) if declared else "[...]"
            raise ValueError(
                f"`condition` must be sets, of shape [batch, members, ...], with members of the shape {member} that "
                f"the embedding takes. Received: shape {condition_shape}. To make sets of one member each, "
                "`condition[:, None]`."
            )
        return (None, *condition_shape[2:])

    def condition_shape_of(self, encoder_shape):
        return (None, None, *encoder_shape[1:])

    def encode(self, condition: Any, mask: Any = None, lengths: Any = None, training: bool = False) -> Any:  # type: ignore[override]
        """The mean of the embeddings of the members that count, `[B, embedding_dim]`; arguments as in the inputs."""
        self.check_condition(condition)
        condition = ops.convert_to_tensor(condition)
        counted = counted_members(condition, mask, lengths)
        if counted is not None:
            # The padding may be infinite or NaN, and 0 * NaN would enter the gradient.
            aligned = ops.expand_dims(counted, axis=tuple(range(2, len(condition.shape))))
            condition = ops.where(aligned, condition, ops.zeros_like(condition))
        sets, members, *member = ops.shape(condition)
        # A traced function may not know the number of members; this reshape fails for empty sets.
        least = ops.maximum(members, 1) if condition.shape[1] is None else members
        with keras.name_scope("check_that_a_set_has_a_member"):
            flat = ops.reshape(condition, (sets * least, *member))
        embedded = self.apply_encoder(flat, training=training)
        return _mean(ops.reshape(embedded, (sets, members, embedded.shape[-1])), counted)


def counted_members(condition, mask=None, lengths=None):
    """Which members of sets `[B, d, ...]` count: a bool tensor `[B, d]`, or None if all members count.

    `mask`, `lengths` and the errors are those of the inputs of `ConditionalNeuralProcess`.

    >>> sets = keras.ops.ones((2, 3, 7))
    >>> keras.ops.convert_to_numpy(counted_members(sets, lengths=[3, 1])).tolist()
    [[True, True, True], [True, False, False]]
    """
    if condition.shape[1] == 0:
        raise ValueError(f"A set must have a member. Received: `condition` of shape {tuple(condition.shape)}")
    if mask is not None and lengths is not None:
        raise ValueError("Pass either `mask` or `lengths`. Received: both.")
    if mask is not None:
        mask = _checked("mask", mask, ("bool",), condition, 2)
        values = values_of(mask)
        if values is not None and not values.any(axis=1).all():
            raise ValueError(
                "At least one member of each set must count; leave sets without members out. "
                f"Received: no True in these rows of `mask`: {(~values.any(axis=1)).nonzero()[0].tolist()}"
            )
    elif lengths is not None:
        lengths = _checked("lengths", lengths, ("int", "uint"), condition, 1)
        members, values = ops.shape(condition)[1], values_of(lengths)
        wrong = [] if values is None else values[(values < 1) | (values > members)].tolist()
        if wrong:
            raise ValueError(
                f"`lengths` must be from 1 to {members}, the members of each set; leave sets without members out. "
                f"Received: {wrong}"
            )
        # Without a cast to a narrower type, which would turn a length of 2**32 + 1 into 1.
        mask = ops.less(ops.arange(members, dtype="int32"), ops.expand_dims(lengths, axis=1))
    else:
        return None
    # A traced function may not know the shapes, and then does not check them. The broadcast gives a mask of one column
    # the same meaning in the sum and in the number of members.
    return ops.broadcast_to(mask, ops.shape(condition)[:2])


def _checked(name, value, dtypes, condition, ndim):
    """The value as a tensor, whose shape must be the first `ndim` dimensions of the condition."""
    value = ops.convert_to_tensor(value)
    dtype = keras.backend.standardize_dtype(value.dtype)
    if not dtype.startswith(dtypes):
        raise TypeError(
            f"`{name}` must be of dtype {dtypes[0]}. Received: {dtype}. Use `{name}.astype({dtypes[0]!r})`."
        )
    expected, received = tuple(condition.shape[:ndim]), static_shape(value.shape)
    if not fits(received, expected):
        shape = f"the first dimensions of `condition` as its shape: {expected}"
        raise ValueError(f"`{name}` must have {shape}. Received: {in_words(received)}")
    return value


def _mean(embedded, counted):
    """The mean `[B, E]` of the embeddings `[B, d, E]` that count; zero if none counts."""
    # bfloat16 holds integers exactly only up to 256.
    dtype = keras.backend.result_type(embedded.dtype, "float32")
    if counted is None:
        counted = ops.ones_like(embedded[..., 0], dtype="bool")
    counted = ops.expand_dims(counted, axis=-1)
    total = ops.sum(ops.where(counted, ops.cast(embedded, dtype), 0), axis=1)
    number = ops.sum(ops.cast(counted, dtype), axis=1)
    return ops.cast(total / ops.maximum(number, 1), embedded.dtype)
