"""A registry of the hyper layer for each Keras layer, to which users can add their own layers."""

import fnmatch
import re
from typing import Any

import keras

from keras_hypernet.layers.any_layer import Hyper
from keras_hypernet.layers.attention import HyperMultiHeadAttention
from keras_hypernet.layers.base import HyperLayer
from keras_hypernet.layers.conv import HyperConv1D, HyperConv2D, HyperConv3D
from keras_hypernet.layers.conv_transpose import HyperConv2DTranspose
from keras_hypernet.layers.dense import HyperDense
from keras_hypernet.layers.depthwise_conv import HyperDepthwiseConv2D
from keras_hypernet.layers.einsum_dense import HyperEinsumDense, unused
from keras_hypernet.layers.embedding import HyperEmbedding
from keras_hypernet.layers.film import FiLM
from keras_hypernet.layers.held import weight_paths
from keras_hypernet.layers.kernel import KernelLayer
from keras_hypernet.layers.recurrent import HyperGRU, HyperLSTM

# Arguments of Keras's layers that do not affect the output, or that a hyper layer has in another form.
LEFT_OUT = r".*_initializer|lora_.*|quantization_config|trainable|unroll|implementation|seed|batch_input_shape"


def register(layer_class: type, hyper: Any) -> Any:
    """Registers the hyper layer by which `kh.hypernetize` replaces layers of a class, without its subclasses.

    Args:
        layer_class: A class of Keras layers.
        hyper: A `HyperLayer` class with the arguments of `layer_class` except initializers, and with generated weights
            in the order of the weights of `layer_class`. Or a function that takes a built layer and the keyword
            arguments `basis` and `vector_basis`, and returns such a hyper layer. Or None for `Hyper(layer)`.

    Raises:
        TypeError: If `layer_class` is no class of layers, or `hyper` is neither a hyper layer's class nor a function.

    Example:

    >>> class MyDense(keras.layers.Dense):
    ...     pass
    >>> register(MyDense, keras_hypernet.layers.HyperDense)
    """
    is_class = isinstance(hyper, type)
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.Layer)):
        raise TypeError(f"`layer_class` must be a class of Keras layers. Received: {layer_class!r}")
    if not callable(hyper) or (is_class and not issubclass(hyper, HyperLayer)):
        raise TypeError(f"`hyper` must be a class of hyper layers, or a function that makes one. Received: {hyper!r}")
    _MAKERS[layer_class] = of_class(hyper) if is_class else hyper


def hyper_layer(layer, generated, basis, vector_basis, frozen):
    """Returns the unbuilt hyper layer that replaces a built layer.

    Args:
        layer: The layer, which is not used elsewhere.
        generated: The paths of the weights to generate, as `weight_paths` returns them.
        basis: The basis of weights of two and more axes.
        vector_basis: The basis of vectors, or None.
        frozen: Whether the other weights of the layer are frozen.
    """
    make = _MAKERS.get(type(layer))
    others = [path for path, weight in weight_paths(layer).items() if weight.trainable and path not in generated]
    options = {"basis": basis, "vector_basis": vector_basis}
    if others:
        source = "frozen" if frozen else "trained"
        options |= {name: "generated" if name in generated else source for name in ("kernel", "bias")}
    if make is not None and not (others and set(weight_paths(layer)) - {"kernel", "bias"}):
        made = make(layer, **options)
        if made is not None and (not others or isinstance(made, KernelLayer)):
            return made
    patterns = list(generated) if others else None
    common = {"vector_basis": vector_basis, "name": layer.name, "dtype": layer.dtype_policy}
    return Hyper(layer, basis, patterns, train_others=not frozen, **common)


def matching_weights(layer, patterns):
    """The paths of a layer's trainable weights that match patterns by name, path, or path from the layer on."""
    trainable = {path: weight for path, weight in weight_paths(layer).items() if weight.trainable}
    return [
        path
        for path, weight in trainable.items()
        for names in [(path, weight.name, f"{layer.name}/{path}")]
        if patterns is None or any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)
    ]


