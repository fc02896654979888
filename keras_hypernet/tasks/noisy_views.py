"""Noisy views: a synthetic target whose condition is a set of noisy copies of I."""

import dataclasses
from typing import ClassVar

import numpy as np

from keras_hypernet.common.checks import finite
from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.synthetic import SyntheticTask


@dataclasses.dataclass(frozen=True)
class NoisyViewsTask(SyntheticTask):
    """Approximate the target of a `SyntheticTask`, given noisy copies of I instead of I.

    The condition is a set of `members` copies of I, each with independent normal noise, drawn once for all epochs. The
    mean of the copies has the noise `noise / sqrt(members)`, so that each member adds information: with the family
    `"centred"`, whose variance comes only from the interaction of x and I, this noise bounds the error of every
    predictor from below.

    Args:
        members: Copies in a set.
        noise: Standard deviation of the noise of a copy; an entry of I has the standard deviation 1.

    The other arguments are those of `SyntheticTask`.

    Raises:
        ValueError: If an argument of `SyntheticTask` is out of its range, `members` is not a positive integer, or the
            noise is negative or not finite.

    Example:

    >>> task = NoisyViewsTask("centred", dim=8, members=3, num_train=64, num_test=32)
    >>> inputs, y = next(iter(task.evaluation_dataset("test")))
    >>> inputs["x"].shape, inputs["condition"].shape, y.shape
    (TensorShape([32, 8]), TensorShape([32, 3, 8]), TensorShape([32, 1]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2, on conditional neural processes.
    The task is this project's own.
    """

    members: int = 4
    noise: float = 1.0
    name = "noisy_views"
    condition_is_set = True
    depth_experiment = None
    paper_recipe: ClassVar = None
    paper_sizes: ClassVar = {}
    purpose = "Approximates a random target y(x, I), given a set of noisy copies of I"
    provenance: ClassVar = {
        "text": ["That a conditional neural process is an embedding method whose condition is a set."],
        "ours": ["The task. y, its scale and the samples of x and I are those of the synthetic task."],
    }

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, "members")
        object.__setattr__(self, "noise", finite("noise", self.noise, least=0))  # the task is frozen

    @property
    def condition_shape(self):
        return (self.members, self.dim)

    def load(self, split):
        examples = super().load(split)
        views = examples["condition"][:, np.newaxis]
        rng = np.random.default_rng([self.seed, 5, ("train", "validation", "test").index(split)])
        noise = rng.standard_normal((len(views), self.members, self.dim), dtype="float32")
        return {**examples, "condition": views + np.float32(self.noise) * noise}
