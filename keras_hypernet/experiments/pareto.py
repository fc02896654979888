"""Learning a Pareto front with a hypernetwork, from preferences among objectives to solutions (Navon et al., 2021).

A hypernetwork reads the preference and writes the solution. Training minimizes the scalarized objectives of random
preferences: their weighted sum, or the greatest weighted objective, the Chebyshev rule. The second was chosen since it
finds every point of a front, also of a concave one, and takes no other problem to solve in each step, as exact
Pareto-optimal search (EPO) does. The published numbers are mean distances of three convex problems. The code of the
later methods (Tuan et al., 2023) measures the distance from the optimum of each preference, and not that from the
nearest point of the front, which is smaller: here the former counts, and rows have both. That code evaluates
preferences whose weights are all at least 0.16: the published numbers are compared with the distance at these, `inner`.

Registered on 2026-11-28, before any run of the grids: the grids, and `REGISTERED`, the rules and predictions.
Changed on 2026-11-29, still before any run: the published numbers are compared with `inner` instead of the distance at
all preferences; the lattice of test preferences and the search for optima of `sphere` are finer.

Known before, from runs of one seed (linear, Chebyshev): on `line` after 60 epochs, with 20 units 0.013 and 0.011, with
100 units 0.0037 and 0.0048; on `plane` after 60 epochs, with 20 units 0.027 and 0.015, with 100 units 0.0036 (linear),
and after the 200 epochs of the grid 0.0028; on `sphere` with 20 units after 60 epochs at the rate 0.01, 0.0024 and
0.029, with 100 units after 40 epochs 0.0022 and 0.013; on `concave` with 100 units after 40 epochs 0.0017 and 0.023,
and gaps of 0.26 and 0.0070. Epochs and rate were chosen among these runs. On overlaid MNIST digits with 20 hidden units
after 4 epochs, linear scalarization missed 1.61 of the hypervolume, and recognized 88% (first) and 85%
(second) of images.

Not known before: the spread over seeds, the other errors after 200 epochs, the separate networks, the Chebyshev rule on
digits of MNIST, and 100 hidden units there.

Searched after the runs: why `plane` stays above the published distance. In the last five epochs of two seeds with 100
units, the validation distance goes up and down between 0.0010 and 0.0055: Adam's steps at a constant rate. At a tenth
of the rate it is steady, and seed 0 has `inner` 0.0014 instead of 0.0028, also after 600 epochs: nearly the published
0.0011. The published settings are not known in full.
"""

import dataclasses

import numpy as np

from keras_hypernet.experiments.claims import better, held, improves, measured_by, reaches
from keras_hypernet.experiments.experiment import Drawing, Measurement, curve, grid, measure_splits, rounded, train
from keras_hypernet.tasks import OverlaidDigitsTask, ParetoTask
from keras_hypernet.tasks.overlaid_digits import losses_of
from keras_hypernet.tasks.pareto import PROBLEMS, RULES, front_distance, gaps, hypervolume, scalarize
from keras_hypernet.training.recipe import Recipe

# Mean distances from the optimum, or the front, by linear scalarization, and the best of later methods.
PUBLISHED = {"line": 0.0042, "plane": 0.0011, "sphere": 0.0494}
PUBLISHED_BEST = {"line": 0.0017, "sphere": 0.0201}
CONSTANTS = {f"constant_{rule}": rule for rule in RULES}
LABELS = {
    "linear": "hypernetwork, linear",
    "chebyshev": "hypernetwork, Chebyshev",
    "separate": "separate networks",
    "constant": "constant",
    "constant_linear": "constant, linear",
    "constant_chebyshev": "constant, Chebyshev",
}
_INNER = 0.16  # the least weight of the preferences that the later authors' code evaluates
REFERENCE = (2.0, 2.0)  # losses beyond these dominate nothing
SEPARATE = (0.1, 0.3, 0.5, 0.7, 0.9)  # weights of the first loss; a network is trained for each
_DENSE = np.linspace(0.02, 0.98, 25)


