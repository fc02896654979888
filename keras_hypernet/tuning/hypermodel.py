"""DepthSearch: the models of a task, or of a user's own function, as a search space of keras-tuner."""

import contextlib
import dataclasses
import functools
import pkgutil
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_hypernet.common.checks import plain
from keras_hypernet.tasks import Task
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe, paper_recipe
from keras_hypernet.tuning.names import COLUMNS, is_internal, metrics_of
from keras_hypernet.zoo.architectures import build_model, embedding_dim_of

# The method of models that a user's own function builds.
OWN = "own"
# The meaning of True; `DepthSearch` adds the recipe's embedding dimension.
USUAL = {
    "depth": (2, 9),
    "width": [25, 50, 100, 200, 400],
    "initialization": ["fan_in_uniform", "hyperfan_in"],
    "learning_rate": (1e-3, 1e-1),
    "embedding_dim": [16, 64, 256, 1024, 4096],
}


class DepthSearch(keras_tuner.HyperModel):
    """A search space over the depth of f or of e, and over other hyperparameters, for a task or for your own models.

    With a task, models are built and trained as in the experiments of this package: by `build_model`, `fit` and
    `evaluate`. With a function alone this is a hypermodel for any of keras-tuner's tuners and your own data.

    Args:
        task: A `Task` with a condition; None for models that a tuner trains on your data.
        method: `"hyper"`, `"embed"` or, for conditions that are sets, `"process"`; or several, as a tuple.
        build: Your own function instead of a method. It takes the depth, an integer, and a
            `keras_tuner.HyperParameters`, and returns a compiled Keras model. It may ask `hp` for further
            hyperparameters; with a task, their names must differ from the columns of `SearchResult.trials`. A grid
            tries all combinations, so ask for what only some models need within `hp.conditional_scope`.
        depth, width, initialization, learning_rate, embedding_dim: Ranges of the search. Each is `(low, high)` with
            both ends, a list of choices, True for the usual choices, or None for the value of the recipe.
            `initialization` takes names of `Recipe.initialization`, `learning_rate` has a logarithmic scale, and
            `embedding_dim` needs a method with an embedding; its usual choices include the recipe's.
        recipe: A `Recipe` for everything else; by default the paper's for the task.
        strategy: A `tf.distribute.Strategy` to build and train the models with, or `"mirrored"` for the GPUs of this
            machine, or without GPUs for TensorFlow's logical CPUs; None for one device.

    Raises ValueError if an argument is out of range, the task has no condition or not this method, or both task and
    function are missing.

    >>> def my_function(depth, hp):
    ...     hidden = [keras.layers.Dense(8, activation="relu") for _ in range(depth - 1)]
    ...     model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
    ...     model.compile("sgd", loss=hp.Choice("loss", ["mse", "mae"]))
    ...     return model
    >>> import keras_tuner
    >>> hp = keras_tuner.HyperParameters()
    >>> len(DepthSearch(build=my_function, depth=(2, 5)).build(hp).layers), sorted(hp.values)
    (4, ['depth', 'loss'])
    """

    def __init__(
        self,
        task: Task | None = None,
        method: Any = None,
        build: Any = None,
        depth: Any = (2, 9),
        width: Any = None,
        initialization: Any = None,
        learning_rate: Any = None,
        embedding_dim: Any = None,
        recipe: Any = None,
        strategy: Any = None,
    ) -> None:
        super().__init__()
        fields = {"depth": depth, "width": width, "initialization": initialization}
        fields |= {"learning_rate": learning_rate, "embedding_dim": embedding_dim}
        if task is None and build is None:
            raise ValueError("A search needs a `task`, or your own function, `build`.")
        if build is not None:
            if not callable(build):
                raise TypeError(f"`build` must be a function of the depth and of hp. Received: {build!r}")
            if method is not None:
                raise ValueError(f"Give a `method` or your own function, `build`, and not both. Received: {method!r}")
            if any(field is not None for name, field in fields.items() if name != "depth"):
                raise ValueError(
                    "Your own function asks `hp` for all hyperparameters but the depth: give `depth` alone."
                )
        if recipe is not None and not isinstance(recipe, Recipe):
            raise TypeError(f"`recipe` must be a keras_hypernet.Recipe. Received: {recipe!r}")
        self.task, self.function, self.strategy = task, build, get_strategy(strategy)
        self.methods = (OWN,) if build is not None else _check_methods(task, method or "hyper")
        self.recipe = recipe or (paper_recipe(task) if task is not None else Recipe(width=1))
        if embedding_dim is True:
            fields["embedding_dim"] = sorted({*USUAL["embedding_dim"], embedding_dim_of(task, self.recipe)})
        self.space = {name: _checked(name, field) for name, field in fields.items()}
        if self.space["depth"] is None:
            raise ValueError("`depth` must be searched: give a range such as (2, 9), or a list of choices.")
        if self.space["embedding_dim"] is not None and self.methods == ("hyper",):
            raise ValueError(
                "`embedding_dim` is the output dimension of e, and hypernetworks have none: search it with the method "
                f"'embed'. Received: {fields['embedding_dim']} with the method 'hyper'"
            )
        for name, field in self.space.items():
            if name != "depth" and isinstance(field, list) and len(field) == 1:  # adds no dimension to the search
                self.set_recipe(**{name: field[0]})
                self.space[name] = None
        # Hyperparameters of the trial of one of keras-tuner's own tuners, and the number of its past executions.
        self._running = (None, 0)

    def set_recipe(self, **changes):
        """Sets fields of the recipe, except to None."""
        changes = {name: value for name, value in changes.items() if value is not None}
        self.recipe = dataclasses.replace(self.recipe, **changes)

    def configure(self, hp):
        """Registers the search space with `hp`, by default the recipe's values; returns the method and the `Recipe`."""
        several, embedding = len(self.methods) > 1, [method for method in self.methods if method != "hyper"]
        method, changes = hp.Choice("method", list(self.methods)) if several else self.methods[0], {}
        for name, field in self.space.items():
            if field is None:
                continue
            of_embedding = name == "embedding_dim"
            default = embedding_dim_of(self.task, self.recipe) if of_embedding else getattr(self.recipe, name)
            with hp.conditional_scope("method", embedding) if of_embedding and several else contextlib.nullcontext():
                value = _choose(hp, name, field, default)
            if not of_embedding or method in embedding:
                changes[name] = value
        return method, dataclasses.replace(self.recipe, **changes)

    def build(self, hp, **changes):
        """Returns the compiled model of hyperparameters; further arguments set fields of the recipe."""
        method, recipe = self.configure(hp)
        recipe = dataclasses.replace(recipe, **{"seed": self._seed(hp), **changes})
        with self.strategy.scope() if self.strategy else contextlib.nullcontext():
            if self.function is None:
                return build_model(self.task, method, recipe)
            keras.utils.set_random_seed(recipe.seed)
            model = self.function(recipe.depth, hp)
            if self.task is not None:
                _check_names(hp.space, self.task)
            return model

    def fit(self, hp, model, *args, callbacks=(), **kwargs):
        """Trains a model for one of keras-tuner's own tuners: see `keras_tuner.HyperModel.fit`.

        Returns a dict of the metrics of `metrics_of`, or without a task Keras's history. Raises ValueError if the
        tuner continues trainings, which needs `keras_hypernet.tuning.search`.
        """
        seed = self._seed(hp)
        if self.task is None:
            reported = model.fit(*args, callbacks=list(callbacks), **kwargs)
        else:
            if kwargs.get("initial_epoch"):
                raise keras_tuner.errors.FatalValueError(
                    "keras_tuner.Hyperband continues trainings from their best epoch, unlike the training of a task: "
                    "use keras_hypernet.tuning.search(oracle='hyperband')."
                )
            reported = self.train(hp, seed, kwargs.get("epochs", self.recipe.epochs), callbacks, model=model)
        if any(hasattr(callback, "trial") for callback in callbacks):  # a callback of keras-tuner's tuner
            self._running = (hp, seed - self.recipe.seed + 1)
        return reported

    def _seed(self, hp):
        """Returns the seed of the next execution; all executions of a tuner's trial share one `hp` object."""
        running, executions = self._running
        return self.recipe.seed + (executions if hp is running else 0)

    def train(self, hp, seed, epochs, callbacks, directory=None, model=None):
        """Trains a model, by default a new one, on the task; returns its validation metrics.

        The training continues after the last checkpoint in the directory.
        """
        if model is None:
            keras.backend.clear_session()
            model = self.build(hp, seed=seed, epochs=epochs)
        recipe = dataclasses.replace(self.configure(hp)[1], seed=seed, epochs=epochs)
        fit(model, self.task, recipe, directory, directory is not None, progress=False, callbacks=callbacks)
        needed, measured = "accuracy" if self.task.metric == "error" else self.task.metric, None
        try:
            measured = evaluate(model, self.task, "validation")
        except (KeyError, ValueError):
            if needed in model.get_metrics_result():
                raise
        if measured is None or (needed == "mse" and not _reports_mse(model)):  # a user's own model
            raise keras_tuner.errors.FatalValueError(
                f"The models of {qualified_name(self.function)} do not report {needed!r}, which the task "
                f"{self.task.name!r} needs: compile them with metrics=[{needed!r}]."
            )
        return {name: float(measured[name.removeprefix("validation_")]) for name in metrics_of(self.task)}


