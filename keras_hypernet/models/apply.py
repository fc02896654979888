"""g on x under weights, or q on x under an embedding, that were computed before: the condition is read once."""

import functools

from keras import ops

from keras_hypernet.layers import ConditionedLayer, HyperLayer
from keras_hypernet.layers.base import KeepMask
from keras_hypernet.layers.concatenate import check_foldable, is_foldable, joins


def apply_weights(model, x, weights):
    """`g(x; theta)`; see `ConditionalModel.apply`."""
    parts = {}
    for name, weight in weights.items():
        layer, _, part = name.partition("/")
        parts.setdefault(layer, {})[part] = weight
    expected = _expected(model)
    received = {layer: set(names) for layer, names in parts.items()}
    if received != expected:
        names = sorted(f"{layer}/{part}" for layer, found in expected.items() for part in found)
        raise ValueError(f"`weights` must be those that `generate` returns: {names}. Received: {sorted(weights)}")
    folded = False
    for layer in model.primary:
        if joins(layer):
            folded = True
            continue
        if folded:
            x = _dense(layer, x, parts[layer.name]["bias"])
        elif isinstance(layer, HyperLayer):
            x = KeepMask()(x, function=functools.partial(layer.apply, weights=parts[layer.name]))
        else:
            x = layer(x)
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
            x = layer(x, encoded) if isinstance(layer, ConditionedLayer) else layer(x)
    return x


def _expected(model):
    """The names of the weights that `generate` returns, by layer."""
    expected = {}
    for layer, following in zip(model.primary, [*model.primary[1:], None], strict=True):
        if isinstance(layer, HyperLayer):
            expected[layer.name] = set(layer.generated_names)
        elif joins(layer):
            check_foldable(following)
            expected[following.name] = {"bias"}
        elif isinstance(layer, ConditionedLayer):
            raise ValueError(
                f"Layer {layer.name!r} of class {type(layer).__name__} needs the condition itself, and not only "
                "weights that are generated from it: call the model."
            )
    return expected


def _dense(layer, x, bias):
    """A Dense layer on `[x, e]`, given what comes of e and of its own bias: `[B, units]` or `[1, units]`."""
    kernel = ops.cast(layer.kernel, layer.compute_dtype)[: x.shape[-1]]
    bias = ops.cast(bias, kernel.dtype)

    def dense(x):
        y = ops.matmul(ops.cast(x, kernel.dtype), kernel)
        return layer.activation(y + (ops.expand_dims(bias, axis=1) if len(x.shape) == 3 else bias))

    return KeepMask()(x, function=dense)
