"""Continual learning with a hypernetwork (von Oswald et al., 2020): tasks one after another, without earlier data.

A hypernetwork of chunks writes the network of each task from a vector of the task, and a regularizer keeps the weights
that it has written for the tasks before; against the same hypernetwork without the regularizer, one network that is
fine-tuned, and elastic weight consolidation. Published numbers and settings are those of the code of Henning et al.
("Posterior Meta-Replay for Continual Learning", 2021) for a network of two layers of 100 units, and for polynomials
those of von Oswald et al.; all are of one seed.

Scenario: each task has outputs of its own (two for split digits, ten for permuted ones). Task known: the number of the
task is given. Task inferred: an image belongs to the task under which the outputs have the least entropy, and is wrong
if the task or the class is wrong.

What differs from the published code: generated heads have the outputs of one task, instead of all with a mask; each
weight has chunks of its own, which are shared by the tasks (permuted: there they belong to a task); pixels are
standardized; gradients of permuted digits are not clipped; images of a step are drawn with replacement; 5,000 training
images are held out. The published loss is a sum over the training images, ours the mean, so the published strength is
divided by their number. Elastic weight consolidation uses 500 examples of a task and no prior of the first task. On
permuted digits it has the rate and strength of split digits: none are published for a network of this size. For
polynomials, the published code looks one step ahead in the regularizer, and trains only the vector of the current task,
by the loss of this task; our code trains all vectors by the whole loss. The polynomials' points are the same in all
runs, so their standard deviations are over initial weights and batches alone.

Registered on 2026-11-28, before any run of the grids: the grids, and `REGISTERED`, the rules and predictions.
Registered again on 2026-11-29: the settings of the hypernetwork on digits, and the prediction of its error on permuted
digits with the task known, which is now "partly" instead of "not". Changed later that day, before any run of the
permuted digits: to save time, they run only with the published 5,000 steps.

The first settings did not reproduce the published errors: three seeds of `split` with 5,000 steps had 1.72% with the
task known and 57% with the task inferred. Nothing was forgotten, but each task was learned less well. The cause was
found by test errors of single runs, compared with hypnettorch, the authors' library, in their settings. The settings of
today are the published ones; no value was tuned. No script repeats these single runs: with 1,000 steps seed 0 has 0.55%
with the settings of today, and with one difference each: 1.0% if the strength is not divided by the number of images;
1.9% if a chunk holds the kernel of some pixels for all units, instead of that of some units for all pixels; 4.8% if
initial weights keep the variance of activations; 1.3% if the vectors of chunks have the standard deviation one instead
of 0.1; 0.65% if biases are linear in the vector of the task. With 5,000 steps seed 0 has 0.34%, and 39% inferred; with
Adam's epsilon divided by the number of images, like the loss, 0.30% and 43%.

Searched after the runs, by `benchmarks/continual_errors.py`: on `permuted`, with one seed, hypnettorch has 4.93% and
24.8% with the published settings. With three settings of ours, chunk embeddings that the tasks share, gradients that
are not clipped and standardized pixels, it has 5.80% and 34.4%. These settings explain the error with the task
inferred, and half of the difference with the task known. On `split`, three seeds of hypnettorch have 36% to 43% with
the task inferred and the published settings: the published error is near the lowest of these.

Known before the first registration, from single runs of seed 0: the three polynomials with 4,000 steps, 0.0053, 0.0008
and 0.0024, and with 300 steps 0.50, 1.03 and 0.04; elastic weight consolidation on the polynomials with 300 steps: 3.8,
2.8 and 0.03. Known before the second one: the first rows of `split`, and of `permuted` three tasks with 500 steps,
10.3% wrong with the task known and 20.7% with the task inferred. Not known: all ten permuted tasks, and the spread over
seeds.
"""

from dataclasses import replace

import keras
import numpy as np

from keras_hypernet.continual import DigitSequence, PolynomialSequence
from keras_hypernet.continual.sequences import METHODS
from keras_hypernet.experiments.claims import better, held, measured_by, reaches
from keras_hypernet.experiments.experiment import Drawing, Measurement, curve, grid, measure_splits, rounded
from keras_hypernet.training.loop import fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model

