"""The approximation task of Assumption 1: a small network approximates a random convolutional network."""

import dataclasses
import functools
from typing import ClassVar

import keras
import numpy as np

from keras_hypernet.bases.initializers import FanInUniform
from keras_hypernet.data.sources import Source
from keras_hypernet.layers import StandardizeImage
from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.batches import EVALUATION_SEED, planned_batches
from keras_hypernet.tasks.images import ImageTask
from keras_hypernet.tasks.synthetic import DRAWN, RANDOM_LIMITS

_TARGET = "The target: convolutions of 20 and 50 channels, kernels of 10 x 10, stride 2, ReLU, and a dense layer."
_TARGET_WEIGHTS = "The target's weights are uniform with variance 1 / (3 fan_in)."


@dataclasses.dataclass(frozen=True)
class ApproximationTask(ImageTask):
    """Approximate y(x), a random convolutional network that is never trained. There is no condition.

    Batches are `(x: [B, height, width, channels], y: float32 [B, 10])`.

    Args:
        data: Name of a data source, whose images are x; or `"uniform"`, for x uniform on `[-1, 1]^(28 x 28)`.
        seed: Determines y.
        num_samples: Number of samples in each split if `data` is `"uniform"`. Every epoch draws new training samples.

    Raises:
        ValueError: If the data source does not exist, or a number is not an integer of its range.

    Example:

    >>> task = ApproximationTask("uniform", num_samples=64)
    >>> x, y = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> x.shape, y.shape
    (TensorShape([32, 28, 28, 1]), TensorShape([32, 10]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 2.
    """

    seed: int = 0
    num_samples: int = 10_000
    name = "approximation"
    metric = "mse"
    inputs = ("x",)
    num_outputs = 10
    purpose = "Approximates y(x), a random convolutional network"
    limits = RANDOM_LIMITS
    paper_recipe: ClassVar = {"width": 100, "depth": 2, "momentum": 0.5, "epochs": 50}
    provenance: ClassVar = {
        "text": [
            _TARGET,
            "f1 and f2: 100 hidden units (ReLU), 10 outputs; SGD with learning rate 0.01, momentum 0.5; 50 epochs.",
        ],
        "code": [
            "Incoming weights of each unit scaled to unit norm; batch size 64; 10,000 fresh uniform samples an epoch."
        ],
        "ours": ["f1 starts from normal, f2 from uniform weights, biases from zero.", _TARGET_WEIGHTS],
    }
    target_provenance: ClassVar = {"text": [_TARGET], "ours": [_TARGET_WEIGHTS]}

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, "num_samples")
        check_integers(self, "seed", least=0)

    @property
    def _uniform(self):
        return self.data == "uniform"

    @property
    def source(self):
        if not self._uniform:
            return super().source
        return Source("uniform", (28, 28, 1), **DRAWN, _load=self._draw)

    def _draw(self, split):
        rng = np.random.default_rng([EVALUATION_SEED, ("validation", "test", "train").index(split)])
        return rng.uniform(-1, 1, (self.num_samples, *self.x_shape)).astype("float32")

    @property
    def x_dtype(self):
        return "float32" if self._uniform else "uint8"

    @property
    def held_out(self):
        drawn = "The samples for validation are drawn apart (the paper has no validation split)."
        return drawn if self._uniform else super().held_out

    @property
    def deviations(self):
        return [] if self._uniform else super().deviations

    def target(self):
        """Returns y as a `keras.Sequential`: two convolutions of 20 and 50 channels and a dense layer of 10 units."""
        return _target(self)

    def rows(self, examples):
        return examples, self.target().predict(examples, batch_size=500, verbose=0)

    def _batches(self, examples, order, draw, batch_size):
        if not self._uniform or not draw:
            return super()._batches(examples, order, draw, batch_size)
        target = self.target()

        def plan():
            return draw(0, examples.shape, 2, "float32") - 1  # new samples in each epoch

        return planned_batches(len(examples), plan, lambda x: (x, target(x)), batch_size)


@functools.lru_cache(maxsize=2)
def _target(task):
    seeds = iter(np.random.SeedSequence([task.seed, 1]).generate_state(6).tolist())

    def initializers(fan_in):
        return {name: FanInUniform(fan_in, next(seeds)) for name in ("kernel_initializer", "bias_initializer")}

    height, width, channels = task.x_shape
    sides = [(((side - 10) // 2 + 1) - 10) // 2 + 1 for side in (height, width)]
    convolution = {"strides": 2, "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input(task.x_shape, dtype=task.x_dtype),
            *([] if task._uniform else [StandardizeImage()]),
            keras.layers.Conv2D(20, 10, **convolution, **initializers(100 * channels)),
            keras.layers.Conv2D(50, 10, **convolution, **initializers(2000)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="value", **initializers(50 * sides[0] * sides[1])),
        ],
        name="target",
    )
