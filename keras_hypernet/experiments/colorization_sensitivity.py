"""Ours: whether the colorization experiment depends on what the paper leaves open.

    keras-hypernet experiment colorization_sensitivity --workers 2 --out runs

Panels change one choice of `colorization_depth` each: the pixels of an image and epoch (256 for 64), the dimension of
the embedding (1,000 for 63, of the embedding method alone), the epochs (30 for 10), the learning rate (0.03162 for
0.01). Expected: the method that is better there is so here. Takes about half a minute a run, a quarter of an hour in
all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import ColorizationTask
from keras_hypernet.training.recipe import paper_recipe

POINTS = {"points_256": 256}
CHANGES = {
    "points_256": {},
    "dimension_1000": {"embedding_dim": 1000},
    "epochs_30": {"epochs": 30},
    "rate_0.03162": {"learning_rate": 0.03162},
}


def setup(panel, method, value, seed, quick):
    """As in `colorization_depth`, but for what the panel changes."""
    task = ColorizationTask("patches" if quick else "cifar10", num_points=POINTS.get(panel, 64))
    return task, paper_recipe(task, depth=value, seed=seed, **{**CHANGES[panel], **({"epochs": 2} if quick else {})})


EXPERIMENT = Experiment(
    name="colorization_sensitivity",
    figure="ours",
    title="Predicting colours, other choices: test MSE against the number of layers",
    varies="depth",
    values=(3, 6),
    panels=tuple(CHANGES),
    seeds=3,
    setup=setup,
    quick_panels=("points_256", "rate_0.03162"),
    quick_values=(3,),
)