LABELS = {
    "hyper": "hypernetwork, regularized",
    "unregularized": "hypernetwork, not regularized",
    "finetune": "fine-tuned network",
    "ewc": "elastic weight consolidation",
    "constant": "constant",
}
# Published shares of wrong classes by panel, with the task known and inferred, and errors of the three polynomials.
KNOWN = {"split": 0.0028, "permuted": 0.0495}
INFERRED = {"split": 0.3659, "permuted": 0.2416}
EWC_KNOWN, EWC_INFERRED = {"split": 0.0221}, {"split": 0.5339}
FINETUNE_KNOWN = {"permuted": 0.5211}
POLYNOMIALS = (0.00419, 0.00239, 0.00607)
_ORDINALS = ("first", "second", "third")
# By panel: fields of the sequence, and of the hypernetwork.
_PANELS = {
    "split": ({"protocol": "split", "batch": 32, "num_tasks": 5}, {"strength": 10 / 12_000}),
    "permuted": (
        {"protocol": "permuted", "batch": 128, "num_tasks": 10},
        {"strength": 250 / 60_000, "chunk": 750, "chunk_dim": 16, "hidden": (100, 100)},
    ),
}
_EWC_STRENGTH = 10.0


def _recipe(task, rate, seed):
    """The recipe of a sequence: an epoch for each task, a row of points for each step."""
    sizes = {"width": 100, "batch_size": 1, "epochs": task.num_tasks, "seed": seed}
    return Recipe(optimizer="adam", learning_rate=rate, **sizes)


def measure(task, method, recipe):
    """Learns the tasks of a sequence one after another, and measures the errors on all of them.

    The row has `known`, the error of each task after the last; `learned`, the error of each right after its steps; and
    `forgotten`, the mean increase of the errors of earlier tasks, at least zero. For digits also `inferred`; for
    polynomials `first`, `second` and `third`, the error of each.
    """
    row = _constant(task) if method == "constant" else _learn(task, method, recipe)
    return {**row, **dict(zip(_ORDINALS, row["known"], strict=True))} if task.metric == "mse" else row


def _learn(task, method, recipe):
    model, after = build_model(task, method, recipe), []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after.append(task.errors(model, "test")))
    history = fit(model, task, recipe, progress=False, callbacks=[callback])
    known, learned = after[-1], [errors[number] for number, errors in enumerate(after)]
    forgotten = max(0.0, float(np.mean(np.subtract(known, learned)[:-1])))
    row = {
        **{split: rounded(error) for split, error in measure_splits(model, task).items()},
        "known": list(map(rounded, known)),
        "learned": list(map(rounded, learned)),
        "forgotten": rounded(forgotten),
        "parameters": sum(int(np.prod(variable.shape)) for variable in model.trainable_variables),
        "curve": {"loss": curve(history)["loss"], "first_task": [rounded(errors[0]) for errors in after]},
    }
    return row if task.metric == "mse" else {**row, "inferred": rounded(task.inferred(model, "test"))}


def _constant(task):
    """A row of the errors of a constant for each task: the most frequent class, or the mean."""
    errors = {"validation": [], "test": []}
    for number in range(task.num_tasks):
        train = task.examples("train", number)[1]
        constant = train.mean() if task.metric == "mse" else np.bincount(train).argmax()
        for split, of_tasks in errors.items():
            y = task.examples(split, number)[1]
            of_tasks.append(float(np.mean((y - constant) ** 2 if task.metric == "mse" else y != constant)))
    row = {split: rounded(np.mean(of_tasks)) for split, of_tasks in errors.items()}
    row |= {"known": list(map(rounded, errors["test"])), "forgotten": 0.0, "parameters": task.num_tasks}
    row |= {"curve": {"loss": [row["validation"]] * task.num_tasks}}
    # Without the number of the task, all images get one class of one task.
    inferred = rounded(1 - (1 - min(errors["test"])) / task.num_tasks)
    return row if task.metric == "mse" else {**row, "inferred": inferred}


