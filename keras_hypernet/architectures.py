"""The networks of the paper's experiments, built from a task, a method and a recipe."""

import itertools
import math

import keras

from keras_hypernet.initializers import FanInUniform, HyperfanIn
from keras_hypernet.layers import ConcatenateCondition, HyperDense, StandardizeImage
from keras_hypernet.models import EmbeddingMethod, Hypernetwork
from keras_hypernet.recipe import METHODS

HIDDEN_UNITS = 10  # of g and q


def build_model(task, method, recipe):
    """Builds and compiles the hypernetwork or the embedding method of the rotation experiment.

    Args:
        task: A `RotationTask`; its images have `h^2 c` entries.
        method: `"hyper"`: g has the sizes h^2 c, 10, 12 and no biases, and f ends in the linear maps that
            generate it. `"embed"`: e ends in `10 h^2 c + 10` units; q has the sizes h^2 c + that, 10, 12.
        recipe: A `Recipe`. Its seed is set for all of Keras first, so a model is a function of the arguments.

    Returns:
        A compiled model, which returns the logits of the classes.

    Raises:
        ValueError: If there is no such method.

    Example:

    >>> from keras_hypernet.recipe import paper_recipe
    >>> from keras_hypernet.tasks import RotationTask
    >>> build_model(RotationTask("digits"), "hyper", paper_recipe("digits")).num_parameters()
    {'generator': 450310, 'primary': 7960}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 3.
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: {method!r}")
    keras.utils.set_random_seed(recipe.seed)
    build = _hypernetwork if method == "hyper" else _embedding_method
    model = build(task, recipe)
    model.build({"x": (None, *task.image_shape), "condition": (None, *task.image_shape)})
    step = {"learning_rate": recipe.learning_rate, "global_clipnorm": recipe.gradient_clipnorm}
    model.compile(
        optimizer=keras.optimizers.get({"class_name": recipe.optimizer, "config": step}),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _hypernetwork(task, recipe):
    rank = recipe.width

    def hyper(units, gain, name, activation=None):
        initializer = FanInUniform(rank) if _authors(recipe) else HyperfanIn(gain)
        return HyperDense(units, activation, use_bias=False, kernel_initializer=initializer, name=name)

    generator = keras.Sequential(_hidden_layers(task, recipe), name="generator")
    primary = [
        StandardizeImage(name="standardize"),
        keras.layers.Flatten(name="flatten"),
        hyper(HIDDEN_UNITS, 2.0, "hidden", recipe.activation),
        hyper(task.num_classes, 1.0, "logits"),
    ]
    return Hypernetwork(generator, primary, name=f"{task.name}_hyper")


def _embedding_method(task, recipe):
    num_pixels = math.prod(task.image_shape)
    embedding_dim = HIDDEN_UNITS * num_pixels + HIDDEN_UNITS
    last = _dense(recipe, embedding_dim, recipe.width, "embedding_output", gain=1.0)
    embedding = keras.Sequential([*_hidden_layers(task, recipe), last], name="embedding")
    primary = [
        StandardizeImage(name="standardize"),
        keras.layers.Flatten(name="flatten"),
        ConcatenateCondition(name="concatenate"),
        _dense(recipe, HIDDEN_UNITS, num_pixels + embedding_dim, "hidden", activation=recipe.activation),
        _dense(recipe, task.num_classes, HIDDEN_UNITS, "logits", gain=1.0),
    ]
    return EmbeddingMethod(embedding, primary, name=f"{task.name}_embed")


def _hidden_layers(task, recipe):
    sizes = [math.prod(task.image_shape)] + [recipe.width] * (recipe.depth - 1)
    hidden = [
        _dense(recipe, units, fan_in, f"hidden_{number}", activation="relu")
        for number, (fan_in, units) in enumerate(itertools.pairwise(sizes), start=1)
    ]
    image = keras.Input(task.image_shape, dtype="uint8", name="condition")
    return [image, StandardizeImage(name="standardize"), keras.layers.Flatten(name="flatten"), *hidden]


def _dense(recipe, units, fan_in, name, activation=None, gain=2.0):
    if _authors(recipe):
        kernel, bias = FanInUniform(fan_in), FanInUniform(fan_in)
    else:
        kernel, bias = keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal"), "zeros"
    return keras.layers.Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)


def _authors(recipe):
    return recipe.initialization == "fan_in_uniform"