def measure_toy(task, method, recipe):
    """Trains on a problem of `ParetoTask`, and measures the distances from the optima and from the front.

    The row also has `inner`, the distance at preferences whose weights are all at least 0.16; `front`, the distance
    from the nearest point of the front; `gaps`, the distance of each point of the front from the nearest objectives;
    and `objectives`, the objectives of each preference of the test split. A constant is the optimum of equal weights.
    """
    facts, preferences = PROBLEMS[task.problem], task.preferences("test")
    optima = {split: task.optima(task.preferences(split)) for split in ("validation", "test")}
    if method in CONSTANTS:
        constant = task.optima(np.full((1, facts.num), 1 / facts.num))
        objectives = np.repeat(constant, len(preferences), axis=0)
        measured = {split: np.linalg.norm(constant - each, axis=1).mean() for split, each in optima.items()}
        curves = {"loss": [rounded(scalarize(task.rule, objectives, preferences).mean())]}
    else:
        model, history = train(task, method, recipe)
        examples = task.load("test")
        solutions = model({name: examples[name] for name in ("x", "condition")})
        objectives = facts.objectives(np.asarray(solutions, "float64"), np)
        measured = measure_splits(model, task)
        curves = {**curve(history), "validation_distance": [rounded(epoch["val_distance"]) for epoch in history]}
    inner = (preferences >= _INNER).all(axis=1)
    front = task.front()
    return {
        **{split: rounded(value) for split, value in measured.items()},
        "inner": rounded(np.linalg.norm(objectives - optima["test"], axis=1)[inner].mean()),
        "front": rounded(front_distance(objectives, front)),
        "gaps": rounded(gaps(objectives, front)),
        "objectives": [list(map(rounded, each)) for each in objectives],
        "curve": curves,
    }


def measure_digits(task, method, recipe):
    """Trains on overlaid digits; measures the missed hypervolume of the losses at the preferences `SEPARATE`.

    For a hypernetwork the row also has `dense`, the missed hypervolume with 25 preferences. The row has the losses and
    the accuracies of both labels at each preference.
    """
    if method == "constant":
        loss = float(np.log(10))
        losses = {split: [(loss, loss)] * len(SEPARATE) for split in ("validation", "test")}
        return {**_missed(losses), "curve": {"loss": [rounded(loss)]}, "metric": "missed hypervolume"}
    plain = dataclasses.replace(task, preference=None)
    batches = {split: list(plain.evaluation_dataset(split)) for split in ("validation", "test")}
    if method == "separate":
        tasks = [dataclasses.replace(task, preference=preference) for preference in SEPARATE]
        networks, histories = zip(*(train(each, method, recipe) for each in tasks), strict=True)
        epochs = zip(*histories, strict=True)
        curves = {"loss": [rounded(np.mean([epoch["loss"] for epoch in of_tasks])) for of_tasks in epochs]}
        extra = {}
    else:
        model, history = train(task, method, recipe)
        curves = curve(history)
        networks = [_under(model, weight) for weight in SEPARATE]
        dense = [_losses(_under(model, weight), batches["test"])[0] for weight in _DENSE]
        extra = {"dense": rounded(4 - hypervolume(np.array(dense), REFERENCE))}
    measured = {split: [_losses(network, each) for network in networks] for split, each in batches.items()}
    losses = {split: [each for each, _ in parts] for split, parts in measured.items()}
    accuracies = [list(map(rounded, each)) for _, each in measured["test"]]
    return {**_missed(losses), **extra, "accuracies": accuracies, "curve": curves, "metric": "missed hypervolume"}


def _missed(losses):
    missed = {split: rounded(4 - hypervolume(np.array(each), REFERENCE)) for split, each in losses.items()}
    return {**missed, "losses": [list(map(rounded, each)) for each in losses["test"]]}


def _under(model, weight):
    """The function of x under one preference, whose weights are written once."""
    weights = model.generate(np.array([[weight, 1 - weight]], "float32"))
    return lambda x: model.apply(x, weights)


def _losses(network, batches):
    """The mean cross-entropies of both labels on the batches of a split, and their accuracies."""
    losses, right, number = 0.0, 0.0, 0
    for inputs, y in batches:
        logits = network(inputs["x"])
        losses = losses + np.asarray(losses_of(y[:, :2], logits)).sum(axis=0, dtype="float64")
        predicted = np.asarray(logits).reshape(-1, 2, 10).argmax(axis=2)
        right = right + (predicted == np.asarray(y[:, :2])).sum(axis=0)
        number += len(predicted)
    return tuple(losses / number), tuple(right / number)