@grid(
    title="Digits learned task after task: error on all tasks against the steps for each",
    varies="steps",
    values=(5000,),
    extra_values={"split": (2000,)},
    panels=("split", "permuted"),
    methods=(*METHODS, "constant"),
    drawing=Drawing(labels=LABELS, log_x=True, vertical="test error, task known"),
    quick_panels=("split_digits",),
    quick_values=(40,),
    measure=Measurement(measure, also=("inferred", "forgotten")),
)
def continual_digits(panel, method, value, seed, quick):
    """Published, and ours: the error on all tasks after the last one, against the steps for each task.

    Panels: `split`, MNIST in five tasks of two classes; `permuted`, ten tasks of ten classes, each with an order of the
    pixels of its own; both with two hidden layers of 100 units. The error is measured with the task known; rows also
    have the error with the task inferred by entropy. Published: with 5,000 steps 0.28% and 36.59% (split), 4.95% and
    24.16% (permuted); elastic weight consolidation with 2,001 steps 2.21% and 53.39% (split). Expected: the regularized
    hypernetwork forgets hardly anything; without the regularizer it forgets. Takes about a minute and a half a run of
    `split` and eight minutes of `permuted`, 20 minutes a seed and an hour and three quarters in all on two cores.
    """
    fields, generated = _PANELS[panel.removesuffix("_digits")]
    fields = {**fields, **(generated if method in ("hyper", "unregularized") else {"strength": _EWC_STRENGTH})}
    if quick:
        fields = {**fields, "num_tasks": 2, "batch": 32}
    task = DigitSequence("digits" if quick else "mnist", steps=value, **fields)
    return task, _recipe(task, 0.001 if panel.startswith("permuted") and method == "finetune" else 0.0005, seed)


@grid(
    title="Three polynomials learned one after another: error on all against the steps for each",
    varies="steps",
    values=(1000, 4000),
    panels=("polynomials",),
    methods=(*METHODS, "constant"),
    fixed={"constant": 1000},
    drawing=Drawing(labels=LABELS, log_x=True, vertical="test MSE"),
    quick_panels=("polynomials",),
    quick_values=(50,),
    measure=Measurement(measure, also=(*_ORDINALS, "forgotten")),
)
def continual_polynomials(panel, method, value, seed, quick):
    """Published, and ours: the errors of three polynomials, learned one after another, against the steps for each.

    The error is the mean over the polynomials; rows have the error of each. Published, of one seed with 4,001 steps:
    0.00419, 0.00239, 0.00607. Expected: the regularized hypernetwork reaches about these numbers, and forgets the
    first polynomial without the regularizer. Takes about a quarter of a minute a run, ten minutes in all on two cores.
    """
    strength = {"strength": _EWC_STRENGTH} if method == "ewc" else {}
    task = PolynomialSequence(steps=value, **strength)
    return task, _recipe(task, 0.01, seed)


# By experiment and claim: the rule of its verdict, and the predicted verdict in each panel.
_BOTH = dict.fromkeys(KNOWN, "reproduced")


def _least(other):
    """The rule for: the regularized hypernetwork has at most half the error of another method, at every value."""
    return better("hyper", other, wide=0.5, everywhere=True)


_CLAIMS = {
    "continual_digits": {
        "Henning et al.: with the task known, the regularized hypernetwork reaches the published error.": (
            reaches("hyper", KNOWN),
            {"split": "partly", "permuted": "partly"},
        ),
        "Henning et al.: with the task inferred by entropy, it reaches the published error, too.": (
            measured_by(reaches("hyper", INFERRED), "inferred"),
            {"split": "partly", "permuted": "not"},
        ),
        "Henning et al.: elastic weight consolidation reaches its published error, with the task known.": (
            replace(reaches("ewc", EWC_KNOWN), last=2000),
            {"split": "partly"},
        ),
        "Henning et al.: elastic weight consolidation reaches its published error, with the task inferred.": (
            measured_by(replace(reaches("ewc", EWC_INFERRED), last=2000), "inferred"),
            {"split": "partly"},
        ),
        "Von Oswald et al.: the regularizer at least halves the error on all tasks.": (_least("unregularized"), _BOTH),
        "Von Oswald et al.: the regularized hypernetwork has at most half the error of a fine-tuned network.": (
            _least("finetune"),
            _BOTH,
        ),
        "Von Oswald et al.: the regularized hypernetwork is better than elastic weight consolidation.": (
            better("hyper", "ewc", everywhere=True),
            _BOTH,
        ),
    },
    "continual_polynomials": {
        **{
            f"Von Oswald et al.: the error on the {field} polynomial reaches the published one.": (
                measured_by(reaches("hyper", {"polynomials": error}), field),
                {"polynomials": predicted},
            )
            for field, error, predicted in zip(_ORDINALS, POLYNOMIALS, ("not", "reproduced", "reproduced"), strict=True)
        },
        "Von Oswald et al.: on polynomials, the regularizer at least halves the error.": (
            _least("unregularized"),
            {"polynomials": "reproduced"},
        ),
    },
}
REGISTERED = {
    name: {text: (held(rule, "constant"), predicted) for text, (rule, predicted) in claims.items()}
    for name, claims in _CLAIMS.items()
}
