"""build_model: the networks of the paper's experiments, from a task, a method and a recipe."""

import itertools
import math
from typing import Any

import keras

from keras_hypernet.bases.initializers import FanInUniform, HyperfanIn, UnitIncomingNorm
from keras_hypernet.layers import ConcatenateCondition, HyperDense, StandardizeImage
from keras_hypernet.models import ConditionalNeuralProcess, EmbeddingMethod, Hypernetwork
from keras_hypernet.tasks import Task
from keras_hypernet.training.recipe import Recipe

HIDDEN_UNITS = 10  # of g and q in the paper


def build_model(task: Task, method: str, recipe: Recipe) -> Any:
    """Returns the compiled model of an experiment, whose outputs are logits or values; x has d entries.

    Args:
        task: A `Task`.
        method: `"hyper"`: g has the sizes d, `recipe.primary_units`, `task.num_outputs`, biases if
            `task.generates_biases`, and f ends in the linear maps that generate g. `"embed"`: e ends in
            `recipe.embedding_dim` units; q has the sizes d + `recipe.embedding_dim`, `recipe.primary_units`,
            `task.num_outputs`. `"network"`, for tasks without a condition: the sizes d, `recipe.width`,
            `task.num_outputs`. `"process"`, for conditions that are sets: like `"embed"`, with the mean of the
            embeddings of a set. Or a method in `task.methods`.
        recipe: A `Recipe`. Its seed is first set for all of Keras, so that equal arguments give equal models.

    Raises:
        ValueError: If the method or the initialization is unknown, or does not fit the task.

    Example:

    >>> task = keras_hypernet.RotationTask("digits")
    >>> build_model(task, "hyper", keras_hypernet.paper_recipe(task)).num_parameters()
    {'generator': 450310, 'primary': 7960}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5.
    """
    conditional = "condition" in task.inputs
    methods = tuple(task.methods) or ("network",)
    if conditional and not task.methods:
        methods = ("process",) if task.condition_is_set else ("hyper", "embed")
    if method not in methods:
        raise ValueError(f"`method` must be one of {methods} for the task {task.name!r}. Received: {method!r}")
    if conditional and recipe.initialization.startswith("unit_norm"):
        initialization = f"The initialization {recipe.initialization!r}"
        raise ValueError(f"{initialization} is for networks without a condition. Received: the task {task.name!r}")
    keras.utils.set_random_seed(recipe.seed)
    if task.methods:
        model, objectives = task.make_model(method, recipe)
    else:
        model = {"hyper": _hypernetwork, "network": _network}.get(method, _embedding_method)(task, recipe)
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        objectives = {"loss": cross_entropy if task.loss == "cross_entropy" else "mse"}
        objectives["metrics"] = ["accuracy"] if task.metric == "error" else []
    if conditional:
        x_shape, condition_shape = task.x_shape, task.condition_shape  # type: ignore[attr-defined]  # of the subclass
        model.build({"x": (None, *x_shape), "condition": (None, *condition_shape)})
    step = {"learning_rate": recipe.learning_rate, "global_clipnorm": recipe.gradient_clipnorm}
    step |= {name: value for name in ("momentum", "rho", "epsilon") if (value := getattr(recipe, name))}
    model.compile(keras.optimizers.get({"class_name": recipe.optimizer, "config": step}), **objectives)
    return model


def embedding_dim_of(task, recipe):
    """Returns the output dimension of e from the recipe, or the default for the task; see `Recipe`."""
    return recipe.embedding_dim or HIDDEN_UNITS * _flat_size(task.x_shape) + HIDDEN_UNITS


def _hypernetwork(task, recipe):
    rank, authors = recipe.rank or recipe.width, recipe.initialization == "fan_in_uniform"

    def hyper(units, gain, name, activation=None):
        bias = task.generates_biases
        initializer = FanInUniform(rank) if authors else HyperfanIn(gain, generates_bias=bias)
        biases = initializer if bias else "zeros"
        return HyperDense(units, activation, bias, kernel_initializer=initializer, bias_initializer=biases, name=name)

    generator = keras.Sequential(_hidden_layers(task, recipe, rank), name="generator")
    primary = [
        *_flat(task.x_shape, task.x_dtype),
        hyper(recipe.primary_units, 2.0, "hidden", recipe.activation),
        hyper(task.num_outputs, 1.0, task.output_name),
    ]
    return Hypernetwork(generator, primary, name=f"{task.name}_hyper")


