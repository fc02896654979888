"""Ours: whether Fig. 1(a) depends on what the paper leaves open, the target's width and weights and the epochs.

    keras-hypernet experiment synthetic_sensitivity --workers 2 --out runs

Panels change one choice of `synthetic_depth` with the family `inner` each: the width of h (100 or 1,000 for 300), the
gain of its hidden kernels (10 for 1, so that 20% of the variance of y is due to I, not 0.1%), the epochs (60 for 30).
Expected: the method that is better there is so here. Takes about 100 seconds a run, forty minutes in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.experiments.synthetic_depth import QUICK
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe

CHANGES = {
    "width_100": {"hidden_units": 100},
    "width_1000": {"hidden_units": 1000},
    "gain_10": {"gain": 10.0},
    "epochs_60": {},
}


def setup(panel, method, value, seed, quick):
    """As in `synthetic_depth`, but for what the panel changes."""
    task = SyntheticTask("inner", seed=seed, **CHANGES[panel], **(QUICK if quick else {}))
    epochs = 2 if quick else 60 if panel == "epochs_60" else 30
    return task, paper_recipe(task, depth=value, seed=seed, epochs=epochs)


EXPERIMENT = Experiment(
    name="synthetic_sensitivity",
    figure="ours",
    title="Synthetic targets, other choices: test MSE against the number of layers",
    varies="depth",
    values=(3, 6),
    panels=tuple(CHANGES),
    seeds=3,
    setup=setup,
    quick_panels=("width_100", "gain_10"),
    quick_values=(3,),
)
