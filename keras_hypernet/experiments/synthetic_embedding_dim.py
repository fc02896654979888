"""Fig. 1(b): the error on synthetic targets against the embedding dimension.

    keras-hypernet experiment synthetic_embedding_dim --workers 2 --out runs

x and I have 100 dimensions. f has the sizes 100, 100, 100 i and the weights of g; e the sizes 100, 100, 100 and 1,000
i, i = 1..8. The text says both 100 i and 1,000 i for the dimension of the embedding; the caption and the sizes of e say
1,000 i, which is taken here. The paper: the embedding method does not improve with its dimension, and is worse than
hypernetworks with a deeper or wider f. Takes about 45 seconds a run, half an hour in all on two cores.
"""

from keras_hypernet.experiments.experiment import Experiment
from keras_hypernet.experiments.synthetic_depth import QUICK
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """Target, samples and initial weights are drawn anew for each seed; the quick grid has fewer of all."""
    task = SyntheticTask(panel, seed=seed, **{"dim": 100, **(QUICK if quick else {})})
    size = {"rank": 100 * value} if method == "hyper" else {"embedding_dim": 1000 * value}
    return task, paper_recipe(task, depth=3, seed=seed, **size, **({"epochs": 2} if quick else {}))


EXPERIMENT = Experiment(
    name="synthetic_embedding_dim",
    figure="Fig. 1(b)",
    title="Synthetic targets: test MSE against the embedding dimension",
    varies="index",
    values=tuple(range(1, 9)),
    panels=("inner",),
    seeds=5,
    setup=setup,
    quick_panels=("inner",),
    quick_values=(1, 2),
)
