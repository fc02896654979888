"""The paper's assumptions on networks without a condition: Assumption 1, Fig. 2, and Assumption 2, the appendix."""

import dataclasses

import keras
import numpy as np

from keras_hypernet.experiments.experiment import APPENDIX, Drawing, Measurement, grid, rounded
from keras_hypernet.tasks import ApproximationTask, ClassificationTask
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.architectures import build_model


def approximators(recipe):
    """The recipes of f1 and f2: f2 has other initial weights, from another distribution, and another order of data."""
    return recipe, dataclasses.replace(recipe, seed=recipe.seed + 1, initialization="unit_norm_uniform")


def _compare(task, method, recipe):
    """Trains f1 and f2, and compares them with each other and with y on the test data after each epoch."""
    x = task.load("test")

    def predict(model):
        return model.predict(x, batch_size=1000, verbose=0)

    def train(recipe):
        model, outputs = build_model(task, "network", recipe), []
        after_epoch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: outputs.append(predict(model)))
        fit(model, task, recipe, progress=False, callbacks=[after_epoch])
        return np.stack(outputs), evaluate(model, task, "validation")["mse"]

    (f1, validation), (f2, _) = map(train, approximators(recipe))
    y = predict(task.target())
    curve = {
        name: [rounded(value) for value in np.mean(np.square(difference), axis=(1, 2), dtype="float64")]
        for name, difference in {"f1_f2": f1 - f2, "f1_y": f1 - y, "f2_y": f2 - y}.items()
    }
    return {
        "test": curve["f1_y"][-1],
        "test_f1_f2": curve["f1_f2"][-1],
        "test_f2_y": curve["f2_y"][-1],
        "variance_of_y": rounded(np.mean(np.var(y, axis=0, dtype="float64"))),
        "validation": validation,
        "curve": curve,
    }


@grid(
    figure="Fig. 2",
    title="Two approximators of one target: mean squared differences against the epoch",
    varies="epochs",
    values=(50,),
    panels=("cifar10", "mnist", "uniform"),
    extra_values={"uniform": (150,)},
    methods=("network",),
    drawing=Drawing(curves={"f1_f2": "between f1 and f2", "f1_y": "between f1 and y", "f2_y": "between f2 and y"}),
    quick_panels=("digits", "uniform"),
    quick_values=(3,),
    measure=Measurement(_compare, also=("test_f1_f2", "test_f2_y", "variance_of_y")),
)
def assumption_1(panel, method, value, seed, quick):
    """Fig. 2, Assumption 1: two networks that approximate the same target become the same function.

    The target y is a random convolutional network. f1 and f2, each with one hidden layer of 100 ReLU units, start from
    different distributions (see `approximators`) and are trained independently to match y, on CIFAR-10, MNIST or
    uniform noise. A row holds the three mean squared differences on test data after each epoch. On uniform noise there
    are runs of 150 epochs, too: the authors' README trains for 100. The paper: f1 and f2 are much closer to each other
    than to y. Takes about two minutes a run, and five for 150 epochs, half an hour in all on two cores.
    """
    task = ApproximationTask(panel, seed=seed, **({"num_samples": 500} if quick else {}))
    return task, paper_recipe(task, seed=2 * seed, epochs=value, initialization="unit_norm_normal")


@grid(
    **APPENDIX,
    title="Classification by one hidden layer: error rate and squared error against its width",
    varies="width",
    values=tuple(range(1, 30)),
    panels=("mnist", "cifar10"),
    methods=("network",),
    drawing=Drawing(
        labels={"network": "test error"},
        also_last={"validation_loss": "squared error on validation data"},
        log_y=True,
        vertical="error",
    ),
    quick_panels=("digits",),
    quick_values=(1, 8, 16),
)
def assumption_2(panel, method, value, seed, quick):
    """Appendix, Assumption 2: one more neuron is strictly better. The error of a shallow network against its width.

    A network with one hidden layer of 1..29 units (ELU) tells the class of an image, trained for 5 epochs on the
    squared error to one-hot labels with Adadelta at the rate 1 and batches of 64. The paper: every added neuron lowers
    the error. Takes about ten seconds a run, a quarter of an hour in all on two cores.
    """
    task = ClassificationTask(panel)
    return task, paper_recipe(task, width=value, seed=seed, **({"epochs": 3} if quick else {}))