def _checked(name, field):
    """Returns a field of a search space for JSON: a dict of low and high, a list of choices, or None.

    The field may have one of these forms already; a range of Python or an array holds choices. Raises ValueError if the
    field is not valid.
    """
    if field is None or field is False:
        return None
    field = list(field) if isinstance(field, (range, np.ndarray)) else plain(field)
    field = USUAL[name] if field is True else [field] if isinstance(field, (int, float, str)) else field
    values = list(map(plain, field.values() if isinstance(field, dict) else field))
    kinds = str if name == "initialization" else (int, float)
    is_range = kinds is not str and not isinstance(field, list)
    valid = values and all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)
    if not valid or (is_range and (len(values) != 2 or values[0] > values[1])):
        expected = "a list of choices, or a range (low, high) of numbers with low <= high"
        raise ValueError(f"`{name}` must be {expected}. Received: {field!r}")
    values = list(dict.fromkeys(map(float, values) if name == "learning_rate" else values))
    for value in values:
        Recipe(**{"width": 1, name: value})  # raises ValueError if the value is out of range
    return {"low": values[0], "high": values[1]} if is_range and len(values) == 2 else values


def _choose(hp, name, field, default):
    """Registers a hyperparameter and returns its value; a default out of range becomes the first value."""
    if isinstance(field, list):
        return hp.Choice(name, field, default=default if default in field else field[0])
    low, high = field.values()
    default = default if low <= default <= high else low
    if name == "learning_rate":
        return hp.Float(name, low, high, sampling="log", default=default)
    return hp.Int(name, low, high, default=default)


