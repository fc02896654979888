"""Appendix: the error of predicting colours against the depth of f and of e, on CIFAR-10.

    keras-hypernet experiment colorization_depth --workers 2 --out runs

The condition is the image in grey, x the places of 64 of its pixels, the target their colours on a scale of [-1, 1].
The paper: as for rotations, the hypernetwork is better by a wide margin. What its main text leaves open is this
project's choice: the number of pixels, the embedding dimension (63, as many as g has weights), epochs and learning rate
as for rotations. Takes about half a minute a run, a quarter of an hour in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import ColorizationTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The recipe of the rotation experiment; the quick grid has fewer epochs."""
    task = ColorizationTask(panel)
    return task, paper_recipe(task, depth=value, seed=seed, **({"epochs": 2} if quick else {}))


EXPERIMENT = Experiment(
    name="colorization_depth",
    figure="appendix",
    title="Predicting colours: test MSE against the number of layers",
    varies="depth",
    values=tuple(range(2, 10)),
    panels=("cifar10",),
    seeds=3,
    setup=setup,
    quick_panels=("patches",),
    quick_values=(2, 4),
)
