"""g on x under weights, or q on x under an embedding, that were computed before: the condition is read once."""

import functools

from keras import ops

from keras_hypernet.layers import ConditionedLayer, HyperLayer
from keras_hypernet.layers.base import keep_mask, match_batch
from keras_hypernet.layers.concatenate import check_foldable, is_foldable, joins
from keras_hypernet.layers.contraction import may_match
from keras_hypernet.models.shapes import fits, static_shape


def apply_weights(model, x, weights):
    """`g(x; theta)`; see `ConditionalModel.apply`."""
    expected = weight_shapes(model)
    if set(weights) != set(expected):
        raise ValueError(
            f"`weights` must be those that `generate` returns: {sorted(expected)}. Received: {sorted(weights)}"
        )
    weights = {name: _checked(x, name, weights[name], shape) for name, shape in expected.items()}
    folded = False
    for layer in model.primary:
        if joins(layer):
            folded = True
            continue
        if folded:
            x = _dense(layer, x, weights[f"{layer.name}/bias"])
        elif isinstance(layer, HyperLayer):
            own = {name: weights[f"{layer.name}/{name}"] for name in layer.generated_shapes}
            x = keep_mask(x, functools.partial(layer.apply, weights=own))
        else:
            x = layer(x, training=False)
        folded = False
    return x


def apply_encoded(model, x, encoded):
    """`q(x, e)`: the output on x under an embedding that `encode` returned.

    Args:
        model: A built model of this package.
        x: Tensor `[B, ...]`, as in the model's input.
        encoded: Tensor `[B, R]`, or `[1, R]` for all of x.

    Returns:
        What the model returns for x and the condition of that embedding, but for rounding.
    """
    encoded = match_batch(x, encoded, "encoded")
    layers, skip = model.primary, False
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if skip:
            skip = False
        elif joins(layer) and is_foldable(following):
            kernel = ops.cast(following.kernel, following.compute_dtype)[-encoded.shape[-1] :]
            projected = ops.matmul(ops.cast(encoded, kernel.dtype), kernel)
            if following.use_bias:
                projected = projected + ops.cast(following.bias, kernel.dtype)
            x, skip = _dense(following, x, projected), True
        else:
            inputs = (x, encoded) if isinstance(layer, ConditionedLayer) else (x,)
            x = layer(*inputs, training=False)
    return x


def weight_shapes(model):
    """The shapes of the weights that `generate` returns, without the batch, by name."""
    expected = {}
    for layer, following in zip(model.primary, [*model.primary[1:], None], strict=True):
        if isinstance(layer, HyperLayer):
            expected.update({f"{layer.name}/{name}": shape for name, shape in layer.generated_shapes.items()})
        elif joins(layer):
            check_foldable(following)
            expected[f"{following.name}/bias"] = (following.units,)
        elif isinstance(layer, ConditionedLayer):
            raise ValueError(
                f"Layer {layer.name!r} of class {type(layer).__name__} needs the condition itself, and not only "
                "weights that are generated from it: call the model."
            )
    return expected


def _checked(x, name, weight, shape):
    """A weight as a tensor, of a shape that `generate` returns."""
    weight = ops.convert_to_tensor(weight)
    received = static_shape(weight.shape)
    if not (fits(received[1:], shape) and may_match(x.shape[0], received[0])):
        one, each = (1, *shape), (x.shape[0], *shape)
        raise ValueError(
            f"Weight {name!r} must have the shape {one}, for all x, or {each}, for each x. Received: shape {received}"
        )
    return weight


def _dense(layer, x, bias):
    """A Dense layer on `[x, e]`, given what comes of e and of its own bias: `[B, units]` or `[1, units]`."""
    kernel = ops.cast(layer.kernel, layer.compute_dtype)[: x.shape[-1]]
    bias = match_batch(x, ops.cast(bias, kernel.dtype), "bias")

    def dense(x):
        y = ops.matmul(ops.cast(x, kernel.dtype), kernel)
        return layer.activation(y + (ops.expand_dims(bias, axis=1) if len(x.shape) == 3 else bias))

    return keep_mask(x, dense)
