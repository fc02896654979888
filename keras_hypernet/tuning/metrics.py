"""What is measured of a trial, and can be the objective of a search; and the columns of its table."""

import keras
import keras_tuner

# Of every table, besides what was searched and what was measured.
COLUMNS = ("trial", "status", "method", "total_epochs", "epochs", "steps", "seconds", "worker", "message")


def metrics_of(task):
    """Names of what is measured of a trial, on the validation split: any can be the objective, to be minimized.

    Example:

    >>> metrics_of(keras_hypernet.RotationTask("digits"))
    ('validation_error', 'validation_loss')
    """
    return ("validation_mse",) if task.metric == "mse" else ("validation_error", "validation_loss")


def is_of_the_tuner(name):
    """Whether a hyperparameter is one of keras-tuner's own, such as `tuner/epochs` of Hyperband."""
    return name.startswith("tuner/")


def check_names(hyperparameters, task):
    """Raises an error, a ValueError, if a hyperparameter of a user's own has a name that is taken."""
    reserved = {*COLUMNS, *metrics_of(task)}
    taken = [one.name for one in hyperparameters if one.name in reserved or is_of_the_tuner(one.name)]
    if taken:
        raise keras_tuner.errors.FatalValueError(
            f"The names of what `build` asks `hp` for must be none of {tuple(sorted(reserved))}, the columns of the "
            f"table, and not begin with 'tuner/'. Received: {', '.join(map(repr, dict.fromkeys(taken)))}"
        )
    names = [one.name for one in hyperparameters]
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        # keras-tuner drops the value of a name where any of its conditions is not met.
        raise keras_tuner.errors.FatalValueError(
            "`build` must ask `hp` for each name under one condition: name all values of the parent in one "
            f"`conditional_scope`, or give a name to each. Received under several: {', '.join(map(repr, repeated))}"
        )


def unreported(objective, reported, task):
    """The message of an error about an objective that is none of what is reported."""
    models = "your models" if task is None else f"the models of the task {task.name!r}"
    return f"`objective` must be one of {reported}, what {models} report. Received: {objective!r}"


def reports_mse(model):
    """Whether a model that was evaluated has the mean squared error as its metric, or as its loss and nothing more."""
    loss = keras.losses.get(model.loss)
    squared = loss is keras.losses.mean_squared_error or isinstance(loss, keras.losses.MeanSquaredError)
    return (squared and not model.losses) or "mse" in model.get_metrics_result()
