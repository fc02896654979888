"""Ours: Fig. 3 under a principled initialization, at a learning rate that suits it.

    keras-hypernet experiment initialization --workers 2 --out runs

He initialization in f and e, and hyperfan-in for the generated kernels (Chang et al., 2020). The learning rates are
those of the lowest mean validation error in the `_hyperfan` panels of the experiment `learning_rate`, at depth 4.
The runs under the authors' initialization that these are compared with are those of `rotation_depth`. Expected: the
hypernetwork is better by a wide margin at every depth; on MNIST it is, on CIFAR-10 neither method is. Takes about half
a minute a run on MNIST and two and a half minutes on CIFAR-10, two hours in all on two cores.
"""

import math
import statistics

from keras_hypernet.experiments.experiment import METHOD_LABELS, Drawing, Experiment
from keras_hypernet.tasks import RotationTask
from keras_hypernet.training.recipe import paper_recipe

LEARNING_RATES = {
    ("mnist", "hyper"): 0.01,
    ("mnist", "embed"): 0.01778,
    ("cifar10", "hyper"): 3.162e-05,
    ("cifar10", "embed"): 0.003162,
    ("digits", "hyper"): 0.01,
    ("digits", "embed"): 0.01,
}


def lowest_validation(rows):
    """The learning rates of lowest validation error, by data set and method, from rows of `learning_rate`.

    It is the mean over the seeds that counts, as in the figures: a rate at which only some of them train does not
    suit. A run without a result, as one that diverged, is infinitely bad.
    """
    groups = {}
    for row in rows:
        data, _, hyperfan = row["panel"].partition("_")
        if hyperfan:
            value = math.inf if row["validation"] is None else row["validation"]
            rates = groups.setdefault((data, row["method"]), {})
            rates.setdefault(row["learning_rate"], []).append(value)
    return {key: min(rates, key=lambda rate: statistics.fmean(rates[rate])) for key, rates in groups.items()}


def setup(panel, method, value, seed, quick):
    """The paper's recipe but for initialization and learning rate; the quick grid has fewer epochs."""
    task = RotationTask(panel)
    changes = {"initialization": "hyperfan_in", "learning_rate": LEARNING_RATES[panel, method]}
    return task, paper_recipe(task, depth=value, seed=seed, **changes, **({"epochs": 3} if quick else {}))


def series(row):
    """The lines of the figure: each method from both initializations."""
    return f"{METHOD_LABELS[row['method']]}, {'principled' if row['experiment'] == 'initialization' else 'authors'}"


EXPERIMENT = Experiment(
    name="initialization",
    figure="ours",
    title="Predicting rotations from a principled initialization: test error against the number of layers",
    varies="depth",
    values=tuple(range(2, 10)),
    panels=("mnist", "cifar10"),
    seeds=5,
    drawing=Drawing(also="rotation_depth", series=series),
    setup=setup,
    quick_panels=("digits",),
    quick_values=(2, 4),
)
