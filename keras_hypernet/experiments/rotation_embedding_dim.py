"""Appendix: the error of predicting rotations against the embedding dimension, on MNIST and CIFAR-10, depth 3.

    keras-hypernet experiment rotation_embedding_dim --workers 2 --out runs

The embedding dimension is 10,000 i, i = 1..8. For the hypernetwork, whose f has no such dimension, the width of its
last hidden layer is 100 i, a choice of this project in analogy to Fig. 1(b). The paper: the embedding method does not
improve with the embedding dimension. Takes about two minutes a run, two hours in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import RotationTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The paper's recipe at depth 3; the quick grid has fewer epochs."""
    task = RotationTask(panel)
    size = {"rank": 100 * value} if method == "hyper" else {"embedding_dim": 10_000 * value}
    return task, paper_recipe(task, depth=3, seed=seed, **size, **({"epochs": 2} if quick else {}))


EXPERIMENT = Experiment(
    name="rotation_embedding_dim",
    figure="appendix",
    title="Predicting rotations: test error against the embedding dimension",
    varies="index",
    values=tuple(range(1, 9)),
    panels=("mnist", "cifar10"),
    seeds=3,
    setup=setup,
    quick_panels=("digits",),
    quick_values=(1, 2),
)
