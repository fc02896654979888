"""Metrics of trials, which can be the objective of a search, and the columns of its table."""

import keras
import keras_tuner

# Columns of every table, besides hyperparameters and metrics.
COLUMNS = ("trial", "status", "method", "total_epochs", "epochs", "steps", "seconds", "worker", "message")


def metrics_of(task):
    """Returns the names of the metrics on the validation split; a search can minimize any of these.

    >>> metrics_of(keras_hypernet.RotationTask("digits"))
    ('validation_error', 'validation_loss')
    """
    return ("validation_mse",) if task.metric == "mse" else ("validation_error", "validation_loss")


def is_internal(name):
    """Whether keras-tuner sets a hyperparameter for itself, such as `tuner/epochs` of Hyperband."""
    return name.startswith("tuner/")


def check_names(hyperparameters, task):
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


def unreported(objective, reported, task):
    """Returns the error message about an objective that the models do not report."""
    models = "your models" if task is None else f"the models of the task {task.name!r}"
    return f"`objective` must be one of {reported}, what {models} report. Received: {objective!r}"


def reports_mse(model):
    """Whether an evaluated model reports the mean squared error: as a metric, or as its only loss."""
    loss = keras.losses.get(model.loss)
    squared = loss is keras.losses.mean_squared_error or isinstance(loss, keras.losses.MeanSquaredError)
    return (squared and not model.losses) or "mse" in model.get_metrics_result()
