"""Appendix, Assumption 2: one more neuron is strictly better. The error of a shallow network against its width.

    keras-hypernet experiment assumption_2 --workers 2 --out runs

A network of one hidden layer of 1..29 units (ELU) tells the class of an image, trained for 5 epochs on the squared
error to one-hot labels with Adadelta at the rate 1, batch 64. The paper: the error falls with every neuron that is
added. Takes about ten seconds a run, a quarter of an hour in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import ClassificationTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The paper's recipe; the quick grid has fewer epochs."""
    task = ClassificationTask(panel)
    return task, paper_recipe(task, width=value, seed=seed, **({"epochs": 3} if quick else {}))


EXPERIMENT = Experiment(
    name="assumption_2",
    figure="appendix",
    title="Classification by one hidden layer: test error against its width",
    varies="width",
    values=tuple(range(1, 30)),
    panels=("mnist", "cifar10"),
    methods=("network",),
    seeds=3,
    setup=setup,
    quick_panels=("digits",),
    quick_values=(1, 8, 16),
)
