"""A worked example of Sec. 2: a conditional neural process, whose condition is a set of images, predicts rotations.

    keras-hypernet experiment neural_process --workers 2 --out runs

The condition is a set of `members` upright digits of the class of x, embedded one by one and averaged. Networks and
recipe are those of the embedding method of Fig. 3, at depth 2; the panel `mnist_hyperfan` starts from the principled
initialization, at the learning rate that suits the embedding method of one image there, at depth 4. Expected: four
digits of a class tell more of the angle of another one than a single digit does. Takes about two minutes a run, seven
for the panel `mnist_hyperfan`, fifty minutes in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.experiments.initialization import LEARNING_RATES
from keras_hypernet.tasks import RotationSetTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The recipe of the rotation experiment; the quick grid has fewer epochs."""
    data, _, hyperfan = panel.partition("_")
    task = RotationSetTask(data, members=value)
    changes = {"initialization": "hyperfan_in", "learning_rate": LEARNING_RATES[data, "embed"]} if hyperfan else {}
    return task, paper_recipe(task, depth=2, seed=seed, **changes, **({"epochs": 2} if quick else {}))


EXPERIMENT = Experiment(
    name="neural_process",
    figure="ours",
    title="A conditional neural process that predicts rotations: test error against the members of a set",
    varies="members",
    values=(1, 4),
    panels=("mnist", "mnist_hyperfan"),
    methods=("process",),
    seeds=5,
    setup=setup,
    quick_panels=("digits",),
    quick_values=(1, 4),
)
