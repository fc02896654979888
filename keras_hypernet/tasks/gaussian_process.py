"""A task for neural processes: functions of a Gaussian process, each with a set of observed points."""

import dataclasses
import functools
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.common.checks import check_choice
from keras_hypernet.data.sources import check_split
from keras_hypernet.layers import FiLM, HyperDense
from keras_hypernet.models import ConditionalNeuralProcess, Hypernetwork
from keras_hypernet.tasks.base import Task, check_integers
from keras_hypernet.tasks.batches import planned_batches, stream
from keras_hypernet.tasks.synthetic import DRAWN

KERNELS = ("rbf", "matern", "periodic")
RANGE = 2.0  # x is uniform between this and its negative
LENGTH, PERIOD, NOISE = 0.5, 1.0, 0.1  # of the kernels; the standard deviation of the noise
_LEAST_SIGMA = 0.01
_CHUNK = 500


def covariance(kernel, first, second, xp=np):
    """The covariance `[..., N, M]` of a process without noise at x `[..., N]` and `[..., M]`; it is 1 at distance 0.

    >>> covariance("rbf", np.array([0.0]), np.array([0.0, 0.5])).round(4).tolist()
    [[1.0, 0.6065]]
    """
    distance = xp.abs(first[..., :, None] - second[..., None, :])
    if kernel == "rbf":
        return xp.exp(-0.5 * (distance / LENGTH) ** 2)
    if kernel == "periodic":
        return xp.exp(-2 * (xp.sin(np.pi * distance / PERIOD) / LENGTH) ** 2)
    scaled = 5**0.5 * distance / LENGTH  # Matern-5/2
    return (1 + scaled + scaled**2 / 3) * xp.exp(-scaled)


def sample(kernel, x, normals, xp=np):
    """Noisy values `[..., N]` of a process at x `[..., N]`, computed from as many standard normal numbers."""
    total = covariance(kernel, x, x, xp) + NOISE**2 * xp.eye(x.shape[-1], dtype=x.dtype)
    return xp.matmul(xp.linalg.cholesky(total), normals[..., None])[..., 0]


def posterior(kernel, members, x):
    """The exact mean and variance `[B, P]` of noisy values at x `[B, P]`, given the points of sets `[B, d, 2]`.

    Without a set (None), the mean and variance are those of the prior.
    """
    if members is None:
        return np.zeros_like(x), np.full_like(x, 1 + NOISE**2)
    known, values = members[..., 0], members[..., 1]
    total = covariance(kernel, known, known) + NOISE**2 * np.eye(known.shape[-1])
    cross = covariance(kernel, known, x)
    solved = np.linalg.solve(total, np.concatenate([values[..., None], cross], axis=-1))
    mean = np.einsum("bdp,bd->bp", cross, solved[..., 0])
    return mean, 1 + NOISE**2 - np.einsum("bdp,bdp->bp", cross, solved[..., 1:])


def log_density(y, mean, variance):
    """The logarithm of the normal density, elementwise."""
    return -0.5 * (np.log(2 * np.pi * variance) + (y - mean) ** 2 / variance)


def mean_and_sigma(outputs):
    """Mean and standard deviation of a network's predictions, from its outputs `[..., 2]`."""
    return outputs[..., 0], _LEAST_SIGMA + ops.softplus(outputs[..., 1])


@keras.saving.register_keras_serializable(package="keras_hypernet")
class NormalExcess(keras.losses.Loss):
    """The exact log-likelihood of the values minus the predictions' log-likelihood, in nats for each point.

    The target `[..., 2]` holds the value and its exact log-likelihood, or zero if only the gradient is needed. The
    expectation of the loss is the Kullback-Leibler divergence from the exact prediction, so it is at least zero.
    """

    def call(self, y_true, y_pred):
        mean, sigma = mean_and_sigma(y_pred)
        squares = ((y_true[..., 0] - mean) / sigma) ** 2
        return y_true[..., 1] + 0.5 * (np.log(2 * np.pi) + squares) + ops.log(sigma)


