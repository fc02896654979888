"""g on x under weights, or q on x under an embedding, that were computed before: the condition is read once."""

from keras import ops

from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer, HyperLayer


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
        if isinstance(layer, ConcatenateCondition):
            folded = True
            continue
        if folded:
            x = _dense(layer, x, parts[layer.name]["bias"])
        elif isinstance(layer, HyperLayer):
            x = layer.apply(x, parts[layer.name])
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
        elif isinstance(layer, ConcatenateCondition) and hasattr(following, "kernel"):
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
        elif isinstance(layer, ConcatenateCondition):
            expected[following.name] = {"bias"}
    return expected


def _dense(layer, x, bias):
    """A Dense layer on `[x, e]`, given what comes of e and of its own bias: `[B, units]` or `[1, units]`."""
    kernel = ops.cast(layer.kernel, layer.compute_dtype)[: x.shape[-1]]
    bias = ops.cast(bias, kernel.dtype)
    y = ops.matmul(ops.cast(x, kernel.dtype), kernel)
    return layer.activation(y + (ops.expand_dims(bias, axis=1) if len(x.shape) == 3 else bias))
