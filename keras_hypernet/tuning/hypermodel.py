"""DepthSearch: the models of a task, or of a user's own function, as a search space of keras-tuner."""

import contextlib
import dataclasses
import functools
import math
import time

import keras
import keras_tuner

from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe, paper_recipe
from keras_hypernet.tuning.metrics import check_names, metrics_of, reports_mse, unreported
from keras_hypernet.tuning.space import OWN, USUAL, Space
from keras_hypernet.zoo.architectures import build_model, embedding_dim_of

METHODS = ("hyper", "embed", "process")


class DepthSearch(keras_tuner.HyperModel):
    """The depth of f or of e, and what else is to be searched, of the models of a task; or of your own.

    With a task, a model is built and trained as in the experiments of this package: by `build_model`, `fit` and
    `evaluate`. With a function alone it is one of keras-tuner's hypermodels, for any of its tuners and your own data.

    Args:
        task: A `Task` with a condition; None for models that are trained on data that you give to the tuner.
        method: `"hyper"`, `"embed"` or, for conditions that are sets, `"process"`; or several, as a tuple.
        build: Instead of a method, your own function: it takes the depth, an integer, and a
            `keras_tuner.HyperParameters`, of which it may ask for more, and returns a compiled Keras model. With a
            task, their names must be none of those of the columns of `SearchResult.trials`. A grid tries all
            combinations of the values; ask for what only some models need within `hp.conditional_scope`.
        depth, width, initialization, learning_rate, embedding_dim: What is searched: a range `(low, high)`, a list of
            choices, True for usual ones, or None for what the recipe says. See `Space`. The embedding dimension of the
            recipe is among the usual ones.
        recipe: A `Recipe` for all that is not searched; by default the paper's for the task.
        strategy: A `tf.distribute.Strategy` to build and train in the scope of, or None.

    Raises:
        ValueError: If an argument is out of range, the task has no condition, or no such method; or if a task and a
            function are both missing.

    Example:

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
        task=None,
        method=None,
        build=None,
        depth=(2, 9),
        width=None,
        initialization=None,
        learning_rate=None,
        embedding_dim=None,
        recipe=None,
        strategy=None,
    ):
        super().__init__()
        if build is not None and not callable(build):
            raise TypeError(f"`build` must be a function of the depth and of hp. Received: {build!r}")
        if task is None and build is None:
            raise ValueError("A search needs a `task`, or your own function, `build`.")
        if build is not None and method is not None:
            raise ValueError(f"Give a `method` or your own function, `build`, and not both. Received: {method!r}")
        if build is not None and (width, initialization, learning_rate, embedding_dim) != (None,) * 4:
            raise ValueError("What your own function searches besides the depth, it asks `hp` for: give `depth` alone.")
        self.task, self.function, self.strategy = task, build, strategy
        methods = (OWN,) if build is not None else _methods(task, method or "hyper")
        if recipe is not None and not isinstance(recipe, Recipe):
            raise TypeError(f"`recipe` must be a keras_hypernet.Recipe. Received: {recipe!r}")
        self.recipe = recipe or (paper_recipe(task) if task is not None else Recipe(width=1))
        if embedding_dim is True:
            embedding_dim = sorted({*USUAL["embedding_dim"], embedding_dim_of(task, self.recipe)})
        self.space = Space(methods, depth, width, initialization, learning_rate, embedding_dim)
        # A one-value choice is fixed, so it adds no search dimension.
        fixed = self.space.fixed()
        self.recipe = dataclasses.replace(self.recipe, **fixed)
        self.space = dataclasses.replace(self.space, **dict.fromkeys(fixed))
        # Hyperparameters of the trial that one of keras-tuner's own tuners runs, and its executions that have ended.
        self._running = (None, 0)

    def set_recipe(self, **changes):
        """Sets fields of the recipe; those that are None stay as they are."""
        changes = {name: value for name, value in changes.items() if value is not None}
        self.recipe = dataclasses.replace(self.recipe, **changes)

    def configure(self, hp):
        """Returns the method and the `Recipe` that hyperparameters stand for, which are registered with `hp`."""
        defaults = self.recipe
        if self.space.embedding_dim is not None:
            defaults = dataclasses.replace(defaults, embedding_dim=embedding_dim_of(self.task, defaults))
        method, changes = self.space.choose(hp, defaults)
        return method, dataclasses.replace(self.recipe, **changes)

    def build(self, hp, **changes):
        """Returns the compiled model of hyperparameters; further arguments are fields of the recipe to set."""
        method, recipe = self.configure(hp)
        recipe = dataclasses.replace(recipe, **{"seed": self._seed(hp), **changes})
        with self.strategy.scope() if self.strategy else contextlib.nullcontext():
            if self.function is None:
                return build_model(self.task, method, recipe)
            keras.utils.set_random_seed(recipe.seed)
            model = self.function(recipe.depth, hp)
            if self.task is not None:
                check_names(hp.space, self.task)
            return model

    def fit(self, hp, model, *args, callbacks=(), **kwargs):
        """Trains a model for a tuner of keras-tuner's own: see `keras_tuner.HyperModel.fit`.

        Returns a dict of what `metrics_of` names, or without a task Keras's history. Raises ValueError if the tuner
        continues trainings, as only `keras_hypernet.tuning.search` can do, or its objective is not reported.
        """
        reported = self._fit(hp, model, *args, callbacks=callbacks, **kwargs)
        if any(hasattr(callback, "trial") for callback in callbacks):  # a tuner's, which says what runs
            self._running = (hp, self._seed(hp) - self.recipe.seed + 1)
        return reported

    def _seed(self, hp):
        """The seed of the next execution: a tuner has one object of hyperparameters for all executions of a trial."""
        running, executions = self._running
        return self.recipe.seed + (executions if hp is running else 0)

    def _fit(self, hp, model, *args, callbacks, **kwargs):
        if self.task is None:
            history = model.fit(*args, callbacks=list(callbacks), **kwargs)
            self._check_objectives(callbacks, tuple(history.history))
            return history
        self._check_objectives(callbacks, metrics_of(self.task))
        if kwargs.get("initial_epoch"):
            raise keras_tuner.errors.FatalValueError(
                "keras_tuner.Hyperband continues trainings from their best epoch, which is not how a task is trained: "
                "use keras_hypernet.tuning.search(oracle='hyperband')."
            )
        _, recipe = self.configure(hp)
        recipe = dataclasses.replace(recipe, seed=self._seed(hp), epochs=kwargs.get("epochs", recipe.epochs))
        fit(model, self.task, recipe, progress=False, callbacks=callbacks)
        return self._measure(model)

    def _check_objectives(self, callbacks, reported):
        """Of the tuner, only its callback that looks for the best epoch says what the objective is."""
        found = [getattr(callback, "objective", None) for callback in callbacks]
        for objective in found:
            names = [one.name for one in getattr(objective, "objectives", [objective]) if one is not None]
            for name in names:
                if name not in (*reported, "default_objective"):  # keras-tuner has its own message for none
                    raise keras_tuner.errors.FatalValueError(unreported(name, reported, self.task))

    def train(self, hp, seed, epochs, directory=None):
        """Trains a model on the task, or what a directory lacks of that training, and measures it on validation data.

        Returns a dict: `status`, `"finished"` or `"diverged"`; each of `metrics_of(task)`, None if the training
        diverged; `epochs` and `steps` that were trained here; `seconds`; and `message`, what went wrong, or None.
        """
        keras.backend.clear_session()
        started = time.perf_counter()
        _, recipe = self.configure(hp)
        recipe = dataclasses.replace(recipe, seed=seed, epochs=epochs)
        model = self.build(hp, seed=seed, epochs=epochs)
        counter, message, measured = _Counter(), None, {}
        try:
            fit(model, self.task, recipe, directory, directory is not None, progress=False, callbacks=[counter])
            measured = self._measure(model)
            if not all(map(math.isfinite, measured.values())):
                message = "Training ended with finite losses, but what was measured is not finite."
        except TrainingDivergedError as error:
            message = str(error)
        if message is not None:
            measured = dict.fromkeys(metrics_of(self.task))
        return {
            "status": "finished" if message is None else "diverged",
            **measured,
            "epochs": counter.epochs,
            "steps": counter.epochs * math.ceil(self.task.num_examples("train") / recipe.batch_size),
            "seconds": time.perf_counter() - started,
            "message": message,
        }

    def _measure(self, model):
        needed = "mse" if self.task.metric == "mse" else "accuracy"
        try:
            measured = evaluate(model, self.task, "validation")
        except (KeyError, ValueError):
            if needed in model.get_metrics_result():
                raise
            measured = None
        if measured is None or (needed == "mse" and not reports_mse(model)):  # a user's own model
            raise keras_tuner.errors.FatalValueError(
                f"The models of {qualified_name(self.function)} do not report {needed!r}, by which the task "
                f"{self.task.name!r} is judged: compile them with metrics=[{needed!r}]."
            )
        return {name: float(measured[name.removeprefix("validation_")]) for name in metrics_of(self.task)}


def qualified_name(function):
    """Returns the module and name of a function: of the one that a partial calls, of the class of another callable."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


class _Counter(keras.callbacks.Callback):
    """Counts the epochs that are trained, the one in which a training diverges included."""

    epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1


def _methods(task, method):
    methods = tuple(METHODS[:2]) if method == "both" else (method,) if isinstance(method, str) else tuple(method)
    if "condition" not in task.inputs:
        raise ValueError(
            f"The networks of the task {task.name!r} have neither f nor e, so there is no depth to search: choose a "
            "task with a condition, such as rotation."
        )
    possible = METHODS[2:] if len(task.condition_shape) == 4 else METHODS[:2]
    if not methods or len(set(methods)) < len(methods) or not set(methods) <= set(possible):
        raise ValueError(f"`method` must be one of {possible}, or several, for {task.name!r}. Received: {method!r}")
    return methods