def qualified_name(function):
    """Returns the module and name of a function, of the function in a partial, or of the class of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def is_importable(function):
    """Whether another process can import a function, or a class, by its name."""
    try:
        return function.__module__ != "__main__" and pkgutil.resolve_name(qualified_name(function)) is function
    except (ImportError, AttributeError, ValueError):
        return False


@functools.cache  # The collective keys of two mirrored strategies would collide.
def get_strategy(strategy):
    """Returns a `tf.distribute.Strategy` for `"mirrored"`, and a strategy or None as it is."""
    if not isinstance(strategy, str):
        return strategy
    if strategy != "mirrored":
        raise ValueError(f"`strategy` must be 'mirrored', or a tf.distribute.Strategy. Received: {strategy!r}")
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _check_methods(task, method):
    both = ("hyper", "embed")
    methods = both if method == "both" else (method,) if isinstance(method, str) else tuple(method)
    if "condition" not in task.inputs:
        raise ValueError(f"The task {task.name!r} has no condition, so neither f nor e, whose depth could be searched.")
    possible = tuple(task.methods) or (("process",) if task.condition_is_set else both)
    if not methods or len(set(methods)) < len(methods) or not set(methods) <= set(possible):
        raise ValueError(f"`method` must be one of {possible}, or several, for {task.name!r}. Received: {method!r}")
    return methods


def _check_names(hyperparameters, task):
    """Raises an error, a ValueError, if a user's own function gives a hyperparameter a name that is taken."""
    names = [hyperparameter.name for hyperparameter in hyperparameters]
    reserved = {*COLUMNS, *metrics_of(task)}
    if taken := [name for name in dict.fromkeys(names) if name in reserved or is_internal(name)]:
        raise keras_tuner.errors.FatalValueError(
            f"`build` must not ask `hp` for a name of {tuple(sorted(reserved))}, the columns of the table, nor for a "
            f"name that begins with 'tuner/'. Received: {', '.join(map(repr, taken))}"
        )
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        # keras-tuner drops the value of a name if any of its conditions is not met.
        raise keras_tuner.errors.FatalValueError(
            "`build` must ask `hp` for each name under one condition: list all values of the parent in one "
            f"`conditional_scope`, or use different names. Received under several: {', '.join(map(repr, repeated))}"
        )


def _reports_mse(model):
    """Whether an evaluated model reports the mean squared error: as a metric, or as its only loss."""
    loss = keras.losses.get(model.loss)
    squared = loss is keras.losses.mean_squared_error or isinstance(loss, keras.losses.MeanSquaredError)
    return (squared and not model.losses) or "mse" in model.get_metrics_result()