@grid(
    title="Pareto fronts of four problems: distance from the optimum against the width of f",
    varies="width",
    values=(20, 100),
    panels=tuple(PROBLEMS),
    methods=(*RULES, *CONSTANTS),
    fixed=dict.fromkeys(CONSTANTS, 20),
    drawing=Drawing(labels=LABELS, log_x=True, log_y=True, vertical="mean distance from the optimum"),
    quick_panels=("line", "concave"),
    quick_values=(20,),
    measure=Measurement(measure_toy, also=("inner", "front", "gaps")),
)
def pareto_toy(panel, method, value, seed, quick):
    """Published, and ours: the distance of the learned solutions from the exact optima, against the width of f.

    Panels are problems of `ParetoTask`; f has two hidden layers of `width` units. The error is the mean distance of the
    objectives from those of the exact optimum under each preference of a lattice. The paper: linear scalarization
    reaches 0.0042, 0.0011 and 0.0494 on the three convex problems, and later methods 0.0017 and 0.0201. Expected: with
    100 units both rules reach these numbers on `sphere`, the linear rule also on `line`; on `concave`, linear
    scalarization finds the two ends of the front alone, and the Chebyshev rule all of it. Takes about a minute a run,
    half an hour in all on two cores.
    """
    task = ParetoTask(panel, CONSTANTS.get(method, method), **({"num_train": 1000} if quick else {}))
    epochs = 1 if method in CONSTANTS else 2 if quick else 200
    step = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 100}
    return task, Recipe(width=value, depth=3, epochs=epochs, seed=seed, **step)


@grid(
    title="The front of two labels of overlaid digits: missed hypervolume against the hidden units of g",
    varies="primary_units",
    values=(20, 100),
    panels=("mnist",),
    methods=(*RULES, "separate", "constant"),
    fixed={"constant": 20},
    drawing=Drawing(labels=LABELS, log_x=True, vertical="missed hypervolume, of 4"),
    quick_panels=("digits",),
    quick_values=(20,),
    measure=Measurement(measure_digits),
)
def pareto_digits(panel, method, value, seed, quick):
    """Ours: the front of two labels of overlaid digits, against the hidden units of g.

    The condition is the preference between the losses of the two labels; f has two hidden layers of 32 units, and
    writes all weights of g. `separate` trains a network of the size of g for each of five preferences, which takes as
    many trainings. The error is the hypervolume that the losses on the test split miss, of the square up to (2, 2), at
    these five preferences. A network that ignores the image misses all of it, an area of 4. Expected: the hypernetwork
    comes close to the separate networks. Takes about two minutes a run, half an hour in all on two cores.
    """
    rule = method if method in RULES else "linear"
    task = OverlaidDigitsTask(panel, rule, SEPARATE[0] if method == "separate" else None)
    epochs = 1 if method == "constant" else 2 if quick else 20
    step = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 128}
    return task, Recipe(width=32, depth=3, primary_units=value, epochs=epochs, seed=seed, **step)


# By experiment and claim: the rule of its verdict, and the predicted verdict in each panel.
REGISTERED = {
    "pareto_toy": {
        "Navon et al.: linear scalarization reaches the published distances on the convex problems.": (
            held(measured_by(reaches("linear", PUBLISHED), "inner"), "constant_linear"),
            {"line": "reproduced", "plane": "not", "sphere": "reproduced"},
        ),
        "Later works: the Chebyshev rule reaches the best published distances.": (
            held(measured_by(reaches("chebyshev", PUBLISHED_BEST), "inner"), "constant_chebyshev"),
            {"line": "not", "sphere": "reproduced"},
        ),
        "Ours: the distance of linear scalarization falls with the width of f.": (
            held(dataclasses.replace(improves("linear"), panels=(*PUBLISHED,)), "constant_linear"),
            dict.fromkeys(PUBLISHED, "reproduced"),
        ),
        "Ours: of a concave front, the Chebyshev rule misses at most half as much as linear scalarization.": (
            dataclasses.replace(
                measured_by(better("chebyshev", "linear", wide=0.5, everywhere=True), "gaps"), panels=("concave",)
            ),
            {"concave": "reproduced"},
        ),
    },
    "pareto_digits": {
        "Ours: one hypernetwork misses less hypervolume of two labels than five networks, each of one preference.": (
            held(better("linear", "separate"), "constant"),
            {"mnist": "not"},
        ),
        "Ours: the Chebyshev rule misses less hypervolume of two labels than linear scalarization.": (
            held(better("chebyshev", "linear"), "constant"),
            {"mnist": "not"},
        ),
    },
}
