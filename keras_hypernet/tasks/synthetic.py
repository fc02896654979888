"""The synthetic tasks: y is computed from x and the condition by a random network h."""

import dataclasses
import functools
import itertools

import numpy as np

from keras_hypernet.common.checks import check_choice
from keras_hypernet.data.sources import check_split
from keras_hypernet.tasks.base import Task, check_integers

# Facts of tasks whose examples are drawn.
DRAWN = {
    "origin": "Drawn by NumPy's default_rng, as the task says.",
    "license": "none needed",
    "note": "Drawn anew wherever they are needed; nothing has to be downloaded.",
}
RANDOM_LIMITS = ("The task is one random function: the model is of no use but to study how that is approximated.",)
# What this project adds to the paper's family.
_OURS = {
    "concat": "The families hadamard and concat, and that their y is centred and scaled to unit variance.",
    "centred": "The family centred: E h(I) = 0 and Var(y) = 10, so that all of the variance is interaction.",
    "concat_odd": "The family concat_odd, odd in x and in I, and that its y is centred and scaled to unit variance.",
}
CENTRED_VARIANCE = 10.0  # of y of the family centred
# Independent streams of random numbers, by purpose.
_STREAMS = {"target": 0, "train": 1, "validation": 2, "test": 3, "scale": 4}


@dataclasses.dataclass(frozen=True)
class SyntheticTask(Task):
    """Approximate `y(x, I)`, computed by a random network h of three layers; x and I are standard normal.

    The families are `"inner"`, `y = <x, h(I)>`, `"hadamard"`, `y = h(x * I)`, `"concat"`, `y = h([x, I])`,
    `"centred"`, `y = <x, h(I)>` with `E h(I) = 0` and `Var(y) = 10`, and `"concat_odd"`, `y = h([x, I]) - h([-x, I]) -
    h([x, -I]) + h([-x, -I])`. h has sigmoid activations in two hidden layers, and is never trained. If y is not an
    inner product, y hardly varies, so y is centred and scaled to unit variance: a constant then has a mean squared
    error of 1. In `inner`, x alone explains nearly all of the variance, through `E
    h(I)`; in `concat`, a linear function of x and I does. In `centred` and `concat_odd`, all of the variance is
    interaction: neither x nor I alone explains any, because y of `concat_odd` is odd in x and in I. h of `centred` is
    still a network of three layers: its last bias is shifted and its last layer is scaled, by means over 10,000
    samples. Batches are `({"x": [B, dim], "condition": [B, dim]}, y: [B, 1])`, all float32.

    Args:
        family: Family of the target.
        dim: Dimension of x and of I.
        seed: Determines h and all samples.
        hidden_units: Width of h.
        gain: Factor of the kernels of h's hidden layers, which are uniform with variance `1 / (3 fan_in)` without it. A
            larger gain makes y depend more on I: I causes 0.1% of the variance of the inner product with a gain of 1
            (where the variance is about `dim / 12`), 20% with 10, and 30% with 30.
        num_train, num_validation, num_test: Numbers of samples, drawn once for all epochs.
        weights: Distribution of the weights of h before the gain: `"fan_in"`, uniform with variance `1 / (3 fan_in)`;
            `"glorot"`, uniform with variance `2 / (fan_in + units)`, and no biases; or `"normal"`, standard normal.

    Raises:
        ValueError: If the family or distribution does not exist, or a number is not a positive integer.

    Example:

    >>> task = SyntheticTask("inner", dim=8, num_train=64, num_test=32)
    >>> inputs, y = next(iter(task.evaluation_dataset("test")))
    >>> inputs["x"].shape, inputs["condition"].shape, y.shape
    (TensorShape([32, 8]), TensorShape([32, 8]), TensorShape([32, 1]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 1. The paper leaves open the
    width of h, its initial weights and the scale of y.
    """

    family: str = "inner"
    dim: int = 1000
    seed: int = 0
    hidden_units: int = 300
    gain: float = 1.0
    num_train: int = 30_000
    num_validation: int = 5_000
    num_test: int = 10_000
    weights: str = "fan_in"
    name = "synthetic"
    metric = "mse"
    num_outputs = 1
    purpose = "Approximates y(x, I), a random network of x and I"
    limits = RANDOM_LIMITS

    def __post_init__(self):
        check_choice("family", self.family, ("inner", "hadamard", "concat", "centred", "concat_odd"))
        check_integers(self, "dim", "hidden_units", "num_train", "num_validation", "num_test")
        check_integers(self, "seed", least=0)
        check_choice("weights", self.weights, ("fan_in", "glorot", "normal"))
        if not self.gain > 0:
            raise ValueError(f"`gain` must be positive. Received: {self.gain!r}")

    @property
    def provenance(self):
        gain = "" if self.gain == 1 else f", times the gain {self.gain:g} in the hidden layers"
        return {
            "text": [
                "y = <x, h(I)> (the family inner), h with three layers and sigmoid activations; x, I standard normal.",
                "Sizes of f, e, g and q; 30,000 training samples; SGD with learning rate 0.01, batch size 200.",
            ],
            "ours": [
                f"h has width {self.hidden_units} and weights uniform with variance 1 / (3 fan_in){gain}; 30 epochs.",
                _OURS.get(self.family, _OURS["concat"]),
                f"{'Biases' if self.generates_biases else 'No biases'} in g, biases in q; all weights uniform with "
                "variance 1 / (3 fan_in).",
                "5,000 samples for validation and 10,000 for the test.",
            ],
        }

    def config(self):
        """The task as a dict for JSON, without the default of `weights`, which older rows and cards do not have."""
        return {name: value for name, value in super().config().items() if (name, value) != ("weights", "fan_in")}

    @property
    def x_shape(self):
        return (self.dim,)

    condition_shape = x_shape

    @property
    def generates_biases(self):
        return self.family == "concat_odd"  # the published rows of `concat` have no biases

    @property
    def depth_experiment(self):
        return "modularity_depth" if self.family == "centred" else "synthetic_depth"

    @property
    def panel(self):
        return f"d{self.dim}_h{self.hidden_units}" if self.family == "centred" else self.family

    @property
    def paper_sizes(self):
        """Fig. 1(a) has 1,000 dimensions, Fig. 1(b) 100; the text contradicts itself on the embedding of Fig. 1(b)."""
        fixed = {1000: "embedding_dim", 100: "rank"}.get(self.dim) if self.family == "inner" else None
        return {fixed: "text"}

    def data_facts(self):
        return {"name": self.name, **DRAWN}

    @property
    def paper_recipe(self):
        return {"width": 100, "depth": 3, "embedding_dim": 10 * self.dim, "batch_size": 200, "epochs": 30}

    def load(self, split):
        """A dict of the samples of a split: float32 arrays `x [N, dim]`, `condition [N, dim]` and `y [N, 1]`."""
        x, condition = self.draw(split, self.num_examples(split))
        return {"x": x, "condition": condition, "y": self.target()(x, condition)}

    def num_examples(self, split):
        check_split(split)
        return getattr(self, f"num_{split}")

    def draw(self, purpose, num_samples):
        """Draws `num_samples` samples of x and of the condition from the random stream `purpose`."""
        rng = self._random(purpose)
        return tuple(rng.standard_normal((num_samples, self.dim), dtype="float32") for _ in range(2))

    def target(self):
        """Returns y, a function from x `[N, dim]` and condition `[N, dim]` to float32 `[N, 1]`."""
        return _target(self)[0]

    def network(self):
        """Returns h, a function from inputs to outputs, before y of `hadamard` or `concat` is scaled."""
        return _target(self)[1]

    def _random(self, purpose):
        return np.random.default_rng([self.seed, _STREAMS[purpose]])


