"""fit and evaluate: reproducible training, which can be resumed after a kill at any time."""

import contextlib
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.terminal import LiteralConsole
from keras_hypernet.data import arrays
from keras_hypernet.tasks.base import Task, check_dtypes
from keras_hypernet.training.checkpoints import Training
from keras_hypernet.training.recipe import Recipe

# More steps in one call of the compiled function hardly reduce Python's share of the time.
_MAX_STEPS_PER_EXECUTION = 64
_EVALUATED_EXAMPLES = 100  # per replica and step, on several replicas


def fit(
    model: keras.Model,
    task: Task,
    recipe: Recipe,
    directory: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    csv_log: bool = False,
    tensorboard: bool = False,
    callbacks: Sequence[Any] = (),
    splits: Sequence[str] = ("train",),
) -> list[dict[str, Any]]:
    """Trains a compiled model on a task's training split, reproducibly; for any other training, use `model.fit`.

    The seed, the epoch number and the initial weights determine the result of an epoch. If a directory is given, the
    state is saved after every epoch. After a kill, `resume=True` repeats the interrupted epoch, and the training ends
    with the weights of an uninterrupted training. With a recipe of more epochs, it continues a complete training.

    Args:
        model: A compiled Keras model of the task's inputs. If the model was built in the scope of a `tf.distribute`
            strategy, each batch is divided among the replicas; a batch that does not divide evenly, such as the last of
            an epoch, counts as the mean of its parts.
        task: A `Task`.
        recipe: A `Recipe`; batch size, epochs and seed are used.
        directory: Folder for checkpoints and logs, or None to keep no files.
        resume: Whether to continue from the last checkpoint in the directory, if there is one.
        progress: Whether to show a progress bar on standard error.
        csv_log: Whether to write `history.csv` to the directory.
        tensorboard: Whether to write TensorBoard logs to `tensorboard/` in the directory.
        callbacks: Further Keras callbacks.
        splits: Splits to train on. Add the validation split only after all choices are made.

    Returns:
        The history: a list with a dict for each epoch, with `epoch` (from 1), `loss`, `val_loss`, `seconds`, and for
        classes `accuracy` and `val_accuracy`. If the validation split is trained on, `val_loss` and `val_accuracy` are
        missing.

    Raises:
        TrainingDivergedError: If the loss becomes NaN or infinite; the message names the epoch and the learning rate.
        ValueError: If the directory holds a training and `resume` is False; if it holds another training, or a missing
            or damaged checkpoint; if another process uses it; if a log has no directory; if the dtypes of batches
            differ from the task's; if a batch cannot be divided among the replicas; or if the validation split has
            fewer examples than replicas.
        NotWritableError: If the directory is not writable, or its disk has no space for the checkpoints.
        RuntimeError: If Keras's backend is not TensorFlow.

    Example:

    >>> task = keras_hypernet.RotationTask("digits")
    >>> recipe = keras_hypernet.paper_recipe(task, epochs=1)
    >>> model = keras_hypernet.build_model(task, "hyper", recipe)
    >>> (epoch,) = fit(model, task, recipe, progress=False)
    >>> sorted(epoch)
    ['accuracy', 'epoch', 'loss', 'seconds', 'val_accuracy', 'val_loss']
    """
    require_tensorflow("`fit`")
    if directory is None and (resume or csv_log or tensorboard):
        raise ValueError("`resume`, `csv_log` and `tensorboard` need a `directory` to keep their files in.")
    splits = list(splits)
    identity = {"task": task.config(), "model": model.name, "recipe": recipe.to_dict(), "splits": splits}
    training = Training(directory, identity, csv_log)
    with training.locked():
        training.restore(model, resume)
        if len(training.history) < recipe.epochs:
            training.begin(model)
            if directory is not None and task.arrays_sha256:
                arrays.write(task.arrays_sha256, directory)
            _continue(model, task, recipe, training, splits, progress, tensorboard, callbacks)
    return training.history


def _continue(model, task, recipe, training, splits, progress, tensorboard, callbacks):
    import tensorflow as tf

    epoch = tf.Variable(len(training.history), dtype=tf.int64, trainable=False)
    train = task.training_dataset(task.load_together(splits), recipe.batch_size, recipe.seed, epoch)
    check_dtypes(task, train)
    replicas = model.distribute_strategy.num_replicas_in_sync
    # Keras cannot run several steps per execution on several replicas.
    steps = 1 if replicas > 1 else steps_per_execution(len(train))
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        # Functions that Keras compiled for another number of steps would skip the remaining steps.
        model.train_function = model.test_function = model.predict_function = None
    if replicas > 1:
        _prepare_replicas(model, task, recipe, replicas, sum(map(task.num_examples, splits)))
    callbacks = [_Epochs(training, epoch), *task.callbacks(model), *callbacks]
    if tensorboard:
        with needs_extra("TensorBoard logs need", "tensorboard"):
            import tensorboard
        callbacks.append(keras.callbacks.TensorBoard(training.directory / "tensorboard"))
    with contextlib.ExitStack() as stack:
        if progress:
            callbacks.append(_ProgressBar(len(training.history), recipe.epochs, len(train)))
            stack.enter_context(callbacks[-1].bar)
        model.fit(
            train,
            validation_data=None if "validation" in splits else _evaluation_dataset(model, task, "validation"),
            initial_epoch=len(training.history),
            epochs=recipe.epochs,
            callbacks=callbacks,
            shuffle=False,  # the dataset shuffles
            verbose=0,
        )


