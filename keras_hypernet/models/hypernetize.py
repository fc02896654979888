"""hypernetize: any Keras model, with weights that another network generates."""

import inspect
from typing import Any

import keras

from keras_hypernet import bases
from keras_hypernet.common.checks import check_choice
from keras_hypernet.layers import Hyper, HyperMultiHeadAttention, LayerEmbeddings
from keras_hypernet.layers.registry import hyper_layer
from keras_hypernet.models.base import checked_encoder
from keras_hypernet.models.graphs import copied, inlined, is_graph, new_inputs, rewrite, shapes_of, structure_of, takes
from keras_hypernet.models.hypernetwork import Hypernetwork
from keras_hypernet.models.selection import check_leaves, choose, leaves_of, unique_names, z_of_layers

BASES = ("pretrained", "zeros")


def hypernetize(
    model: keras.Model,
    generator: Any,
    layers: Any = None,
    basis: bases.Basis | dict | None = None,
    base: str = "pretrained",
    weights: Any = None,
    train_base: bool = True,
    train_others: bool = True,
) -> Hypernetwork:
    """Converts a Keras model to a `Hypernetwork` of the same architecture, with generated weights.

    The selected layers become hyper layers: each weight is `K0 + G(z)`, where z is the output of the generator for the
    condition. The model itself is not changed; all weights are copied.

    Args:
        model: A built Keras model: Sequential or functional (with nested models, shared layers, several inputs and
            outputs), whose layers are replaced one by one; or a subclassed model with one input and one output, which
            becomes `keras_hypernet.layers.Hyper(model)`.
        generator: A `keras.Model` or layer that maps the condition to one z `[B, R]` for all layers, or to a dict from
            the name or name pattern of a layer to its z, such as `keras_hypernet.layers.LayerEmbeddings`.
        layers: The layers to convert: a name, a name pattern such as `"conv*"`, a layer class, a compiled regular
            expression, a function of a layer that returns a bool, or a list of these. A name belongs to the layer
            or to a nested model that contains it; `"backbone/conv_1"` is a path. None for all layers that have
            weights.
        basis: How a weight of two and more axes is generated, such as `keras_hypernet.bases.LowRank(8)`; `Full()` by
            default. `base` sets its constant term.
        base: `"pretrained"`, for a trained model: K0 is the model's weight, and G starts at zero, so that initially the
            output equals the model's output for every condition. `"zeros"`, for a model that is not trained yet: K0 is
            zeros, and G starts as in a hyper layer.
        weights: The weights of these layers to generate: a pattern or a list of patterns, such as `"*kernel"`; None for
            all trainable weights.
        train_base: Whether K0 is trained; False for an adapter.
        train_others: Whether the weights that are not generated are trained, or frozen. They keep the model's values.

    Returns:
        A `Hypernetwork` with the inputs `x`, in the model's structure, and `condition`. Its `primary` is a functional
        model with the inputs `[x, z]`. All conditions share the moving statistics of a BatchNormalization. The
        `Hypernetwork` is built if the generator declares its inputs.

    Raises:
        TypeError: If `model` is not a Keras model or `generator` is not a layer.
        ValueError: If the model is not built, nothing matches, the output of the generator does not fit, two layers
            share a weight, or a layer cannot have generated weights, such as a stateful RNN or a Lambda.

    Example:

    >>> model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3)])
    >>> generator = keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)])
    >>> hyper = hypernetize(model, generator, basis=keras_hypernet.bases.LowRank(1), train_base=False)
    >>> x, condition = keras.ops.ones((8, 5)), keras.ops.ones((8, 7))
    >>> bool(keras.ops.all(keras.ops.abs(hyper({"x": x, "condition": condition}) - model(x)) < 1e-5))
    True

    Reference: Ha, Dai and Le, "HyperNetworks", ICLR 2017; Hu et al., "LoRA", ICLR 2022.
    """
    checked_encoder("generator", generator)
    graph, (basis, vector_basis) = _as_graph(model), _bases(basis, base, train_base)
    leaves = leaves_of(graph)
    check_leaves(leaves)
    names = unique_names(leaves)
    chosen = choose(leaves, names, layers, weights)
    if isinstance(generator, LayerEmbeddings) and generator.names is None:
        generator = generator.with_names([names[key] for key in chosen])
    encoded = encoded_inputs(generator)
    z_of, carried = z_of_layers(encoded, leaves, names, chosen), keras.tree.flatten(encoded)
    hyper, copies = {}, {}  # the layers that replace those of the model, by the ids of the model's layers
    for key, (layer, generated) in chosen.items():
        hyper[key] = hyper_layer(layer, generated, basis, vector_basis, not train_others)
    _check_dtypes(generator, hyper.values())

    def call(layer, *args, **kwargs):
        key = id(layer)
        if is_graph(layer):
            return inlined(layer, args, kwargs, carried, call)
        if key in hyper:
            return call_hyper(hyper[key], z_of[key], layer, args, kwargs)
        if key not in copies:
            copies[key] = made = copied(layer, names.get(key))
            if getattr(made, "weights", None) and not train_others:
                made.trainable = False
        return copies[key](*args, **kwargs)

    x = new_inputs(structure_of(graph, "input"))
    outputs = rewrite(graph, keras.tree.flatten(x), carried, call)
    outputs = keras.tree.pack_sequence_as(structure_of(graph, "output"), outputs)
    primary = keras.Model([x, encoded], outputs, name=model.name)
    for key, (layer, _) in chosen.items():
        hyper[key].adopt(layer)
    made = Hypernetwork(generator, primary)
    if is_graph(generator):  # otherwise the shape of conditions is unknown
        made.build({"x": shapes_of(x), "condition": shapes_of(structure_of(generator, "input"))})
    return made


