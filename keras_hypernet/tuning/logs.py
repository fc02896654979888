"""Logs for TensorBoard's HParams dashboard: a run for each trial, with its hyperparameters and results."""

from tensorboard.plugins.hparams import api

from keras_hypernet.tuning.metrics import is_internal, metrics_of
from keras_hypernet.tuning.space import searched


def write_logs(folder, hypermodel, row, hyperparameters):
    """Writes the logs of a trial of a `DepthSearch` into a folder, from its row and its hyperparameters."""
    import tensorflow as tf

    values = {name: value for name, value in hyperparameters.items() if not is_internal(name)}
    metrics, trial = metrics_of(hypermodel.task), f"{row['trial']:04}"
    if not (folder / "hparams").exists():
        # The hyperparameters of a user's own function are known after its first call.
        names = dict.fromkeys([*searched(hypermodel.methods, hypermodel.space), *values])
        with tf.summary.create_file_writer(str(folder / "hparams")).as_default():
            api.hparams_config([api.HParam(name) for name in names], [api.Metric(name) for name in metrics])
    with tf.summary.create_file_writer(str(folder / trial)).as_default():
        api.hparams(values, trial_id=trial)
        for name in (*metrics, "seconds"):
            if row[name] is not None:
                tf.summary.scalar(name, row[name], step=row["epochs"])
