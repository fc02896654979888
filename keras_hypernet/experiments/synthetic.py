"""Synthetic targets: Fig. 1, and our checks of it."""

import numpy as np

from keras_hypernet.experiments.experiment import DEPTHS, INDICES, SENSITIVITY, Drawing, Measurement, grid, rounded
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe

_QUICK = {"dim": 50, "num_train": 2000, "num_validation": 500, "num_test": 500}
_BLOCKS = 20  # of the jackknife
_VARIANTS = {
    "text": {},
    "glorot": {"weights": "glorot"},
    "gain_10": {"gain": 10.0},
    "normal": {"weights": "normal"},
    "centred": {"family": "centred"},
}
_CHANGES = {
    "width_100": {"hidden_units": 100},
    "width_1000": {"hidden_units": 1000},
    "gain_10": {"gain": 10.0},
    "epochs_60": {},
}


def _least_squares(task, method, recipe):
    def columns(examples):
        parts = [examples["x"]] if method == "linear_x" else [examples["x"], examples["condition"]]
        return np.concatenate([*parts, np.ones_like(examples["y"])], axis=1, dtype="float64")

    train, test = task.load("train"), task.load("test")
    inputs = columns(train)
    # The columns are independent draws, so the normal equations are well conditioned.
    weights = np.linalg.solve(inputs.T @ inputs, inputs.T @ train["y"].astype("float64"))

    def error(examples):
        return rounded(np.mean(np.square(columns(examples) @ weights - examples["y"])))

    return {
        "test": error(test),
        "validation": error(task.load("validation")),
        "variance_of_y": rounded(np.var(test["y"], dtype="float64")),
        "curve": {"loss": [error(train)]},
    }


def _share(task, method, recipe):
    """The share of a part in the variance of y, with the standard error of the jackknife over blocks of conditions."""
    values = task.network()(task.load("test")["condition"]).astype("float64")
    blocks = np.array_split(values, _BLOCKS)
    sums = np.array([block.sum(axis=0) for block in blocks])
    squares = np.array([np.square(block).sum() for block in blocks])
    sizes = np.array([len(block) for block in blocks])

    def share(left_out):
        number = len(values) - sizes[left_out].sum()
        mean = (sums.sum(axis=0) - sums[left_out].sum(axis=0)) / number
        total = (squares.sum() - squares[left_out].sum()) / number
        interaction = (total - mean @ mean) * number / (number - 1)
        # The square of a mean of samples exceeds the square of the expectation by the variance of the mean.
        of_x = max(mean @ mean - interaction / number, 0.0)
        parts = {"of_x": of_x, "of_condition": 0.0, "of_both": interaction}
        return parts[method] / (of_x + interaction), of_x + interaction

    test, variance = share([])
    without = np.array([share([block])[0] for block in range(_BLOCKS)])
    error = np.sqrt((_BLOCKS - 1) * np.mean(np.square(without - without.mean())))
    measured = {"test": test, "validation": test, "variance_of_y": variance, "standard_error": error}
    return {name: rounded(value) for name, value in measured.items()} | {"curve": {"loss": [float(test)]}}


@grid(
    figure="Fig. 1(a)",
    title="Synthetic targets: test MSE against the number of layers",
    **DEPTHS,
    panels=("inner", "hadamard", "concat"),
    quick_panels=("inner",),
    quick_values=(2, 3),
)
def synthetic_depth(panel, method, value, seed, quick):
    """Fig. 1(a): the error against the depth of f and of e.

    x and I have 1,000 dimensions, hidden layers of f and e 100 units, the embedding 10,000 dimensions. Each seed draws
    its target, samples and initial weights. Panels are families of targets: `inner` is the figure's, `hadamard` and
    `concat` are the appendix's, in this project's definition. The paper: the hypernetwork is better from three layers
    on, and improves with the depth of f; the embedding method does not improve with the depth of e. Takes about a
    minute a run, two hours on two cores.
    """
    task = SyntheticTask(panel, seed=seed, **(_QUICK if quick else {}))
    return task, paper_recipe(task, depth=value, seed=seed, **({"epochs": 2} if quick else {}))


