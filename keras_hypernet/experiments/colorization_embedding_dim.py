"""Appendix: the error of predicting colours against the embedding dimension, on CIFAR-10, at depth 3.

    keras-hypernet experiment colorization_embedding_dim --workers 2 --out runs

The embedding dimension is 1,000 i, and for the hypernetwork the width of f's last hidden layer 100 i, i = 1..8, as in
Fig. 1(b). The paper: the embedding method does not improve with the embedding dimension. Takes about forty seconds a
run, a quarter of an hour in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.tasks import ColorizationTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The recipe of the rotation experiment at depth 3; the quick grid has fewer epochs."""
    task = ColorizationTask(panel)
    size = {"rank": 100 * value} if method == "hyper" else {"embedding_dim": 1000 * value}
    return task, paper_recipe(task, depth=3, seed=seed, **size, **({"epochs": 2} if quick else {}))


EXPERIMENT = Experiment(
    name="colorization_embedding_dim",
    figure="appendix",
    title="Predicting colours: test MSE against the embedding dimension",
    varies="index",
    values=tuple(range(1, 9)),
    panels=("cifar10",),
    seeds=3,
    setup=setup,
    quick_panels=("patches",),
    quick_values=(1, 2),
)
