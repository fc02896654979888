"""What is measured of a trial, and can be the objective of a search."""

import keras


def metrics_of(task):
    """Names of what is measured of a trial, on the validation split: any can be the objective, to be minimized.

    Example:

    >>> metrics_of(keras_hypernet.RotationTask("digits"))
    ('validation_error', 'validation_loss')
    """
    return ("validation_mse",) if task.metric == "mse" else ("validation_error", "validation_loss")


def unreported(objective, reported, task):
    """The message of an error about an objective that is none of what is reported."""
    models = "your models" if task is None else f"the models of the task {task.name!r}"
    return f"`objective` must be one of {reported}, what {models} report. Received: {objective!r}"


def reports_mse(model):
    """Whether a model that was evaluated has the mean squared error as its metric, or as its loss and nothing more."""
    loss = keras.losses.get(model.loss)
    squared = loss is keras.losses.mean_squared_error or isinstance(loss, keras.losses.MeanSquaredError)
    return (squared and not model.losses) or "mse" in model.get_metrics_result()