@dataclasses.dataclass(frozen=True)
class GaussianProcessTask(Task):
    """Predict mean and standard deviation of a random function at x, given a set of its points.

    The functions are drawn from a Gaussian process on `[-2, 2]` with variance 1 and noise of standard deviation 0.1.
    The kernel is `"rbf"` or `"matern"` (Matern-5/2), both with length scale 0.5, or `"periodic"`, with period 1. Each
    epoch draws new functions. Batches are `({"x": [B, P, 1], "condition": [B, members, 2]}, y: [B, P, 2])`, where the
    members are pairs of x and value. y has the values and their log-likelihoods under the exact posterior of the
    process, or zero in training. The metric, `"excess"`, is the exact log-likelihood minus the model's, in nats per
    point.

    Args:
        kernel: Name of the kernel.
        members: Points in a set.
        num_points: Number of points to predict for each function.
        num_train: Functions in an epoch.
        num_validation, num_test: Functions drawn once.

    Raises:
        ValueError: If the kernel does not exist, or a number is not a positive integer.

    Example:

    >>> task = GaussianProcessTask("rbf", members=4, num_test=32)
    >>> inputs, y = next(iter(task.evaluation_dataset("test")))
    >>> inputs["x"].shape, inputs["condition"].shape, y.shape
    (TensorShape([32, 32, 1]), TensorShape([32, 4, 2]), TensorShape([32, 32, 2]))

    References: Garnelo et al., "Conditional Neural Processes", ICML 2018; Perez et al., "FiLM", AAAI 2018. The sizes
    are this project's own.
    """

    kernel: str
    members: int = 8
    num_points: int = 32
    num_train: int = 6400
    num_validation: int = 500
    num_test: int = 2000
    name = "gaussian_process"
    metric = "excess"
    condition_is_set = True
    num_outputs = 2
    methods: ClassVar = {
        "process": "a conditional neural process",
        "film": "a network with FiLM layers, conditioned on the mean over the set",
        "hyper": "a hypernetwork, conditioned on the mean over the set",
    }
    purpose = "Predicts a function of a Gaussian process from a set of its points"
    limits = (
        "Functions of this process, and sets of this size; of others nothing was measured.",
        f"The outputs are the mean and a number s; the standard deviation is {_LEAST_SIGMA} + softplus(s).",
    )
    provenance: ClassVar = {
        "text": ["That a conditional neural process is an embedding method whose condition is a set."],
        "ours": ["The process, the networks, and the training."],
    }

    def __post_init__(self):
        check_choice("kernel", self.kernel, KERNELS)
        check_integers(self, "members", "num_points", "num_train", "num_validation", "num_test")

    @property
    def x_shape(self):
        return (self.num_points, 1)

    @property
    def condition_shape(self):
        return (self.members, 2)

    def data_facts(self):
        return {"name": f"{self.kernel}, {self.members} points", **DRAWN}

    def num_examples(self, split):
        check_split(split)
        return getattr(self, f"num_{split}")

    def load(self, split):
        """A dict of `x`, `condition` and `y`; for training, zeros, which each epoch replaces by new functions."""
        check_split(split)
        if split != "train":
            return {**_drawn(self, split)}
        shapes = {"x": self.x_shape, "condition": self.condition_shape, "y": (self.num_points, 2)}
        return {name: np.zeros((self.num_train, *shape), "float32") for name, shape in shapes.items()}

    def training_dataset(self, examples, batch_size, seed, epoch):
        import tensorflow as tf

        shape = len(examples["x"]), self.members + self.num_points

        def plan():
            x = tf.random.stateless_uniform(shape, stream(seed, epoch), -RANGE, RANGE)
            return x, tf.random.stateless_normal(shape, stream(seed, epoch, 1))

        def make(x, normals):
            y = sample(self.kernel, x, normals, ops)
            points = tf.stack([x, y], axis=-1)
            members, values = points[:, : self.members], y[:, self.members :]
            targets = tf.stack([values, tf.zeros_like(values)], axis=-1)
            return {"x": x[:, self.members :, tf.newaxis], "condition": members}, targets

        return planned_batches(shape[0], plan, make, batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        if split == "train":
            raise ValueError("Each epoch draws new functions: evaluate on the split 'validation' or 'test' instead.")
        return super().evaluation_dataset(split, batch_size)

    def exact(self, examples, use_set=True):
        """The log-likelihoods `[B, P]` of the values of examples under the exact posterior, or under the prior."""
        x, values = examples["x"][..., 0].astype("float64"), examples["y"][..., 0]
        members = examples["condition"].astype("float64") if use_set else None
        return log_density(values, *posterior(self.kernel, members, x))

    def make_model(self, method, recipe):
        units, process = recipe.width, method == "process"
        name = "embedding" if process else "generator"
        mean = [] if process else [keras.layers.GlobalAveragePooling1D(name="mean")]
        output = keras.layers.Dense(units, None if process else "relu", name=f"{name}_output")
        hidden = [keras.layers.Dense(units, "relu", name=f"member_{n}") for n in range(1, recipe.depth)]
        points = keras.Input((2,) if process else (None, 2), name="condition")
        encoder = keras.Sequential([points, *hidden, *mean, output], name=name)
        dense, size = (HyperDense, recipe.primary_units) if method == "hyper" else (keras.layers.Dense, units)
        primary = []
        for n in (1, 2):
            primary.append(dense(size, None if method == "film" else "relu", name=f"hidden_{n}"))
            if method == "film":
                primary += [FiLM(name=f"film_{n}"), keras.layers.ReLU()]
        primary.append(dense(2, name="value"))
        objectives = {"loss": NormalExcess(name="excess")}
        if process:
            return ConditionalNeuralProcess(encoder, primary, name="gaussian_process"), objectives
        return Hypernetwork(encoder, primary, name=f"gaussian_process_{method}"), objectives


@functools.lru_cache(maxsize=4)
def _drawn(task, split):
    """The examples of an evaluation split; y includes the exact log-likelihoods."""
    rng = np.random.default_rng([2018, ("validation", "test").index(split)])
    shape = (task.num_examples(split), task.members + task.num_points)
    x = rng.uniform(-RANGE, RANGE, shape)
    normals, known = rng.standard_normal(shape), task.members

    def part(rows):
        y = sample(task.kernel, x[rows], normals[rows])
        points = np.stack([x[rows], y], axis=-1).astype("float32")
        examples = {"x": points[:, known:, :1], "condition": points[:, :known]}
        values = points[:, known:, 1:].astype("float64")
        exact = task.exact({**examples, "y": values})[..., np.newaxis]
        return {**examples, "y": np.concatenate([values, exact], axis=-1).astype("float32")}

    parts = [part(slice(first, first + _CHUNK)) for first in range(0, len(x), _CHUNK)]
    examples = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
    for array in examples.values():
        array.flags.writeable = False  # every call returns these arrays
    return examples
