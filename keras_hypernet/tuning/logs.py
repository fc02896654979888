"""Logs for TensorBoard's HParams dashboard: a run for each trial, with its hyperparameters and what it measured."""

from keras_hypernet.tuning.metrics import is_of_the_tuner, metrics_of


class HParamsLogs:
    """Writes the logs of the trials of a `DepthSearch` to a folder."""

    def __init__(self, folder, hypermodel):
        from tensorboard.plugins.hparams import api  # an extra

        self.folder, self.hypermodel, self.api = folder, hypermodel, api

    def write(self, row, hyperparameters):
        """Writes the logs of a trial, of its row and its values."""
        import tensorflow as tf

        values = {name: value for name, value in hyperparameters.items() if not is_of_the_tuner(name)}
        metrics = metrics_of(self.hypermodel.task)
        if not (self.folder / "hparams").exists():
            # What a user's own function asks for is known only once it was called.
            names = dict.fromkeys([*self.hypermodel.space.names(), *values])
            with tf.summary.create_file_writer(str(self.folder / "hparams")).as_default():
                searched = [self.api.HParam(name) for name in names]
                self.api.hparams_config(searched, [self.api.Metric(name) for name in metrics])
        trial = f"{row['trial']:04}"
        with tf.summary.create_file_writer(str(self.folder / trial)).as_default():
            self.api.hparams(values, trial_id=trial)
            for name in (*metrics, "seconds"):
                if row[name] is not None:
                    tf.summary.scalar(name, row[name], step=row["epochs"])