def call_hyper(hyper, z, layer, args, kwargs):
    """The output of a hyper layer that replaces `layer` in a call with `args` and `kwargs`."""
    signature = inspect.signature(layer.call)
    (_, x), *others = signature.bind(*args, **kwargs).arguments.items()
    options = {name: value for name, value in others if value is not signature.parameters[name].default}
    mask = options.pop("query_mask" if isinstance(hyper, HyperMultiHeadAttention) else "mask", None)
    if mask is not None and takes(hyper, "x_mask"):
        options["x_mask"] = mask
    if not takes(hyper, "training"):
        options.pop("training", None)
    if isinstance(hyper, HyperMultiHeadAttention):
        hyper.set_causal(options.pop("use_causal_mask", False))
        if not options.get("return_attention_scores", True):
            del options["return_attention_scores"]
        if options["value"] is x and options.get("key", x) is x:
            options = {name: options[name] for name in options if not name.startswith(("value", "key"))}
    tensors = keras.KerasTensor if isinstance(hyper, Hyper) else ()  # which takes tensors of any name
    unknown = [name for name, value in options.items() if not (takes(hyper, name) or isinstance(value, tensors))]
    if keras.tree.is_nested(x) or unknown:
        raise ValueError(
            f"{type(hyper).__name__}, which replaces layer {layer.name!r}, takes one tensor. Received: a call with "
            f"{unknown or x}. Exclude the layer from `layers`."
        )
    return hyper(x, z, **options)


def _as_graph(model):
    """The model as a graph: a subclassed model becomes the only layer of a graph."""
    if is_graph(model):
        return model
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: {model!r}")
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not shape or any(isinstance(size, (list, tuple, dict)) for size in shape):
        raise ValueError(
            f"`model` must be built, by a call on one tensor, or a functional model. Received: {model.name!r} of class "
            f"{type(model).__name__}, built for {shape}"
        )
    x = keras.Input(shape[1:])
    return keras.Model(x, model(x))


def _bases(basis, base, train_base):
    """The basis of weights of two and more axes, and the basis of vectors, or None."""
    check_choice("base", base, BASES)
    basis = bases.get(basis)
    if basis.constant != "zeros":
        raise ValueError(f"`base` sets the constant term, so `basis` must leave it at 'zeros'. Received: {basis}")
    given = base == "pretrained"
    config = {"constant": "given" if given else "zeros", "train_constant": train_base}
    basis = type(basis).from_config({**basis.get_config(), **config})
    return basis, bases.Full("given", train_base) if given else None


def encoded_inputs(generator):
    """A `keras.Input` for each z that a generator returns, in its structure; ValueError if a z is not `[B, R]`."""
    symbolic = _encoded(generator)
    flat = keras.tree.flatten(symbolic)
    others = [tuple(z.shape) for z in flat if len(z.shape) != 2 or z.shape[-1] is None]
    if others:
        raise ValueError(f"`generator` must return z of the shape [batch, R]. Received: shape {others[0]}")
    inputs = [keras.Input(z.shape[1:], name=f"encoded_condition_{number}") for number, z in enumerate(flat)]
    return keras.tree.pack_sequence_as(symbolic, inputs)


def _check_dtypes(generator, layers):
    """Raises ValueError for a mix of float16 and bfloat16: float16 overflows for large values of bfloat16."""
    halves = {"float16", "bfloat16"}
    made = {keras.backend.standardize_dtype(z.dtype) for z in keras.tree.flatten(_encoded(generator))}
    for layer in layers:
        if len(halves & {*made, layer.compute_dtype}) > 1:
            raise ValueError(
                f"`generator` must have the dtype policy of `model`, or float32. Received: z of {min(made)} for layer "
                f"{layer.name!r}, which computes in {layer.compute_dtype}."
            )


def _encoded(generator):
    """The symbolic output of a generator."""
    if isinstance(generator, LayerEmbeddings) and generator.generator is not None:
        size = _encoded(generator.generator).shape[-1] + generator.dim
        return {name: keras.KerasTensor((None, size), generator.compute_dtype) for name in generator.names}
    if is_graph(generator):
        return structure_of(generator, "output")
    outputs = []
    for shape in ((None,), (None, 2), (None, 3)):  # for a layer that does not declare its inputs
        try:
            output = generator.compute_output_shape(shape)
        except Exception:  # any error of a layer that does not take such a condition
            continue
        outputs.append(
            keras.tree.map_shape_structure(
                lambda size: keras.KerasTensor((None, size[-1]), generator.compute_dtype), output
            )
        )
    sizes = [[z.shape for z in keras.tree.flatten(each)] for each in outputs]
    if not outputs or any(each != sizes[0] for each in sizes):
        raise ValueError(
            f"The size of z is not known before `generator` {generator.name!r} is built. Begin the generator with a "
            "`keras.Input`."
        )
    return outputs[0]