def evaluate(model: keras.Model, task: Task, split: str = "test") -> dict[str, Any]:
    """Evaluates a compiled model on a split; random draws, such as angles, are the same in each call.

    Args:
        model: A compiled Keras model of the task's inputs. If the metric of the task is the mean squared error, the
            loss or a metric `mse` must be this error. Another metric than the error rate must be a metric of the
            model, or its loss, with the name of the task's.
        task: A `Task`.
        split: `"test"`, `"validation"` or `"train"`.

    Returns:
        `{"error": float, "loss": float, "num_examples": int}`, where error is the error rate; or
        `{"mse": float, "num_examples": int}` for the mean squared error, and similarly for another metric.

    Raises:
        DataUnavailableError: If the task's images are not available.
        ValueError: If the split does not exist, the dtypes of batches differ from the task's, or a model for
            classification has no metric `accuracy`, or another model lacks the task's metric.
        RuntimeError: If Keras's backend is not TensorFlow.

    Example:

    >>> model = keras_hypernet.load("rotation_mnist_hyper")
    >>> sorted(evaluate(model, keras_hypernet.RotationTask("digits")))
    ['error', 'loss', 'num_examples']
    """
    require_tensorflow("`evaluate`")
    dataset = _evaluation_dataset(model, task, split)
    check_dtypes(task, dataset)
    measured = model.evaluate(dataset, return_dict=True, verbose=0)
    num_examples = task.num_measured(split)
    if task.metric != "error":
        if task.metric not in (*measured, "mse", getattr(model.loss, "name", None)):
            raise ValueError(
                f"The model must be compiled with a metric, or a loss, of the name {task.metric!r}, the task's metric. "
                f"Received: {[*measured]}"
            )
        return {task.metric: measured.get(task.metric, measured["loss"]), "num_examples": num_examples}
    if "accuracy" not in measured:
        raise ValueError(
            f"The model must be compiled with the metric 'accuracy', for a task of classes. Received: {[*measured]}"
        )
    wrong = round((1 - measured["accuracy"]) * num_examples)  # corrects the rounding of the accuracy to float32
    return {"error": wrong / num_examples, "loss": measured["loss"], "num_examples": num_examples}


class _Epochs(keras.callbacks.Callback):
    """Sets the epoch number of the data, checks the loss, and saves the state after each epoch."""

    def __init__(self, training, epoch):
        super().__init__()
        self.training, self.epoch = training, epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch.assign(epoch)
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._check(float(logs["loss"]))

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()}
        for value in values.values():  # the last update may diverge after its loss is computed
            self._check(value)
        self.training.history.append({"epoch": epoch + 1, **values, "seconds": time.perf_counter() - self.started})
        self.training.save(self.model)

    def _check(self, value):
        if not math.isfinite(value):
            self.training.diverge(self.model, value)


class _ProgressBar(keras.callbacks.Callback):
    """Shows steps, remaining time, loss and last validation error on standard error, within the context of `bar`."""

    def __init__(self, initial_epoch, epochs, num_steps):
        super().__init__()
        self.num_steps, self.epoch, self.validation = num_steps, initial_epoch, ""
        steps = BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn()
        self.bar = Progress(TextColumn("{task.description}"), *steps, console=LiteralConsole(stderr=True))
        self.task = self.bar.add_task("training", total=epochs * num_steps, completed=initial_epoch * num_steps)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._show(batch + 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        if "val_accuracy" in logs:
            self.validation = f", validation error {1 - logs['val_accuracy']:.4f}"
        # All steps, because Keras's releases differ in the step that the last `on_train_batch_end` receives.
        self._show(self.num_steps, logs)

    def _show(self, steps, logs):
        text = f"loss {float(logs['loss']):.3f}{self.validation}"
        self.bar.update(self.task, completed=self.epoch * self.num_steps + steps, description=text)


def _evaluation_dataset(model, task, split):
    """Returns a split in batches; for several replicas, the first batch is divided evenly."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return task.evaluation_dataset(split)
    number = task.num_examples(split)
    if number < replicas:
        raise ValueError(
            f"The {split} split must have an example for each of {replicas} replicas. Received: {number} examples"
        )
    # Keras averages the first parts of all replicas to build the model, so these parts must have one shape.
    return task.evaluation_dataset(split, batch_size=replicas * min(_EVALUATED_EXAMPLES, number // replicas))


def _prepare_replicas(model, task, recipe, replicas, number):
    """Builds the model on real inputs, because Keras would build it on a float32 average, even of uint8 pixels."""
    if recipe.batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be a multiple of {replicas}, the number of replicas. Received: {recipe.batch_size}"
        )
    if number < recipe.batch_size and number % replicas:
        raise ValueError(f"A single batch must divide evenly among {replicas} replicas. Received: {number} examples")
    model.test_on_batch(*next(iter(task.evaluation_dataset("validation", batch_size=replicas))))
    model.reset_metrics()


def steps_per_execution(num_steps):
    """Returns the largest useful divisor of an epoch's steps: a shorter last execution would be traced again."""
    return max(count for count in range(1, _MAX_STEPS_PER_EXECUTION + 1) if num_steps % count == 0)


@contextlib.contextmanager
def expected_retracing():
    """Silences TensorFlow's warnings during the block, in which many models are each traced again."""
    import tensorflow as tf

    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    try:
        yield
    finally:
        tf.get_logger().setLevel(level)
