"""Ours: what a linear model makes of the synthetic targets, from x alone and from x and I.

    keras-hypernet experiment synthetic_baseline --workers 2 --out runs

The targets and samples are those of Fig. 1: `inner`, `hadamard` and `concat`, and `inner` with the gain of 10 of
`synthetic_sensitivity`; of 100 and of 1,000 dimensions. Each row holds the variance of y, too. A model of x alone
cannot use I: whatever is worse than the best one has not learned what the condition says. Least squares, without any
training. Expected: what is linear in x alone is far from y. Takes about three seconds a run, two minutes in all on two
cores.
"""

import numpy as np

from keras_hypernet.experiments.experiment import Drawing, Experiment, Measurement
from keras_hypernet.experiments.synthetic_depth import QUICK
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The task of that dimension; the recipe says nothing but the seed."""
    family, _, gain = panel.partition("_gain_")
    changes = {**(QUICK if quick else {}), "dim": value, **({"gain": float(gain)} if gain else {})}
    task = SyntheticTask(family, seed=seed, **changes)
    return task, paper_recipe(task, seed=seed, epochs=1)


def measure(task, method, recipe):
    """Fits y by least squares on the training split, and measures the mean squared errors on the others."""

    def columns(examples):
        parts = [examples["x"]] if method == "linear_x" else [examples["x"], examples["condition"]]
        return np.concatenate([*parts, np.ones_like(examples["y"])], axis=1, dtype="float64")

    train = task.load("train")
    inputs = columns(train)
    # By the normal equations: the columns are independent draws, so that these are well conditioned.
    weights = np.linalg.solve(inputs.T @ inputs, inputs.T @ train["y"].astype("float64"))

    def error(examples):
        return float(f"{np.mean(np.square(columns(examples) @ weights - examples['y'])):.6g}")

    test = task.load("test")
    variance = float(f"{np.var(test['y'], dtype='float64'):.6g}")
    return {
        "test": error(test),
        "validation": error(task.load("validation")),
        "variance_of_y": variance,
        "curve": {"loss": [error(train)]},
    }


EXPERIMENT = Experiment(
    name="synthetic_baseline",
    figure="ours",
    title="Synthetic targets: test MSE of linear models",
    varies="dim",
    values=(100, 1000),
    panels=("inner", "hadamard", "concat", "inner_gain_10"),
    methods=("linear_x", "linear_both"),
    seeds=5,
    drawing=Drawing(log_x=True),
    setup=setup,
    quick_panels=("inner", "concat"),
    quick_values=(20, 50),
    measure=Measurement(measure, also=("variance_of_y",)),
)
