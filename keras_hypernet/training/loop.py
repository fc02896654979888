"""fit and evaluate: deterministic training that can be killed at any time and resumed."""

import math
import time

import keras

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.extras import needs_extra
from keras_hypernet.tasks.base import check_dtypes
from keras_hypernet.training.checkpoints import Run
from keras_hypernet.training.progress import ProgressBar
from keras_hypernet.training.replicas import evaluation_dataset, prepare_replicas

# Steps run inside one call of the compiled function; more hardly lowers Python's share of the time.
_MAX_STEPS_PER_EXECUTION = 64


def fit(
    model,
    task,
    recipe,
    directory=None,
    resume=False,
    progress=True,
    csv_log=False,
    tensorboard=False,
    callbacks=(),
    splits=("train",),
):
    """Trains a compiled model on a task's training split.

    With a directory, the state is saved after every epoch, each time in one step. What an epoch does is
    determined by the recipe's seed, the epoch's number and the weights it starts from; so a run that was
    killed repeats the interrupted epoch when it is resumed, and ends with the weights it would have had. For the same
    reason, one that has ended can be resumed by a recipe of more epochs.

    Args:
        model: A compiled Keras model of the task's inputs. If it was built in the scope of a `tf.distribute` strategy,
            each batch is divided among its replicas; one that cannot be divided evenly, such as the last of an epoch,
            counts as the mean of its parts.
        task: A `Task`.
        recipe: A `Recipe`, for the batch size, the epochs and the seed.
        directory: Folder for checkpoints and logs, or None to keep nothing.
        resume: Whether to go on from the directory's last checkpoint. Without one, starts at the beginning.
        progress: Whether to show a progress bar on standard error.
        csv_log: Whether to write `history.csv` to the directory.
        tensorboard: Whether to write TensorBoard logs to `tensorboard/` in the directory.
        callbacks: Further Keras callbacks.
        splits: The splits to train on: once nothing more is to be chosen by it, the validation split can be one.

    Returns:
        The history: a list with a dict for each epoch, of its number from 1, `loss`, `val_loss`, `seconds`, and for
        classes `accuracy` and `val_accuracy`. Without `val_loss` and `val_accuracy` if the validation split is one of
        `splits`.

    Raises:
        TrainingDivergedError: If the loss becomes NaN or infinite; the message names epoch and learning rate.
        ValueError: If the directory holds a training and `resume` is False, or one by another recipe, or its checkpoint
            is missing or damaged, or another process trains there, or a log is asked for without a directory, or the
            batches are not of the types that the task declares, or a batch cannot be divided among the replicas, or
            the validation split has fewer examples than there are replicas.
        NotWritableError: If the directory takes no files, or there is no room for the checkpoints.
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
    run = Run(directory, identity, csv_log)
    with run.locked():
        run.restore(model, resume)
        if len(run.history) < recipe.epochs:
            run.check_room(model)
            _continue(model, task, recipe, run, splits, progress, tensorboard, callbacks)
    return run.history


def _continue(model, task, recipe, run, splits, progress, tensorboard, callbacks):
    """Trains on from where a run is."""
    import tensorflow as tf

    epoch = tf.Variable(len(run.history), dtype=tf.int64, trainable=False)
    train = task.training_dataset(task.load_together(splits), recipe.batch_size, recipe.seed, epoch)
    check_dtypes(task, train)
    replicas = model.distribute_strategy.num_replicas_in_sync
    # Keras cannot run several steps in one execution on several replicas.
    _set_steps_per_execution(model, 1 if replicas > 1 else steps_per_execution(len(train)))
    if replicas > 1:
        prepare_replicas(model, task, recipe, replicas, sum(map(task.num_examples, splits)))
    callbacks = [_Epochs(run, epoch), *callbacks]
    if tensorboard:
        callbacks.append(_tensorboard(run.directory))
    bar = ProgressBar(len(run.history), recipe.epochs, len(train)) if progress else None
    try:
        model.fit(
            train,
            validation_data=None if "validation" in splits else evaluation_dataset(model, task, "validation"),
            initial_epoch=len(run.history),
            epochs=recipe.epochs,
            callbacks=[*callbacks, bar] if bar else callbacks,
            shuffle=False,  # the dataset does
            verbose=0,
        )
    finally:
        if bar:
            bar.stop()


def evaluate(model, task, split="test"):
    """Measures a compiled model on a split; all that is drawn, as angles of rotation are, is the same at each call.

    Args:
        model: A compiled Keras model of the task's inputs. Its loss is the mean squared error, where it is judged by
            that, unless it reports it as the metric `mse`.
        task: A `Task`.
        split: `"test"`, `"validation"` or `"train"`.

    Returns:
        `{"error": float, "loss": float, "num_examples": int}`, where error is the share of wrong classes; or for a
        task that is judged by it `{"mse": float, "num_examples": int}`.

    Raises:
        DataUnavailableError: If the task's images are not to be had.
        ValueError: If there is no such split, or the batches are not of the types that the task declares, or a model
            for a task of classes does not measure its accuracy.
        RuntimeError: If Keras's backend is not TensorFlow.

    Example:

    >>> model = keras_hypernet.load("rotation_mnist_hyper")
    >>> sorted(evaluate(model, keras_hypernet.RotationTask("digits")))
    ['error', 'loss', 'num_examples']
    """
    require_tensorflow("`evaluate`")
    dataset = evaluation_dataset(model, task, split)
    check_dtypes(task, dataset)
    measured = model.evaluate(dataset, return_dict=True, verbose=0)
    num_examples = task.num_examples(split)
    if task.metric == "mse":
        return {"mse": measured.get("mse", measured["loss"]), "num_examples": num_examples}
    if "accuracy" not in measured:
        raise ValueError(
            f"The model must be compiled with the metric 'accuracy', for a task of classes. Received: {[*measured]}"
        )
    wrong = round((1 - measured["accuracy"]) * num_examples)  # a whole number, which accuracy has in float32
    return {"error": wrong / num_examples, "loss": measured["loss"], "num_examples": num_examples}


class _Epochs(keras.callbacks.Callback):
    """Tells the data which epoch it is, watches the loss, and saves the state after each epoch."""

    def __init__(self, run, epoch):
        super().__init__()
        self.run, self.epoch = run, epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch.assign(epoch)
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            self.run.diverge(self.model, float(logs["loss"]))

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()}
        for value in values.values():
            # The last step's update can spoil the weights after its loss was computed.
            if not math.isfinite(value):
                self.run.diverge(self.model, value)
        self.run.history.append({"epoch": epoch + 1, **values, "seconds": time.perf_counter() - self.started})
        self.run.save(self.model)


def steps_per_execution(num_steps):
    """The largest divisor of an epoch's steps that is worth it: with one, no execution is cut short and traced anew."""
    return max(count for count in range(1, _MAX_STEPS_PER_EXECUTION + 1) if num_steps % count == 0)


def _set_steps_per_execution(model, steps):
    if model.steps_per_execution != steps:
        model.steps_per_execution = steps
        # Functions that Keras has compiled for another number would leave out the rest of the steps.
        model.train_function = model.test_function = model.predict_function = None


def _tensorboard(directory):
    with needs_extra("TensorBoard logs need", "tensorboard"):
        import tensorboard  # noqa: F401
    return keras.callbacks.TensorBoard(directory / "tensorboard")
