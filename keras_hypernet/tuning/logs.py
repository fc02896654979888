"""Logs for TensorBoard's HParams dashboard: a run for each trial, with its hyperparameters and what it measured."""

import math

from keras_hypernet.tuning.metrics import is_of_the_tuner, metrics_of


class HParamsLogs:
    """Writes the logs of trials to a folder.

    Args:
        folder: Folder of the logs.
        hypermodel: The `DepthSearch`, which says what is searched and what is measured.
    """

    def __init__(self, folder, hypermodel):
        from tensorboard.plugins.hparams import api  # an extra

        self.folder, self.hypermodel, self.api = folder, hypermodel, api

    def write(self, trial_id, hp, measured):
        """Writes the logs of a trial.

        Args:
            trial_id: Its number.
            hp: Its `keras_tuner.HyperParameters`.
            measured: A dict for each seed, from `DepthSearch.train`.
        """
        import tensorflow as tf

        values = {name: value for name, value in hp.values.items() if not is_of_the_tuner(name)}
        # What a user's own function asked for is known only once it was called.
        asked = [one.name for one in hp.space if not is_of_the_tuner(one.name)]
        names = dict.fromkeys([*self.hypermodel.space.names(), *asked])
        if not (self.folder / "hparams").exists():
            with tf.summary.create_file_writer(str(self.folder / "hparams")).as_default():
                metrics = [self.api.Metric(name) for name in metrics_of(self.hypermodel.task)]
                self.api.hparams_config([self.api.HParam(name) for name in names], metrics)
        with tf.summary.create_file_writer(str(self.folder / trial_id)).as_default():
            self.api.hparams(values, trial_id=trial_id)
            epochs = sum(seed["epochs"] for seed in measured)
            for name in (*metrics_of(self.hypermodel.task), "seconds"):
                mean = sum(seed[name] for seed in measured) / len(measured)
                if math.isfinite(mean):
                    tf.summary.scalar(name, mean, step=epochs)
