"""A sequence of tasks of labelled digits, or of other images: split classes, or permuted pixels."""

import dataclasses
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.bases import Chunked
from keras_hypernet.common.checks import check_choice, finite, integer
from keras_hypernet.continual.sequences import TaskSequence
from keras_hypernet.layers import HyperDense, StandardizeImage, TaskEmbedding
from keras_hypernet.tasks import register
from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.images import PIXELS, ImageTask

_NO_LABEL = -1  # of the images that fill a last group


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ErrorRate(keras.metrics.Mean):
    """The share of wrong predictions; negative labels do not count."""

    def __init__(self, name="error_rate", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.reshape(ops.cast(y_true, "int32"), ops.shape(y_pred)[:-1])
        counts = ops.cast(y_true >= 0, "float32")
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            counts = counts * ops.reshape(weight, (*ops.shape(weight), *(1,) * (len(counts.shape) - len(weight.shape))))
        wrong = ops.not_equal(y_true, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        super().update_state(ops.reshape(wrong, -1), ops.reshape(counts, -1))


@register
@dataclasses.dataclass(frozen=True)
class DigitSequence(ImageTask, TaskSequence):
    """Learn a sequence of tasks of labelled images: pairs of classes, or all classes with permuted pixels.

    `"split"`: task t distinguishes class 2 t from class 2 t + 1. `"permuted"`: each task has all ten classes, and each
    task after the first has its own permutation of the pixels. Every task has its own outputs: a hypernetwork generates
    their weights, a plain network has a head for each task. g has two hidden layers of 100 units. A training batch has
    `batch` images of one task. Evaluations have groups of 100 images; the last group of a task is filled with images
    that do not count (label -1). Batches are `({"x": uint8 [B, P, pixels], "condition": int32 [B]}, labels: int32 [B,
    P])`.

    Args:
        data: Name of a data source with labels.
        protocol: `"split"` or `"permuted"`.
        num_tasks, steps, batch, strength: See `TaskSequence`; a split has at most five tasks.
        chunk: Entries of a chunk of the hypernetwork, whose basis is `Chunked`.
        chunk_dim: Dimension of the embedding of a chunk.
        hidden: Units of the hidden layers of the chunk network.

    Raises:
        ValueError: If an argument is not valid, the data source does not exist or has no labels.

    Example:

    >>> task = DigitSequence("digits", num_tasks=3, steps=2, batch=8)
    >>> inputs, labels = next(iter(task.training_dataset(task.load("train"), 1, seed=0, epoch=1)))
    >>> inputs["x"].shape, inputs["condition"].numpy().tolist(), labels.shape
    (TensorShape([1, 8, 784]), [1], TensorShape([1, 8]))

    References: von Oswald et al., "Continual Learning with Hypernetworks", ICLR 2020; Henning et al., "Posterior
    Meta-Replay for Continual Learning", NeurIPS 2021, whose published code has the sizes and the training.
    """

    protocol: str = "split"
    num_tasks: int = 5
    steps: int = 5000
    batch: int = 32
    strength: float = 10 / 12_000  # published for a sum over the images of a task of split MNIST
    chunk: int = 8000
    chunk_dim: int = 32
    hidden: tuple = (10, 10, 10, 10)
    name = "digit_sequence"
    metric = "error_rate"
    condition_dtype = "int32"
    num_classes = 10
    group: ClassVar[int] = 100
    purpose = "Tells the class of an image, given the number of its task; the tasks were learned one after another"
    limits = ("Tasks in this order, with as many steps: of other sequences nothing was measured.",)
    deviations = (
        "Pixels are standardized, 5,000 training images are held out, and images of a step are drawn with replacement.",
    )
    held_out = "The last 5,000 training examples, or some of the images, are held out for validation."
    provenance: ClassVar = {
        "text": ["The hypernetwork of chunks, the regularizer, the tasks, and the network of two layers of 100 units."],
        "code": ["Sizes of chunks and vectors, initialization, strength, steps, batch and rate (Henning et al.)."],
        "ours": [f"A head of each task's own classes alone, and chunks of each weight of its own. {PIXELS}"],
    }

    def __post_init__(self):
        super().__post_init__()
        check_choice("protocol", self.protocol, ("split", "permuted"))
        if not isinstance(self.hidden, (list, tuple)):
            raise ValueError(f"`hidden` must be a tuple of integers. Received: {self.hidden!r}")
        # The task is frozen; JSON holds a list.
        object.__setattr__(self, "hidden", tuple(integer("hidden", units) for units in self.hidden))
        check_integers(self, "num_tasks", "steps", "batch", "chunk", "chunk_dim")
        if self.protocol == "split":
            integer("num_tasks", self.num_tasks, most=5)
        object.__setattr__(self, "strength", finite("strength", self.strength, least=0))

    @property
    def num_outputs(self):
        return 2 if self.protocol == "split" else 10

    @property
    def x_shape(self):
        return (None, int(np.prod(self.source.image_shape)))

    def load(self, split):
        images, labels = super().load(split)
        return images.reshape(len(images), -1), labels

    def members(self, examples, task):
        labels = examples[1]
        return np.flatnonzero(labels // 2 == task) if self.protocol == "split" else np.arange(len(labels))

    def examples(self, split, task):
        images, labels = super().examples(split, task)
        return images[:, self.order(task)], labels % self.num_outputs

    def order(self, task):
        """The permutation of the pixels in a task."""
        pixels = self.x_shape[1]
        if self.protocol == "split" or task == 0:
            return np.arange(pixels)
        return np.random.default_rng([2020, task]).permutation(pixels)

    def maker(self, examples):
        import tensorflow as tf

        images, classes = tf.constant(examples[0]), tf.constant(examples[1] % self.num_outputs)
        orders = tf.constant(np.stack([self.order(task) for task in range(self.num_tasks)]), tf.int32)

        def make(tasks, rows):
            x = tf.gather(images, tf.maximum(rows, 0))
            if self.protocol == "permuted":
                x = tf.gather(x, tf.gather(orders, tasks), axis=2, batch_dims=1)
            labels = tf.where(rows >= 0, tf.gather(classes, tf.maximum(rows, 0)), _NO_LABEL)
            return {"x": x, "condition": tasks}, labels

        return make

    def base_loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=_NO_LABEL)

    def metrics(self):
        return [ErrorRate(self.metric)]

    def generated(self, recipe):
        options = {"train_constant": False, "stddev": 0.1, "head_initializer": "glorot_uniform"}
        basis = Chunked(self.chunk, self.chunk_dim, self.hidden, **options)

        def dense(units, gain, name, activation=None, last=False):
            return HyperDense(units, activation, name=name, basis=basis, vector_basis=basis)

        return TaskEmbedding(self.num_tasks, self.embedding_dim, name="task"), dense

    def network(self, dense):
        hidden = [dense(100, 2.0, f"hidden_{number}", "relu") for number in (1, 2)]
        return [StandardizeImage(name="standardize"), *hidden, dense(self.num_outputs, 1.0, "logits", last=True)]

    def error(self, y, outputs):
        return outputs.argmax(axis=-1) != y

    def inferred(self, model, split):
        """The share of images with a wrong task or class; the predicted task is that of lowest entropy."""
        wrong = []
        for task in range(self.num_tasks):
            x, y = self.examples(split, task)
            logits = np.stack([self.predict(model, x, other) for other in range(self.num_tasks)])
            predicted = entropy(logits).argmin(axis=0)
            wrong.append((predicted != task) | (logits[task].argmax(axis=-1) != y))
        return float(np.concatenate(wrong).mean())


def entropy(logits):
    """The entropy of the softmax of logits `[..., classes]`, in nats.

    >>> entropy(np.array([0.0, 0.0])).round(4).item()
    0.6931
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.sum(np.exp(logs) * logs, axis=-1)