@functools.lru_cache(maxsize=4)
def _target(task):
    inputs = 2 * task.dim if task.family in ("concat", "concat_odd") else task.dim
    outputs = task.dim if task.family in ("inner", "centred") else 1
    sizes = (inputs, task.hidden_units, task.hidden_units, outputs)
    rng = task._random("target")
    weights = []
    for gain, (fan_in, units) in zip((task.gain, task.gain, 1.0), itertools.pairwise(sizes), strict=True):
        if task.weights == "normal":
            kernel, bias = rng.standard_normal((fan_in, units)), rng.standard_normal(units)
        else:
            limit = 1 / np.sqrt(fan_in) if task.weights == "fan_in" else np.sqrt(6 / (fan_in + units))
            kernel = rng.uniform(-limit, limit, (fan_in, units))
            bias = np.zeros(units) if task.weights == "glorot" else rng.uniform(-limit, limit, units)
        weights.append(((gain * kernel).astype("float32"), bias.astype("float32")))

    def h(inputs):
        *hidden, (kernel, bias) = weights
        for hidden_kernel, hidden_bias in hidden:
            with np.errstate(over="ignore"):  # an infinite exponential gives a sigmoid of zero, the correct limit
                inputs = 1 / (1 + np.exp(-(inputs @ hidden_kernel + hidden_bias)))
        return inputs @ kernel + bias

    def raw(x, condition):
        if task.family in ("inner", "centred"):
            return np.sum(x * h(condition), axis=1, keepdims=True).astype("float32")
        if task.family == "concat_odd":
            signs = itertools.product((1, -1), repeat=2)
            return sum(s * t * h(np.concatenate([s * x, t * condition], axis=1)) for s, t in signs)
        return h(x * condition if task.family == "hadamard" else np.concatenate([x, condition], axis=1))

    if task.family == "inner":
        return raw, h
    if task.family == "centred":
        values = h(task.draw("scale", 10_000)[1]).astype("float64")
        # x has independent entries of unit variance, so Var(y) is the mean of |h(I)|^2.
        scale = np.sqrt(CENTRED_VARIANCE / np.var(values, axis=0).sum())
        kernel, bias = weights[-1]
        weights[-1] = tuple((scale * array).astype("float32") for array in (kernel, bias - values.mean(axis=0)))
        return raw, h
    sample = raw(*task.draw("scale", 10_000))
    mean, stddev = sample.mean(dtype="float64"), sample.std(dtype="float64")
    return (lambda x, condition: ((raw(x, condition) - mean) / stddev).astype("float32")), h
