"""A progress bar over all epochs of a training."""

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_hypernet.common.terminal import LiteralConsole


class ProgressBar(keras.callbacks.Callback):
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
