"""Appendix: the error of predicting rotations at depth 4 against the learning rate, 10^(-4 + j/4), j = 2..9.

    keras-hypernet experiment learning_rate --workers 2 --out runs

Panels whose name ends in `_hyperfan` start from the principled initialization; their validation errors choose the
learning rates of the experiment `initialization`. There, rates are added until the lowest error of neither method is at
an end of the range: higher ones on MNIST; lower ones on CIFAR-10, where hypernetworks diverge at most of these. The
paper: the results are consistent over learning rates. Takes about half a minute a run on MNIST and two minutes on
CIFAR-10, two hours in all on two cores.
"""

from keras_hypernet.experiments.experiment import Drawing, Experiment
from keras_hypernet.tasks import RotationTask
from keras_hypernet.training.recipe import paper_recipe


def setup(panel, method, value, seed, quick):
    """The paper's recipe at depth 4 and another learning rate; the quick grid has fewer epochs."""
    data, _, hyperfan = panel.partition("_")
    task = RotationTask(data)
    initialization = "hyperfan_in" if hyperfan else "fan_in_uniform"
    changes = {"learning_rate": value, "initialization": initialization, **({"epochs": 3} if quick else {})}
    return task, paper_recipe(task, seed=seed, **changes)


EXPERIMENT = Experiment(
    name="learning_rate",
    figure="appendix",
    title="Predicting rotations at depth 4: test error against the learning rate",
    varies="learning_rate",
    values=tuple(float(f"{10 ** (-4 + j / 4):.4g}") for j in range(2, 10)),
    panels=("mnist", "cifar10", "mnist_hyperfan", "cifar10_hyperfan"),
    extra_values={"mnist_hyperfan": (0.03162, 0.05623), "cifar10_hyperfan": (1e-05, 3.162e-05, 0.0001)},
    seeds=3,
    drawing=Drawing(log_x=True),
    setup=setup,
    quick_panels=("digits", "digits_hyperfan"),
    quick_values=(0.003162, 0.01),
)
