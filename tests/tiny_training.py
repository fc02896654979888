"""A tiny task and recipe: 75 steps per epoch, in three executions of 25."""

import keras

import keras_hypernet as kh
from keras_hypernet.tasks import SyntheticTask

TASK = SyntheticTask("inner", dim=4, hidden_units=4, num_train=150, num_validation=30, num_test=40)
RECIPE = kh.Recipe(width=4, depth=2, epochs=3, batch_size=2)


def train(directory=None, recipe=RECIPE, task=TASK, method="hyper", **options):
    """Trains a new model, and returns the model and the history."""
    model = kh.build_model(task, method, recipe)
    return model, kh.fit(model, task, recipe, directory, progress=False, **options)


def without_time(history):
    """The history without the seconds, which differ between trainings."""
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


class Call(keras.callbacks.Callback):
    """Calls a function of the model and the epoch when an epoch begins, or of the model after a step."""

    def __init__(self, on_epoch=None, on_step=None):
        super().__init__()
        self.on_epoch, self.on_step = on_epoch, on_step

    def on_epoch_begin(self, epoch, logs=None):
        if self.on_epoch:
            self.on_epoch(self.model, epoch)

    def on_train_batch_end(self, batch, logs=None):
        if self.on_step:
            self.on_step(self.model)
