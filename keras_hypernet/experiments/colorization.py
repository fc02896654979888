"""Predicting colours: the appendix, and our check of it."""

from keras_hypernet.experiments.experiment import APPENDIX, DEPTHS, INDICES, SENSITIVITY, grid
from keras_hypernet.tasks import ColorizationTask
from keras_hypernet.training.recipe import paper_recipe

_CHANGES = {
    "points_256": {},
    "dimension_1000": {"embedding_dim": 1000},
    "epochs_30": {"epochs": 30},
    "rate_0.03162": {"learning_rate": 0.03162},
}


@grid(
    **APPENDIX,
    title="Predicting colours: test MSE against the number of layers",
    **DEPTHS,
    panels=("cifar10",),
    quick_panels=("patches",),
    quick_values=(2, 4),
)
def colorization_depth(panel, method, value, seed, quick):
    """Appendix: the error of predicting colours against the depth of f and of e, on CIFAR-10.

    The condition is the grey image, x the positions of 64 of its pixels, the target the pixels' colours, scaled to
    [-1, 1]. The paper: as for rotations, the hypernetwork is better by a wide margin. Its main text leaves the rest to
    this project: the number of pixels, the embedding dimension (63, the number of weights of g), epochs and learning
    rate as for rotations. Takes about half a minute a run, a quarter of an hour in all on two cores.
    """
    task = ColorizationTask(panel)
    return task, paper_recipe(task, depth=value, seed=seed, **({"epochs": 2} if quick else {}))


@grid(
    **APPENDIX,
    title="Predicting colours: test MSE against the embedding dimension",
    **INDICES,
    panels=("cifar10",),
    quick_panels=("patches",),
)
def colorization_embedding_dim(panel, method, value, seed, quick):
    """Appendix: the error of predicting colours against the embedding dimension, on CIFAR-10, at depth 3.

    For i = 1..8 the embedding dimension is 1,000 i, and the width of f's last hidden layer 100 i, as in Fig. 1(b). The
    paper: the embedding method does not improve with the embedding dimension. Takes about forty seconds a run, a
    quarter of an hour in all on two cores.
    """
    task = ColorizationTask(panel)
    size = {"rank": 100 * value} if method == "hyper" else {"embedding_dim": 1000 * value}
    return task, paper_recipe(task, depth=3, seed=seed, **size, **({"epochs": 2} if quick else {}))


@grid(
    title="Predicting colours, other choices: test MSE against the number of layers",
    **SENSITIVITY,
    panels=tuple(_CHANGES),
    quick_panels=("points_256", "rate_0.03162"),
)
def colorization_sensitivity(panel, method, value, seed, quick):
    """Ours: whether the colorization experiment depends on the choices that the paper leaves open.

    Each panel changes one choice of `colorization_depth`: the pixels per image and epoch (256 instead of 64), the
    embedding dimension (1,000 instead of 63), the epochs (30 instead of 10) or the learning rate (0.03162 instead of
    0.01). Expected: the same method is better as in `colorization_depth`. Takes about half a minute a run, a quarter of
    an hour in all on two cores.
    """
    task = ColorizationTask("patches" if quick else "cifar10", num_points=256 if panel == "points_256" else 64)
    return task, paper_recipe(task, depth=value, seed=seed, **{**_CHANGES[panel], **({"epochs": 2} if quick else {})})
