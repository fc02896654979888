"""Fig. 1(a): the error on synthetic targets against the depth of f and of e.

    keras-hypernet experiment synthetic_depth --workers 2 --out runs

x and I have 1,000 dimensions, f and e hidden layers of width 100, the embedding 10,000 dimensions. Panels are the
families of targets: `inner` is the figure's, `hadamard` and `concat` are the appendix's two, whose definition is this
project's. The paper: the hypernetwork is better at three layers and more, and improves with the depth of f; the
embedding method does not improve with the depth of e. Takes about a minute a run, two hours on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe

QUICK = {"dim": 50, "num_train": 2000, "num_validation": 500, "num_test": 500}


def setup(panel, method, value, seed, quick):
    """Target, samples and initial weights are drawn anew for each seed; the quick grid has fewer of all."""
    task = SyntheticTask(panel, seed=seed, **(QUICK if quick else {}))
    return task, paper_recipe(task, depth=value, seed=seed, **({"epochs": 2} if quick else {}))


EXPERIMENT = Experiment(
    name="synthetic_depth",
    figure="Fig. 1(a)",
    title="Synthetic targets: test MSE against the number of layers",
    varies="depth",
    values=tuple(range(2, 10)),
    panels=("inner", "hadamard", "concat"),
    seeds=5,
    setup=setup,
    quick_panels=("inner", "hadamard", "concat"),
    quick_values=(2, 3),
)