def arguments(layer, **changed):
    """The arguments that a layer shares with a hyper layer; `changed` renames an argument, or removes it by None."""
    config = {name: value for name, value in layer.get_config().items() if not re.fullmatch(LEFT_OUT, name)}
    for name, new in changed.items():
        value = config.pop(name, None)
        if new is not None:
            config[new] = value
    return config


def of_class(hyper, **changed):
    """Returns a function that creates a hyper layer of a class with the arguments of a layer."""
    return lambda layer, **options: hyper(**{**arguments(layer, **changed), **options})


def _dense(layer, **options):
    """HyperDense, or HyperEinsumDense if x has more axes."""
    rank = len(layer.get_build_config()["input_shape"])
    if rank <= 3:
        return of_class(HyperDense)(layer, **options)
    labels = "abcdefghijklm"[: rank - 1]
    config = arguments(layer, units=None, use_bias=None)
    shape = (*[None] * (rank - 2), layer.units)
    bias_axes = "z" if layer.use_bias else None
    return HyperEinsumDense(f"{labels}y,yz->{labels}z", shape, bias_axes=bias_axes, **config, **options)


def _einsum_dense(layer, **options):
    rank = len(layer.get_build_config()["input_shape"])
    config = arguments(layer)
    if "..." in layer.equation:
        elided = unused(layer.equation)[: rank - len(layer.equation.split(",")[0].replace("...", ""))]
        shape = layer.partial_output_shape
        config["equation"] = layer.equation.replace("...", "".join(elided))
        config["output_shape"] = (*[None] * (len(elided) - 1), *shape)
    return HyperEinsumDense(**config, **options)


def _recurrent(layer, **options):
    if layer.dropout or layer.recurrent_dropout or layer.return_state or layer.zero_output_for_mask:
        return None
    hyper = HyperGRU if isinstance(layer, keras.layers.GRU) else HyperLSTM
    return of_class(hyper, zero_output_for_mask=None)(layer, **options)


def _normalization(layer, **options):
    several = isinstance(layer.axis, (list, tuple)) and len(layer.axis) > 1
    if several or getattr(layer, "rms_scaling", False):
        return None
    config, options = layer.get_config(), {"vector_basis": options["vector_basis"]}
    return FiLM(normalization=type(layer).from_config(config), name=layer.name, dtype=layer.dtype_policy, **options)


def _attention(layer, **options):
    config = layer.get_config()
    others = ("use_gate", "sliding_window", "attention_axes")
    lacking = {name: config[name] for name in others if config.get(name) and config[name] != (1,)}  # the default axes
    if lacking:
        raise ValueError(
            f"HyperMultiHeadAttention has none of {others}: exclude {layer.name!r} from `layers`. Received: {lacking}"
        )
    projection = {name: config[name] for name in config if re.fullmatch("(kernel|bias)_(regularizer|constraint)", name)}
    projection |= {name: value for name, value in options.items() if value is not None}
    own = ("name", "num_heads", "key_dim", "value_dim", "use_bias", "output_shape", "dropout", "seed")
    own = {name: config[name] for name in own}
    return HyperMultiHeadAttention(projection=projection, dtype=layer.dtype_policy, **own)


_DEPTHWISE = {f"depthwise_{kind}": f"kernel_{kind}" for kind in ("regularizer", "constraint")}
_MAKERS = {
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum_dense,
    keras.layers.Conv1D: of_class(HyperConv1D),
    keras.layers.Conv2D: of_class(HyperConv2D),
    keras.layers.Conv3D: of_class(HyperConv3D),
    keras.layers.DepthwiseConv2D: of_class(HyperDepthwiseConv2D, **_DEPTHWISE),
    keras.layers.Conv2DTranspose: of_class(HyperConv2DTranspose),
    keras.layers.Embedding: of_class(HyperEmbedding),
    keras.layers.GRU: _recurrent,
    keras.layers.LSTM: _recurrent,
    keras.layers.MultiHeadAttention: _attention,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.LayerNormalization: _normalization,
    keras.layers.GroupNormalization: _normalization,
}
