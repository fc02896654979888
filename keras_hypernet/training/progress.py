"""A progress bar over a whole training, with the time that is left."""

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_hypernet.common.terminal import LiteralConsole


class ProgressBar(keras.callbacks.Callback):
    """Shows the steps done and to do, the loss, and the last validation error, on standard error."""

    def __init__(self, initial_epoch, epochs, num_steps):
        super().__init__()
        self.num_steps = num_steps
        self.done = initial_epoch * num_steps
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=LiteralConsole(stderr=True),
        )
        self.task = self.bar.add_task("training", total=epochs * num_steps, completed=self.done)
        self.validation = ""

    def on_train_begin(self, logs=None):
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.done = epoch * self.num_steps

    def on_train_batch_end(self, batch, logs=None):
        text = f"loss {float(logs['loss']):.3f}{self.validation}"
        self.bar.update(self.task, completed=self.done + batch + 1, description=text)

    def on_epoch_end(self, epoch, logs=None):
        if "val_accuracy" in logs:
            self.validation = f", validation error {1 - logs['val_accuracy']:.4f}"
        text = f"loss {float(logs['loss']):.3f}{self.validation}"
        # All steps: the last call of `on_train_batch_end` names them or the first of its execution, by Keras's release.
        self.bar.update(self.task, completed=(epoch + 1) * self.num_steps, description=text)

    def on_train_end(self, logs=None):
        self.stop()

    def stop(self):
        """Leaves the terminal as it was; to be called also when the training ends by an exception."""
        self.bar.stop()
