"""Fig. 2, Assumption 1: two networks that approximate the same target become the same function.

    keras-hypernet experiment assumption_1 --workers 2 --out runs

The target y is a random convolutional network. f1 and f2, each of one hidden layer of 100 ReLU units, start from
different distributions and are trained independently to match it, on CIFAR-10, MNIST or uniform noise. The row of a run
holds for each epoch the mean squared differences of the three on test data. The paper: f1 and f2 are much closer to
each other than to y. Takes about two minutes a run, twenty minutes in all on two cores.
"""

import dataclasses

import keras
import numpy as np

from keras_hypernet.experiments.experiment import Drawing, Experiment, Measurement
from keras_hypernet.tasks import ApproximationTask
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.architectures import build_model


def setup(panel, method, value, seed, quick):
    """The recipe of f1; what distinguishes f2 is in `approximators`."""
    task = ApproximationTask(panel, seed=seed, **({"num_samples": 500} if quick else {}))
    return task, paper_recipe(task, seed=2 * seed, epochs=value, initialization="unit_norm_normal")


def approximators(recipe):
    """The recipes of f1 and of f2: other initial weights, from another distribution, and another order of examples."""
    return recipe, dataclasses.replace(recipe, seed=recipe.seed + 1, initialization="unit_norm_uniform")


class _Outputs(keras.callbacks.Callback):
    """Keeps what a network says of the test data after each epoch."""

    def __init__(self, x):
        super().__init__()
        self.x, self.outputs = x, []

    def on_epoch_end(self, epoch, logs=None):
        self.outputs.append(self.model.predict(self.x, batch_size=1000, verbose=0))


def measure(task, method, recipe):
    """Trains f1 and f2, and compares them with each other and with y on the test data after each epoch."""
    x = task.load("test")
    outputs, validation = [], []
    for one in approximators(recipe):
        model, callback = build_model(task, "network", one), _Outputs(x)
        fit(model, task, one, progress=False, callbacks=[callback])
        outputs.append(np.stack(callback.outputs))
        validation.append(evaluate(model, task, "validation")["mse"])
    f1, f2 = outputs
    y = task.target().predict(x, batch_size=1000, verbose=0)
    curve = {
        name: [float(f"{value:.6g}") for value in np.mean(np.square(difference), axis=(1, 2), dtype="float64")]
        for name, difference in {"f1_f2": f1 - f2, "f1_y": f1 - y, "f2_y": f2 - y}.items()
    }
    last = {name: values[-1] for name, values in curve.items()}
    variance = float(np.mean(np.var(y, axis=0, dtype="float64")))
    return {
        "test": last["f1_y"],
        "test_f1_f2": last["f1_f2"],
        "test_f2_y": last["f2_y"],
        "variance_of_y": float(f"{variance:.6g}"),
        "validation": validation[0],
        "curve": curve,
    }


EXPERIMENT = Experiment(
    name="assumption_1",
    figure="Fig. 2",
    title="Two approximators of one target: mean squared differences against the epoch",
    varies="epochs",
    values=(50,),
    panels=("cifar10", "mnist", "uniform"),
    methods=("network",),
    drawing=Drawing(curves={"f1_f2": "between f1 and f2", "f1_y": "between f1 and y", "f2_y": "between f2 and y"}),
    seeds=5,
    setup=setup,
    quick_panels=("digits", "uniform"),
    quick_values=(3,),
    measure=Measurement(measure, also=("test_f1_f2", "test_f2_y", "variance_of_y")),
)
