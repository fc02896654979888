"""A sequence of three polynomials."""

import dataclasses
import functools
from typing import ClassVar

import keras
import numpy as np

from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.common.checks import finite
from keras_hypernet.continual.sequences import TaskSequence
from keras_hypernet.data.sources import check_split
from keras_hypernet.layers import HyperDense, TaskEmbedding
from keras_hypernet.tasks import register
from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.synthetic import DRAWN

# By task: the function of x, and the range of x.
POLYNOMIALS = (lambda x: x + 3, (-4, -2)), (lambda x: 2 * x**2 - 1, (-1, 1)), (lambda x: (x - 3) ** 3, (2, 4))
_NOISE = 0.05
_POINTS = {"train": 100, "validation": 50, "test": 50}


@register
@dataclasses.dataclass(frozen=True)
class PolynomialSequence(TaskSequence):
    """Learn three polynomials one after another: `x + 3` on [-4, -2], `2 x^2 - 1` on [-1, 1], `(x - 3)^3` on [2, 4].

    Each polynomial has 100 training points with noise of standard deviation 0.05, and 50 validation points and 50
    equidistant test points without noise. g has two hidden layers of 10 sigmoid units. Batches are
    `({"x": [B, P, 1], "condition": int32 [B]}, y: [B, P, 1])`.

    Args:
        steps, batch, strength: See `TaskSequence`.
        seed: Integer that determines the points and the noise.

    Raises:
        ValueError: If an argument is not valid.

    Example:

    >>> task = PolynomialSequence()
    >>> inputs, y = next(iter(task.evaluation_dataset("test")))
    >>> inputs["x"].shape, y.shape
    (TensorShape([3, 50, 1]), TensorShape([3, 50, 1]))

    Reference: von Oswald et al., "Continual Learning with Hypernetworks", ICLR 2020, whose published code has the task,
    the sizes and the training.
    """

    steps: int = 4000
    batch: int = 32
    strength: float = 0.005
    seed: int = 42
    name = "polynomial_sequence"
    metric = "mse"
    num_tasks: ClassVar[int] = len(POLYNOMIALS)
    embedding_dim: ClassVar[int] = 2
    x_shape = (None, 1)
    num_outputs = 1
    purpose = "Predicts one of three polynomials, given its number; they were learned one after another"
    limits = ("The problem is a toy: the model is of no use but to study forgetting.",)
    provenance: ClassVar = {
        "text": ["The regularizer, and that three polynomials are learned one after another."],
        "code": ["Polynomials, noise, sizes, strength, steps, batch and rate."],
        "ours": ["The draws, and the initialization."],
    }

    def __post_init__(self):
        check_integers(self, "steps", "batch")
        check_integers(self, "seed", least=0)
        object.__setattr__(self, "strength", finite("strength", self.strength, least=0))

    def data_facts(self):
        return {"name": "three polynomials", **DRAWN}

    def load(self, split):
        check_split(split)
        return _polynomials(self.seed, split)

    def members(self, examples, task):
        x, (low, high) = examples[0][:, 0], POLYNOMIALS[task][1]
        return np.flatnonzero((low <= x) & (x <= high))

    def base_loss(self):
        return keras.losses.MeanSquaredError()

    def metrics(self):
        return [keras.metrics.MeanSquaredError(name="mse")]

    def generated(self, recipe):
        embedding = TaskEmbedding(self.num_tasks, self.embedding_dim, name="task")
        hidden = [keras.layers.Dense(10, "sigmoid", name=f"generator_{number}") for number in (1, 2)]
        number = keras.Input((), dtype="int32", name="condition")
        return keras.Sequential([number, embedding, *hidden], name="generator"), self._generated

    def _generated(self, units, gain, name, activation=None, last=False):
        initializer = HyperfanIn(gain, condition_second_moment=0.25, generates_bias=True)
        return HyperDense(*(units, activation), kernel_initializer=initializer, bias_initializer=initializer, name=name)

    def network(self, dense):
        return [*(dense(10, 1.0, f"hidden_{n}", "sigmoid") for n in (1, 2)), dense(1, 1.0, "value", last=True)]

    def error(self, y, outputs):
        return (outputs - y) ** 2


@functools.lru_cache(maxsize=6)
def _polynomials(seed, split):
    """x and y of all tasks, task after task, `[3 * points, 1]`."""
    rng, points = np.random.default_rng([seed, (*_POINTS,).index(split)]), _POINTS[split]
    x, y = [], []
    for function, (low, high) in POLYNOMIALS:
        x.append(np.linspace(low, high, points) if split == "test" else rng.uniform(low, high, points))
        noise = rng.normal(0, _NOISE, points) if split == "train" else 0.0
        y.append(function(x[-1]) + noise)
    arrays = tuple(np.concatenate(part).astype("float32")[:, np.newaxis] for part in (x, y))
    for array in arrays:
        array.flags.writeable = False  # every call returns these arrays
    return arrays
