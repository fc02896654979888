"""Weights as a function of the weight decay: its response (Lorraine and Duvenaud, 2018; MacKay et al., 2019).

The weight decay is that of a classifier of MNIST with 1,000 training images. For each decay there are best weights: the
response. A hypernetwork of the logarithm of the decay learns the response in one training, on random decays, by the
cross-entropy plus the decay times the squared norm of the weights that it writes. The works report curves, and no table
that fits: the reference is a classifier for each decay, trained for the same number of epochs.

Registered on 2026-11-28, before any run of the grid: the grid, and `REGISTERED`, the rules and predictions.

Known before, from runs of one seed, the validation cross-entropy at the logarithms -6, -5, -4, -3, -2, -1 of the decay.
Linear: the hypernetwork after 30 epochs, trained on logarithms up to 0, 0.500, 0.463, 0.449, 0.480, 0.560, 0.733;
separate classifiers after 30 epochs at -6, -5, -3: 0.498, 0.459, 0.477, after 8 epochs at -4, -2, -1: 0.448, 0.554,
0.713. 32 hidden units, after 20 epochs: the hypernetwork 0.427, 0.383, 0.396, 0.502, 0.792, 1.225; separate classifiers
at -6, -4, -2: 0.387, 0.380, 0.767. At 0, the linear hypernetwork had 0.883 and a separate classifier, after 8 epochs,
0.980: its weights are as small there as Adam's steps, so the range ends at -1. A hypernetwork with 32 units in f, the
rate 0.001 and the penalty of all rows of a batch, trained from -8 on, had 0.516, 0.468, 0.454 at -6, -5, -4 after 20
epochs, and 0.661 at -8, where a separate classifier had 0.487 after 8: the range begins at -6, and the rate was
lowered. After 600 steps, separate linear classifiers at -12, -9, -7, -6, -5 had 0.470, 0.469, 0.465, 0.459, 0.449. A
training of the hypernetwork took 40 seconds and of a linear classifier 16 to 19, with hidden units 52 and 23 to 26, on
a busy machine.

Not known before: the spread over seeds and training images, the test losses, and hidden units after 30 epochs.

Changed on 2026-11-29, before any run of the grid, for time: a process trains the hypernetwork of a seed once, and
measures it at the decays of its runs, where each run was to train it anew. Two workers train it twice. Its training
does not depend on the decay of the evaluation, so the numbers, the rules and the predictions are those that were
registered; `training_seconds` is the time of the training that a row shares.
"""

import dataclasses
import functools

import numpy as np

from keras_hypernet.experiments.claims import better, held, matches, measured_by
from keras_hypernet.experiments.experiment import Drawing, Measurement, curve, grid, measure_splits, train
from keras_hypernet.tasks import DecayResponseTask
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model

HIDDEN_UNITS = {"linear": 0, "hidden": 32}  # of the classifier, by the second word of a panel
_SHOWN = -4.0  # the logarithm of the decay in the curve of a hypernetwork
_RATES = {"hyper": 0.0003, "separate": 0.001, "constant": 0.001}
LABELS = {"hyper": "hypernetwork", "separate": "separate classifiers", "constant": "constant"}


def measure(task, method, recipe):
    """Trains, and measures the losses at the decay of the task.

    A process trains the hypernetwork of a seed once, and measures it at all decays. The row also has
    `training_seconds`, the time of the epochs, with their validation; the curve of a hypernetwork has the validation
    loss at the logarithm -4.
    """
    if method == "constant":
        counts = np.bincount(task.load("train")[1], minlength=task.num_outputs)
        losses = -np.log((counts + 1) / (counts + 1).sum())  # finite for a class without an image, too
        measured = {split: float(losses[task.load(split)[1]].mean()) for split in ("validation", "test")}
        curves = {"loss": [float((losses * counts).sum() / counts.sum())]}
        return {**measured, "training_seconds": 0.0, "curve": curves}
    if method == "hyper":
        weights, history = _response(dataclasses.replace(task, log_decay=_SHOWN), recipe)
        model = build_model(task, method, recipe)
        model.set_weights(weights)
    else:
        model, history = train(task, method, recipe)
    seconds = round(sum(epoch["seconds"] for epoch in history), 2)
    return {**measure_splits(model, task), "training_seconds": seconds, "curve": curve(history)}


@functools.lru_cache(maxsize=len(HIDDEN_UNITS))  # the runs of a seed alternate between the panels
def _response(task, recipe):
    """The weights of the hypernetwork, which are the same for all decays, and its history."""
    model, history = train(task, "hyper", recipe)
    return model.get_weights(), history


@grid(
    title="Learned responses to the weight decay: validation losses against the logarithm of the decay",
    varies="log_decay",
    values=(-6, -5, -4, -3, -2, -1),
    panels=("mnist_linear", "mnist_hidden"),
    methods=("hyper", "separate", "constant"),
    fixed={"constant": -4},
    drawing=Drawing(labels=LABELS, measured="validation", vertical="validation cross-entropy"),
    quick_panels=("digits_linear",),
    quick_values=(-4, -2),
    measure=Measurement(measure, also=("training_seconds",)),
)
def hyperparameter_response(panel, method, value, seed, quick):
    """Ours: the loss along a learned response to the weight decay, and of a classifier for each decay.

    The varied quantity is the natural logarithm of the decay. Panels are a linear classifier and one of 32 hidden
    units. All methods see the same 1,000 images, which the seed chooses, 30 epochs of ten passes. The hypernetwork is
    the same for all decays of a seed: its rows differ in the decay at which it is measured. The constant predicts the
    frequencies of the classes. Expected: the losses along the response are those of separate classifiers, in the time
    of fewer than the six of them. Takes about 20 or 40 seconds a training of the hypernetwork and 10 of a separate
    classifier, ten minutes in all on two cores.
    """
    data, kind = panel.split("_")
    task = DecayResponseTask(
        data, float(value), HIDDEN_UNITS[kind], 200 if quick else 1000, seed=seed, response=method == "hyper"
    )
    epochs = 1 if method == "constant" else 2 if quick else 30
    step = {"optimizer": "adam", "learning_rate": _RATES[method], "batch_size": 100}
    return task, Recipe(width=16, depth=3, epochs=epochs, seed=seed, **step)


# By experiment and claim: the rule of its verdict, and the predicted verdict in each panel.
_PANELS = hyperparameter_response.panels
REGISTERED = {
    "hyperparameter_response": {
        "Lorraine and Duvenaud: validation losses along a learned response are those of separately trained models.": (
            held(measured_by(matches("hyper", "separate"), "validation"), "constant"),
            {"mnist_linear": "reproduced", "mnist_hidden": "partly"},
        ),
        "Ours: at the decay that validation prefers, the response has the test loss of separately trained models.": (
            held(matches("hyper", "separate", at_best=True), "constant"),
            dict.fromkeys(_PANELS, "reproduced"),
        ),
        "Ours: a response takes less training time than six separate classifiers.": (
            measured_by(better("hyper", "separate", wide=6.0), "training_seconds"),
            dict.fromkeys(_PANELS, "reproduced"),
        ),
    },
}