@grid(
    figure="Fig. 1(b)",
    title="Synthetic targets: test MSE against the embedding dimension",
    **INDICES,
    panels=("inner", "inner_deeper"),
    quick_panels=("inner",),
)
def synthetic_embedding_dim(panel, method, value, seed, quick):
    """Fig. 1(b): the error against the embedding dimension.

    x and I have 100 dimensions. For i = 1..8, f has the sizes 100, 100, 100 i and the number of weights of g; e has the
    sizes 100, 100, 100 and 1,000 i. The paper's text says both 100 i and 1,000 i for the embedding dimension; its
    caption and the sizes of e say 1,000 i, the value here. In the panel `inner_deeper`, f has a width of 100 and 2 + i
    layers instead. The paper: the embedding method does not improve with its dimension, and is worse than hypernetworks
    with a deeper or wider f. Takes about 45 seconds a run, an hour in all on two cores.
    """
    family, _, deeper = panel.partition("_")
    task = SyntheticTask(family, seed=seed, **{"dim": 100, **(_QUICK if quick else {})})
    size = {"depth": 3, "embedding_dim": 1000 * value}
    if method == "hyper":
        size = {"depth": 2 + value} if deeper else {"depth": 3, "rank": 100 * value}
    return task, paper_recipe(task, seed=seed, **size, **({"epochs": 2} if quick else {}))


@grid(
    title="Synthetic targets, other choices: test MSE against the number of layers",
    **SENSITIVITY,
    panels=tuple(_CHANGES),
    quick_panels=("width_100", "gain_10"),
)
def synthetic_sensitivity(panel, method, value, seed, quick):
    """Ours: whether Fig. 1(a) depends on the choices that the paper leaves open.

    Each panel changes one choice of `synthetic_depth` with the family `inner`: the width of h (100 or 1,000 instead of
    300), the gain of its hidden kernels (10 instead of 1, so that I explains 20% of the variance of y instead of 0.1%),
    or the epochs (60 instead of 30). Expected: the same method is better as in Fig. 1(a). Takes about 100 seconds a
    run, forty minutes in all on two cores.
    """
    task = SyntheticTask("inner", seed=seed, **_CHANGES[panel], **(_QUICK if quick else {}))
    epochs = 2 if quick else 60 if panel == "epochs_60" else 30
    return task, paper_recipe(task, depth=value, seed=seed, epochs=epochs)


@grid(
    title="Synthetic targets: test MSE of linear models",
    varies="dim",
    values=(100, 1000),
    panels=("inner", "hadamard", "concat", "inner_gain_10"),
    methods=("linear_x", "linear_both"),
    drawing=Drawing(log_x=True),
    quick_panels=("inner",),
    quick_values=(20, 50),
    measure=Measurement(_least_squares, also=("variance_of_y",)),
)
def synthetic_baseline(panel, method, value, seed, quick):
    """Ours: the errors of linear models, of x alone and of x and I, by least squares.

    Targets and samples are those of Fig. 1, and `inner` with the gain 10; of 100 and of 1,000 dimensions. A linear
    model of x cannot use I: a method with a larger error has learned nothing of the condition. The recipe holds only
    the seed. Expected: the linear model of x is far from y. Takes about three seconds a run, two minutes in all on two
    cores.
    """
    family, _, gain = panel.partition("_gain_")
    changes = {**(_QUICK if quick else {}), "dim": value, **({"gain": float(gain)} if gain else {})}
    task = SyntheticTask(family, seed=seed, **changes)
    return task, paper_recipe(task, seed=seed, epochs=1)


@grid(
    title="Fig. 1's target: what x alone, I alone and their interaction explain of the variance",
    varies="dim",
    values=(100, 1000),
    panels=tuple(_VARIANTS),
    methods=("of_x", "of_condition", "of_both"),
    drawing=Drawing(log_x=True, vertical="share of Var(y)"),
    quick_panels=("centred",),
    quick_values=(20, 50),
    measure=Measurement(_share, also=("variance_of_y", "standard_error")),
)
def synthetic_variance(panel, method, value, seed, quick):
    """Ours: the parts of the variance of Fig. 1's target that x alone, I alone, and their interaction explain.

    The panel `text` is the target as the paper's text has it, with this project's usual initial weights; the others
    change the weights of h: Glorot's without biases, a gain of 10, standard normal, or centred outputs (the family
    `centred`). x has the mean zero and unit variance, and is independent of I: x alone explains `|E h(I)|^2`, I alone
    nothing, the interaction the rest, the total variance of h(I). `test` is the share of Var(y), by Monte Carlo over
    20,000 conditions; `standard_error` its standard error. Expected: x alone explains nearly all. Takes about ten
    seconds a run, a quarter of an hour in all on two cores.
    """
    conditions = {"num_test": 500 if quick else 20_000}
    task = SyntheticTask(seed=seed, **{**_VARIANTS[panel], "dim": value, **conditions})
    return task, paper_recipe(task, seed=seed, epochs=1)
