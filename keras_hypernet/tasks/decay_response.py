"""The response to the weight decay: the weights of a classifier as a function of its weight decay."""

import dataclasses
import math
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.common.checks import finite
from keras_hypernet.layers import HyperDense, StandardizeImage
from keras_hypernet.models import Hypernetwork
from keras_hypernet.models.shapes import split_inputs
from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.batches import planned_batches
from keras_hypernet.tasks.images import PIXELS, ImageTask

LEAST, MOST = -6.0, -1.0  # of the logarithms of the decays in training
ROWS = 20  # rows of each batch for which weights are written for the penalty


@keras.saving.register_keras_serializable(package="keras_hypernet")
class DecayedHypernetwork(Hypernetwork):
    """A `Hypernetwork` whose condition `[B, 1]` is the logarithm of the weight decay of the generated weights.

    In training, the mean of `exp(condition) * |w|^2` over the first 20 rows of the batch is added to the loss, where w
    are all weights generated for the condition of a row. It is an estimate of the mean over all conditions.
    """

    def call(self, inputs, training=False):
        y = super().call(inputs, training=training)
        if training:
            _, condition, _ = split_inputs(inputs, self.optional_inputs)
            condition = condition[:ROWS]
            weights = [ops.cast(w, "float32") for w in self.generate(condition, training=True).values()]
            squares = sum(ops.sum(ops.square(w), axis=tuple(range(1, len(w.shape)))) for w in weights)
            self.add_loss(ops.mean(ops.exp(ops.cast(condition[:, 0], "float32")) * squares))
        return y


@dataclasses.dataclass(frozen=True)
class DecayResponseTask(ImageTask):
    """Predict the class of an image with a classifier that is trained on few images, with weight decay.

    The condition is the logarithm of the weight decay. In training, each image of each epoch gets a condition that is
    uniform on `[-6, -1]`, and the hypernetwork learns the weights that minimize the cross-entropy plus
    `exp(condition) * |w|^2`: the response of the best weights to the decay. Evaluations have the condition `log_decay`.
    Batches are `({"x": uint8 [B, height, width, channels], "condition": [B, 1]}, labels: int32 [B])`. The metric is the
    cross-entropy, without the decay.

    Args:
        data: Name of a data source with labels.
        log_decay: The logarithm of the weight decay of evaluations; without `response`, also of the training.
        hidden_units: Units of the classifier's hidden layer; 0 for a linear classifier.
        num_train: Number of training images.
        repeats: Number of times that an epoch contains each training image.
        seed: Determines the selection of training images.
        response: Whether the classifier takes the condition; otherwise it is a plain network for one decay.

    Raises:
        ValueError: If the data source does not exist or has no labels, or an argument is out of its range.

    Example:

    >>> task = DecayResponseTask("digits", log_decay=-3.0, num_train=100)
    >>> inputs, y = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> inputs["x"].shape, inputs["condition"].shape, y.shape, float(inputs["condition"][0, 0])
    (TensorShape([32, 28, 28, 1]), TensorShape([32, 1]), TensorShape([32]), -3.0)

    References: Lorraine and Duvenaud, "Stochastic Hyperparameter Optimization through Hypernetworks", 2018 (arXiv
    1802.09419); MacKay et al., "Self-Tuning Networks", ICLR 2019. The sizes are this project's own.
    """

    log_decay: float = -4.0
    hidden_units: int = 0
    num_train: int = 1000
    repeats: int = 10
    seed: int = 0
    response: bool = True
    name = "decay_response"
    metric = "cross_entropy"
    loss = "cross_entropy"
    condition_dtype = "float32"
    condition_shape = (1,)
    num_outputs = 10
    num_classes = 10
    purpose = "Tells the class of an image, under a weight decay"
    limits = ("A small classifier of few training images: far from the accuracy that the data allows.",)
    provenance: ClassVar = {
        "text": ["That a hypernetwork from hyperparameters to weights learns the response, on draws of them."],
        "ours": [f"The classifiers, the range of the decay, and the training. {PIXELS}"],
    }
    deviations = ()

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, "num_train", "repeats")
        check_integers(self, "hidden_units", "seed", least=0)
        # The task is frozen. The decay itself must be a number of float32.
        object.__setattr__(self, "log_decay", finite("log_decay", self.log_decay, least=-80, most=80))
        if not isinstance(self.response, bool):
            raise ValueError(f"`response` must be True or False. Received: {self.response!r}")

    @property
    def inputs(self):
        return ("x", "condition") if self.response else ("x",)

    @property
    def methods(self):
        noun = f"of {self.hidden_units} hidden units" if self.hidden_units else "that is linear"
        if self.response:
            return {"hyper": f"a hypernetwork from the weight decay to the weights of a classifier {noun}"}
        return {"separate": f"a classifier {noun}, for one weight decay"}

    @property
    def held_out(self):
        return f"Trained on {self.num_train:,} images; the validation split is that of the other tasks."

    def load(self, split):
        images, labels = super().load(split)
        if split != "train":
            return images, labels
        if len(labels) < self.num_train:
            raise ValueError(f"`num_train` must be at most {len(labels):,}. Received: {self.num_train:,}")
        chosen = np.random.default_rng([self.seed, 4]).permutation(len(labels))[: self.num_train]
        return images[chosen], labels[chosen]

    def _batches(self, examples, order, draw, batch_size):
        import tensorflow as tf

        images, labels = tf.constant(examples[0]), tf.constant(examples[1])
        distinct = len(examples[1])
        number = distinct * (self.repeats if draw else 1)

        def plan():
            decays = LEAST + draw(1, (number,), MOST - LEAST, "float32") if draw else tf.fill((number,), self.log_decay)
            return order(number) % distinct, decays[:, tf.newaxis]

        def make(numbers, decays):
            x, y = tf.gather(images, numbers), tf.gather(labels, numbers)
            return {"x": x, "condition": decays} if self.response else x, y

        return planned_batches(number, plan, make, batch_size)

    def make_model(self, method, recipe):
        before = [StandardizeImage(name="standardize"), keras.layers.Flatten(name="flatten")]
        sizes = [(self.hidden_units, "relu", "hidden")] if self.hidden_units else []
        sizes += [(self.num_outputs, None, "logits")]
        objectives = {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": [keras.metrics.SparseCategoricalCrossentropy(name=self.metric, from_logits=True)],
        }
        if method == "separate":
            l2 = keras.regularizers.L2(math.exp(self.log_decay))
            decay = {"kernel_regularizer": l2, "bias_regularizer": l2}
            dense = [keras.layers.Dense(units, activation, name=name, **decay) for units, activation, name in sizes]
            image = keras.Input(self.x_shape, dtype="uint8", name="x")
            return keras.Sequential([image, *before, *dense], name=f"{self.name}_{method}"), objectives
        scale = 2 / (MOST - LEAST)
        first = [keras.Input((1,), name="condition"), keras.layers.Rescaling(scale, -1 - scale * LEAST, name="scale")]
        hidden = [keras.layers.Dense(recipe.width, "relu", name=f"hidden_{n}") for n in range(1, recipe.depth)]
        generator = keras.Sequential([*first, *hidden], name="generator")
        primary = [*before, *(HyperDense(units, activation, name=name) for units, activation, name in sizes)]
        return DecayedHypernetwork(generator, primary, name=f"{self.name}_{method}"), objectives