def _embedding_method(task, recipe):
    num_features, units = _flat_size(task.x_shape), recipe.primary_units
    embedding_dim = embedding_dim_of(task, recipe)
    last = _dense(recipe, embedding_dim, recipe.width, "embedding_output", gain=1.0)
    embedding = keras.Sequential([*_hidden_layers(task, recipe, recipe.width), last], name="embedding")
    primary = [
        *_flat(task.x_shape, task.x_dtype),
        ConcatenateCondition(name="concatenate"),
        _dense(recipe, units, num_features + embedding_dim, "hidden", activation=recipe.activation),
        _dense(recipe, task.num_outputs, units, task.output_name, gain=1.0),
    ]
    if task.condition_is_set:
        return ConditionalNeuralProcess(embedding, primary, name=f"{task.name}_process")
    return EmbeddingMethod(embedding, primary, name=f"{task.name}_embed")


def _network(task, recipe):
    num_features = _flat_size(task.x_shape)
    return keras.Sequential(
        [
            keras.Input(task.x_shape, dtype=task.x_dtype, name="x"),
            *_flat(task.x_shape, task.x_dtype),
            _dense(recipe, recipe.width, num_features, "hidden", activation=recipe.activation),
            _dense(recipe, task.num_outputs, recipe.width, task.output_name, gain=1.0),
        ],
        name=f"{task.name}_network",
    )


def _hidden_layers(task, recipe, last):
    """The condition's input, and the hidden layers of f or e, the last with `last` units."""
    shape = _member_shape(task)
    num_features = _flat_size(shape)
    sizes = [num_features, *[recipe.width] * (recipe.depth - 2), last]
    hidden = [
        _dense(recipe, units, fan_in, f"hidden_{number}", activation="relu")
        for number, (fan_in, units) in enumerate(itertools.pairwise(sizes), start=1)
    ]
    condition = keras.Input(shape, dtype=task.condition_dtype, name="condition")
    return [condition, *_flat(shape, task.condition_dtype), *hidden]


def _flat(shape, dtype):
    """Layers before the first Dense layer, which flatten images and scale raw pixels."""
    scale = [StandardizeImage(name="standardize")] if dtype == "uint8" else []
    return [*scale, keras.layers.Flatten(name="flatten")] if len(shape) == 3 else scale


def _member_shape(task):
    """Returns the shape of a condition, or of each member of a set."""
    return task.condition_shape[1:] if task.condition_is_set else task.condition_shape


def _flat_size(shape):
    """Returns the number of entries of an image, or of each vector of a condition `[points, features]`."""
    return math.prod(shape) if len(shape) == 3 else shape[-1]


def _dense(recipe, units, fan_in, name, activation=None, gain=2.0):
    if recipe.initialization.startswith("unit_norm"):
        kernel, bias = UnitIncomingNorm(recipe.initialization.removeprefix("unit_norm_")), "zeros"
    elif recipe.initialization == "fan_in_uniform":
        kernel, bias = FanInUniform(fan_in), FanInUniform(fan_in)
    else:
        kernel, bias = keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal"), "zeros"
    return keras.layers.Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)


def describe_architecture(task, method, recipe):
    """Returns the sizes and activations of each part of a model of `build_model`, or of a task's target, as text."""
    activation, outputs = recipe.activation, task.num_outputs
    features = _flat_size(task.x_shape)
    if method == "target":
        convolutions = "10 x 10 convolutions, stride 2, of 20 and 50 channels (relu)"
        return {"network": f"{' x '.join(map(str, task.x_shape))}, {convolutions} -> {outputs}, with biases"}
    if method == "network":
        return {"network": f"{features} -> {recipe.width} ({activation}) -> {outputs}, with biases"}
    widths = [_flat_size(_member_shape(task))] + [recipe.width] * (recipe.depth - 2)
    if method == "hyper":
        hidden = " -> ".join(map(str, [*widths, recipe.rank or recipe.width]))
        biases = "with biases" if task.generates_biases else "no biases"
        primary = f"{features} -> {recipe.primary_units} ({activation}) -> {outputs}, {biases}, all weights generated"
        return {"generator": f"{hidden} (relu), then linear to the weights of g", "primary": primary}
    hidden = " -> ".join(map(str, [*widths, recipe.width]))
    embedding_dim = embedding_dim_of(task, recipe)
    primary = f"{features + embedding_dim} -> {recipe.primary_units} ({activation}) -> {outputs}, with biases"
    embedding = f"{hidden} (relu) -> {embedding_dim}"
    if method == "process":
        embedding = f"of each member, {embedding}; then the mean over the set"
    return {"embedding": embedding, "primary": primary}
