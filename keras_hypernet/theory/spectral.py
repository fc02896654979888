"""Spectral complexity, a bound of the change of a network's output (Sec. 2.1, Lemma 3)."""

import collections.abc
import itertools
import math
from typing import Any

import numpy as np

from keras_hypernet.common.checks import positive

ACTIVATION_LIPSCHITZ = {"linear": 1.0, "relu": 1.0, "elu": 1.0, "tanh": 1.0, "sigmoid": 0.25}
# Keras layers that only move or drop entries.
_REARRANGING = ("InputLayer", "Flatten", "Reshape", "Permute", "Dropout")
_ADVICE = "Make the network of one condition with `specialize`, or pass a list of kernels."


def spectral_complexity(weights: Any, lipschitz: float | None = None) -> Any:
    """Returns `C(f) = L^(k-1) prod_i ||W_i||_1`, which bounds the Lipschitz constant of f in the L1 norm.

    `||W||_1` is the induced norm, the largest column sum of `|W|`. A kernel is W's transpose, `[inputs, units]`, so the
    norm is the largest row sum of the kernel's absolute values. Reference: Sec. 2.1, and Lemma 3 in the appendix.

    Args:
        weights: One of:

            - a list of kernels `[inputs, units]` of a fully connected network, in the order of its layers.
            - a built `keras.Sequential`, such as that of `specialize`, of Dense layers and layers that only rearrange.
            `StandardizeImage` counts with its factor, `1 / (255 stddev)`: distances between inputs are those of uint8
            pixels. `Rescaling` counts with its largest scale. The last activation counts too.
            - theta_I, the dict `{"<layer>/kernel": [B, inputs, units]}` that a hypernetwork generates for B
              conditions, with every kernel, in the order of its layers. Biases and layers before the generated
              layers do not count.
        lipschitz: L, the Lipschitz constant of the activation. By default 1, that of ReLU, ELU and tanh; for a
            `keras.Sequential`, that of each layer's activation.

    Returns:
        A float, or for theta_I a float64 array `[B]`.

    Raises:
        ValueError: If there is no kernel, the shapes do not fit, a model has no weights yet, the Lipschitz constant of
            an activation is unknown, or `lipschitz` is not positive.
        TypeError: If the model is not a `keras.Sequential`, or the Lipschitz constant of a layer is unknown.

    >>> spectral_complexity([[[1.0, -2.0], [3.0, 4.0]], [[5.0], [6.0]]])
    42.0
    """
    if lipschitz is not None:
        lipschitz = float(positive("lipschitz", lipschitz))
    if hasattr(weights, "layers"):
        return _model_constant(weights, lipschitz)
    if isinstance(weights, collections.abc.Mapping):
        kernels, expected = _generated_kernels(weights), "[B, inputs, units]"
    else:
        kernels, expected = [_array(kernel) for kernel in weights], "[inputs, units]"
    _check_chain([kernel.shape for kernel in kernels], expected)
    constant = (1.0 if lipschitz is None else lipschitz) ** (len(kernels) - 1)
    complexity = constant * math.prod(np.linalg.norm(kernel, np.inf, axis=(-2, -1)) for kernel in kernels)
    return complexity if complexity.ndim else float(complexity)


def _model_constant(model, lipschitz):
    if "Sequential" not in {kind.__name__ for kind in type(model).__mro__}:
        raise TypeError(
            f"The model must be a keras.Sequential, whose layers are applied once each, in order. Received: "
            f"{model.name!r} of class {type(model).__name__}. {_ADVICE}"
        )
    if not getattr(model, "built", True):
        raise ValueError(f"Model {model.name!r} has no weights yet: call it on x before `spectral_complexity`.")
    return math.prod(_layer_constant(layer, lipschitz) for layer in model.layers)


def _generated_kernels(theta):
    layers = {name.rpartition("/")[0]: None for name in theta}  # in order, each once
    if lacking := [layer for layer in layers if f"{layer}/kernel" not in theta]:
        raise ValueError(
            f"theta_I must hold the kernel of every layer. Received: none of {', '.join(lacking)}, where it is not "
            "generated. Pass the model's `specialize(model, condition)` instead."
        )
    return [_array(theta[f"{layer}/kernel"]) for layer in layers]


def _check_chain(shapes, expected):
    rank = expected.count(",") + 1
    valid = shapes and all(len(shape) == rank and 0 not in shape for shape in shapes)
    # All kernels have the same leading axes, the number of conditions.
    if not valid or any(a[:-2] != b[:-2] or a[-1] != b[-2] for a, b in itertools.pairwise(shapes)):
        raise ValueError(
            f"Kernels must have shapes {expected}, where the units of one are the inputs of the next. "
            f"Received: {', '.join(map(str, shapes)) or 'no kernel'}"
        )


def _layer_constant(layer, lipschitz):
    """Returns an upper bound of the Lipschitz constant of a Keras layer with its activation."""
    names = {weight.name for weight in layer.weights}
    if type(layer).__name__ == "Dense" and names in ({"kernel"}, {"kernel", "bias"}):
        return float(np.linalg.norm(_array(layer.kernel), np.inf)) * _activation_constant(layer, lipschitz)
    if not names and hasattr(layer, "mean") and hasattr(layer, "stddev"):
        return 1 / (255 * layer.stddev)
    if type(layer).__name__ == "Rescaling":
        return float(np.abs(layer.scale).max())
    if not names and type(layer).__name__ in _REARRANGING:
        return 1.0
    if not names and type(layer).__name__ == "Activation":
        return _activation_constant(layer, lipschitz)
    raise TypeError(
        f"The model must be a chain of Dense, StandardizeImage, Rescaling, Activation, {', '.join(_REARRANGING)}. "
        f"Received: layer {layer.name!r} of class {type(layer).__name__} with the weights {sorted(names)}. " + _ADVICE
    )


def _activation_constant(layer, lipschitz):
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    if lipschitz is not None and name != "linear":
        return lipschitz
    if name not in ACTIVATION_LIPSCHITZ:
        raise ValueError(f"The activation {name!r} of {layer.name!r} is unknown: pass its constant as `lipschitz`.")
    return ACTIVATION_LIPSCHITZ[name]


def _array(tensor):
    """Returns an array, a tensor of any Keras backend, or a Keras variable as a float64 array."""
    tensor = getattr(tensor, "value", tensor)
    if hasattr(tensor, "detach"):  # PyTorch cannot convert a tensor with a gradient, or bfloat16
        tensor = tensor.detach().cpu().double()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor).astype("float64")
