"""Fig. 3: the error of predicting rotations against the depth of f and of e, on MNIST and CIFAR-10.

    keras-hypernet experiment rotation_depth --workers 2 --out runs

The paper: the hypernetwork is better by a wide margin, and improves with the depth of f; the embedding method does not
improve with the depth of e. Takes about forty seconds a run on MNIST and two and a half minutes on CIFAR-10, two
hours in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import RotationTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The paper's recipe; the quick grid has fewer epochs."""
    task = RotationTask(panel)
    return task, paper_recipe(task, depth=value, seed=seed, **({"epochs": 3} if quick else {}))


EXPERIMENT = Experiment(
    name="rotation_depth",
    figure="Fig. 3",
    title="Predicting rotations: test error against the number of layers",
    varies="depth",
    values=tuple(range(2, 10)),
    panels=("mnist", "cifar10"),
    seeds=5,
    setup=setup,
    quick_panels=("digits",),
    quick_values=(2, 4),
)
