"""Sequences of tasks that are learned one after another, in an epoch each, and the networks that learn them."""

import dataclasses
import functools
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.bases import Chunked, Full
from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.common.checks import integer
from keras_hypernet.continual.elastic_weights import ElasticWeights
from keras_hypernet.continual.output_regularizer import OutputRegularizer
from keras_hypernet.data.sources import check_split
from keras_hypernet.layers import HyperDense, StandardizeImage, TaskEmbedding
from keras_hypernet.models import Hypernetwork
from keras_hypernet.tasks import Task, register
from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.batches import planned_batches, stream
from keras_hypernet.tasks.images import PIXELS, ImageTask
from keras_hypernet.tasks.synthetic import DRAWN

METHODS = {
    "hyper": "a hypernetwork with the output regularizer",
    "unregularized": "the same hypernetwork without the regularizer",
    "finetune": "one network with a head for each task, fine-tuned",
    "ewc": "one network with a head for each task, by elastic weight consolidation",
}
PROTOCOLS = ("split", "permuted")
_NO_LABEL = -1  # of what fills a last group
_GROUP = 100  # images that are evaluated together under the number of their task
_FISHER = 500  # examples of a task for elastic weight consolidation


@dataclasses.dataclass(frozen=True)
class TaskSequence(Task):
    """Abstract: tasks that are learned one after another: epoch k of a training has batches of task k alone.

    x is `[B, P, features]`, P points of one task, and the condition `[B]` the number of the task. A subclass supplies
    `examples(split, task)`, all of a task, and `layers(kind)` of g. Each epoch begins with new state of the optimizer,
    and with remembering all tasks before.

    Attributes:
        num_tasks: Number of tasks, which is the number of epochs of a training.
        steps: Steps for each task.
        batch: Points of a step.
        strength: Strength of the penalty: `beta` of `OutputRegularizer`, or the strength of `ElasticWeights`.
        embedding_dim: Dimension of the vector of a task.
    """

    condition_dtype = "int32"
    condition_shape = ()
    methods: ClassVar = METHODS
    embedding_dim: ClassVar[int] = 32

    def examples(self, split, task):
        """x `[N, features]` and y of one task in a split."""
        raise NotImplementedError

    def base_loss(self):
        """The loss of one task."""
        raise NotImplementedError

    def network(self, dense):
        """The layers of g, of which `dense(units, gain, name, activation, last)` makes each layer with weights."""
        raise NotImplementedError

    def make_model(self, method, recipe):
        hyper = method in ("hyper", "unregularized")
        if hyper:
            generator, dense = self.generated(recipe)
        else:
            heads = {"embeddings_initializer": "identity", "trainable": False, "name": "number"}
            generator, dense = keras.layers.Embedding(self.num_tasks, self.num_tasks, **heads), self._shared
        strength = self.strength if method in ("hyper", "ewc") else 0.0
        loss = (OutputRegularizer if hyper else ElasticWeights)(strength, self.base_loss())
        model = Hypernetwork(generator, self.network(dense), name=f"{self.name}_{method}")
        return model, {"loss": loss, "metrics": self.metrics()}

    def _shared(self, units, gain, name, activation=None, last=False):
        """A Dense layer; or for the last, the head of the task, which a vector of one 1 and zeros chooses."""
        if not last:
            kernel = keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")
            return keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name)
        initializer = HyperfanIn(gain, condition_second_moment=1 / self.num_tasks)
        return HyperDense(
            *(units, activation), kernel_initializer=initializer, name=name, basis=Full(train_constant=False)
        )

    def callbacks(self, model):
        return [_EachTask(self)]

    def inputs_of(self, split, task):
        """x `[1, N, features]` with the number of the task, and y `[1, N, ...]`: all examples of a task in one row."""
        x, y = self.examples(split, task)
        return {"x": x[np.newaxis], "condition": np.array([task], "int32")}, y[np.newaxis]

    def predict(self, model, x, task):
        """Outputs `[N, ...]` for x `[N, features]` under the number of a task, whose weights are written once."""
        weights = model.generate(np.array([task], "int32"))
        parts = [model.apply(part[np.newaxis], weights)[0] for part in _parts(x)]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def _parts(x, size=5000):
    return (x[first : first + size] for first in range(0, len(x), size))


class _EachTask(keras.callbacks.Callback):
    """Before each task: forgets the state of the optimizer, and remembers the tasks before."""

    def __init__(self, sequence):
        super().__init__()
        self.sequence = sequence

    def on_epoch_begin(self, epoch, logs=None):
        optimizer, loss = self.model.optimizer, self.model.loss
        rate = float(optimizer.learning_rate)
        for variable in optimizer.variables:
            variable.assign(ops.zeros_like(variable))
        optimizer.learning_rate = rate
        if not epoch or not loss.strength:
            return
        if isinstance(loss, OutputRegularizer):
            loss.remember(self.model, np.arange(epoch, dtype="int32"))
            return
        if loss.model is None and epoch > 1:
            raise ValueError("A training by elastic weight consolidation cannot go on: start it again, without resume.")
        x, y = self.sequence.examples("train", epoch - 1)
        task = np.full(len(x), epoch - 1, "int32")
        loss.remember(self.model, {"x": x[:, np.newaxis], "condition": task}, y[:, np.newaxis], most=_FISHER)


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ErrorRate(keras.metrics.Metric):
    """The share of wrong classes; negative labels do not count."""

    def __init__(self, name="error_rate", **kwargs):
        super().__init__(name=name, **kwargs)
        self.wrong = self.add_weight(name="wrong", initializer="zeros")
        self.total = self.add_weight(name="total", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        counts = ops.cast(y_true >= 0, "float32")
        wrong = ops.not_equal(ops.cast(y_true, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        self.wrong.assign_add(ops.sum(counts * ops.cast(wrong, "float32")))
        self.total.assign_add(ops.sum(counts))

    def result(self):
        return ops.divide_no_nan(self.wrong, self.total)


@register
@dataclasses.dataclass(frozen=True)
class DigitSequence(ImageTask, TaskSequence):
    """Learn tasks of labelled images one after another: classes two by two, or all classes of permuted pixels.

    `"split"`: task t tells class 2 t from class 2 t + 1. `"permuted"`: each task after the first tells all ten classes
    of images whose pixels are permuted in an order of its own. Every task has outputs of its own: a hypernetwork writes
    them, a network has a head for each task. g has two hidden layers of 100 units. A batch of training has `batch`
    images of one task; evaluations have groups of 100, of which the last of a task is filled by images that do not
    count (label -1). Batches are `({"x": uint8 [B, P, pixels], "condition": int32 [B]}, labels: int32 [B, P])`.

    Args:
        data: Name of a data source with labels.
        protocol: `"split"` or `"permuted"`.
        num_tasks, steps, batch, strength: See `TaskSequence`; a split has at most five tasks.
        chunk: Entries of a chunk of the hypernetwork, whose basis is `Chunked`.
        chunk_dim: Dimension of the vector of a chunk.
        hidden: Units of the hidden layers between these vectors and a chunk.

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
    strength: float = 10.0
    chunk: int = 8000
    chunk_dim: int = 32
    hidden: tuple = (10, 10, 10, 10)
    name = "digit_sequence"
    metric = "error_rate"
    condition_dtype = "int32"
    labelled = True
    purpose = "Tells the class of an image, given the number of its task; the tasks were learned one after another"
    limits = ("Tasks in this order, with as many steps: of other sequences nothing was measured.",)
    deviations = ()
    held_out = "The last 5,000 training examples, or some of the images, are held out for validation."
    provenance: ClassVar = {
        "text": ["The hypernetwork of chunks, the regularizer, the tasks, and the network of two layers of 100 units."],
        "code": ["Sizes of chunks and vectors, strength, steps, batch and rate (Henning et al.)."],
        "ours": [
            f"A head of each task's own classes alone, the initialization, and one vector for each chunk. {PIXELS}"
        ],
    }

    def __post_init__(self):
        super().__post_init__()
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"`protocol` must be one of {PROTOCOLS}. Received: {self.protocol!r}")
        object.__setattr__(self, "hidden", tuple(self.hidden))  # the task is frozen; JSON holds a list
        check_integers(self, "num_tasks", "steps", "batch", "chunk", "chunk_dim")
        if self.protocol == "split":
            integer("num_tasks", self.num_tasks, most=5)
        object.__setattr__(self, "strength", OutputRegularizer.checked_strength("strength", self.strength))

    @property
    def num_outputs(self):
        return 2 if self.protocol == "split" else 10

    @property
    def x_shape(self):
        return (None, int(np.prod(self.source.image_shape)))

    def load(self, split):
        images, labels = super().load(split)
        return images.reshape(len(images), -1), labels

    def num_examples(self, split):
        """The number of groups that an evaluation has."""
        return len(self._groups(self.source.load_labels(split))[0])

    def examples(self, split, task):
        images, labels = self.load(split)
        mine = self._members(labels, task)
        return images[mine][:, self.order(task)], self._classes(labels[mine]).astype("int32")

    def order(self, task):
        """The order of the pixels in a task."""
        pixels = self.x_shape[1]
        if self.protocol == "split" or task == 0:
            return np.arange(pixels)
        return np.random.default_rng([2020, task]).permutation(pixels)

    def _members(self, labels, task):
        return np.flatnonzero(labels // 2 == task) if self.protocol == "split" else np.arange(len(labels))

    def _classes(self, labels):
        return labels % 2 if self.protocol == "split" else labels

    def _groups(self, labels):
        """The numbers of the images of each group `[groups, 100]`, -1 where there is none, and its task `[groups]`."""
        groups, tasks = [], []
        for task in range(self.num_tasks):
            mine = self._members(labels, task)
            filled = np.append(mine, np.full(-len(mine) % _GROUP, -1)).reshape(-1, _GROUP)
            groups, tasks = [*groups, filled], tasks + [task] * len(filled)
        return np.concatenate(groups).astype("int32"), np.array(tasks, "int32")

    def training_dataset(self, examples, batch_size, seed, epoch):
        import tensorflow as tf

        labels = examples[1]
        members = [self._members(labels, task) for task in range(self.num_tasks)]
        counts = tf.constant([len(mine) for mine in members])
        table = np.zeros((self.num_tasks, max(map(len, members))), "int32")
        for row, mine in zip(table, members, strict=True):
            row[: len(mine)] = mine

        def plan():
            task = tf.cast(tf.convert_to_tensor(epoch), tf.int32) % self.num_tasks
            shape = self.steps, self.batch
            drawn = tf.random.stateless_uniform(shape, stream(seed, epoch), 0, counts[task], tf.int32)
            return tf.concat([tf.fill([self.steps, 1], task), tf.gather(tf.constant(table)[task], drawn)], axis=1)

        return self._made(examples, self.steps, plan, batch_size)

    def evaluation_dataset(self, split, batch_size=20):
        import tensorflow as tf

        examples = self.load(split) if isinstance(split, str) else split
        groups, tasks = self._groups(examples[1])
        rows = np.column_stack([tasks, groups]).astype("int32")
        return self._made(examples, len(rows), lambda: tf.constant(rows), batch_size)

    def _made(self, examples, number, plan, batch_size):
        import tensorflow as tf

        images, classes = tf.constant(examples[0]), tf.constant(self._classes(examples[1]).astype("int32"))
        orders = tf.constant(np.stack([self.order(task) for task in range(self.num_tasks)]), tf.int32)

        def make(rows):
            tasks, numbers = rows[:, 0], rows[:, 1:]
            x = tf.gather(images, tf.maximum(numbers, 0))
            if self.protocol == "permuted":
                x = tf.gather(x, tf.gather(orders, tasks), axis=2, batch_dims=1)
            labels = tf.where(numbers >= 0, tf.gather(classes, tf.maximum(numbers, 0)), _NO_LABEL)
            return {"x": x, "condition": tasks}, labels

        return planned_batches(number, plan, make, batch_size)

    def base_loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=_NO_LABEL)

    def metrics(self):
        return [ErrorRate()]

    def generated(self, recipe):
        basis = Chunked(self.chunk, self.chunk_dim, self.hidden, train_constant=False)

        def dense(units, gain, name, activation=None, last=False):
            initializer = HyperfanIn(gain, generates_bias=True)
            options = {"kernel_initializer": initializer, "bias_initializer": initializer, "basis": basis}
            return HyperDense(units, activation, name=name, **options)

        return TaskEmbedding(self.num_tasks, self.embedding_dim, name="task"), dense

    def network(self, dense):
        hidden = [dense(100, 2.0, f"hidden_{number}", "relu") for number in (1, 2)]
        return [StandardizeImage(name="standardize"), *hidden, dense(self.num_outputs, 1.0, "logits", last=True)]

    def errors(self, model, split):
        """The share of wrong classes of each task, with the task known: `[num_tasks]`."""
        examples = [self.examples(split, task) for task in range(self.num_tasks)]
        return [
            float(np.mean(self.predict(model, x, task).argmax(axis=-1) != y)) for task, (x, y) in enumerate(examples)
        ]

    def inferred(self, model, split):
        """The share of images whose task or class is wrong, where the task is that of least entropy."""
        wrong = total = 0
        for task in range(self.num_tasks):
            x, y = self.examples(split, task)
            logits = np.stack([self.predict(model, x, other) for other in range(self.num_tasks)])
            found = entropy(logits).argmin(axis=0)
            right = (found == task) & (logits[task].argmax(axis=-1) == y)
            wrong, total = wrong + np.sum(~right), total + len(y)
        return float(wrong / total)


def entropy(logits):
    """The entropy of the softmax of logits `[..., classes]`, in nats.

    >>> entropy(np.array([0.0, 0.0])).round(4).item()
    0.6931
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.sum(np.exp(logs) * logs, axis=-1)


# By task: the function of x, and the range of x.
POLYNOMIALS = (
    (lambda x: x + 3, (-4, -2)),
    (lambda x: 2 * x**2 - 1, (-1, 1)),
    (lambda x: (x - 3) ** 3, (2, 4)),
)
_NOISE = 0.05
_POINTS = {"train": 100, "validation": 50, "test": 50}


@register
@dataclasses.dataclass(frozen=True)
class PolynomialSequence(TaskSequence):
    """Learn three polynomials one after another: `x + 3` on [-4, -2], `2 x^2 - 1` on [-1, 1], `(x - 3)^3` on [2, 4].

    100 training points of each have noise of the standard deviation 0.05; 50 test points, equally far apart, and 50
    validation points have none. g has two hidden layers of 10 sigmoid units. Batches are
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
        object.__setattr__(self, "strength", OutputRegularizer.checked_strength("strength", self.strength))

    def data_facts(self):
        return {"name": "three polynomials", **DRAWN}

    def num_examples(self, split):
        check_split(split)
        return self.num_tasks

    def load(self, split):
        check_split(split)
        return _polynomials(self.seed, split)

    def examples(self, split, task):
        x, y = self.load(split)
        return x[task], y[task]

    def training_dataset(self, examples, batch_size, seed, epoch):
        import tensorflow as tf

        x, y = map(tf.constant, examples)

        def plan():
            task = tf.cast(tf.convert_to_tensor(epoch), tf.int32) % self.num_tasks
            shape = self.steps, self.batch
            drawn = tf.random.stateless_uniform(shape, stream(seed, epoch), 0, x.shape[1], tf.int32)
            return tf.concat([tf.fill([self.steps, 1], task), drawn], axis=1)

        def make(rows):
            tasks, numbers = rows[:, 0], rows[:, 1:]
            mine = [tf.gather(tf.gather(array, tasks), numbers, batch_dims=1) for array in (x, y)]
            return {"x": mine[0], "condition": tasks}, mine[1]

        return planned_batches(self.steps, plan, make, batch_size)

    def evaluation_dataset(self, split, batch_size=20):
        import tensorflow as tf

        x, y = map(tf.constant, self.load(split) if isinstance(split, str) else split)

        def make(tasks):
            return {"x": tf.gather(x, tasks), "condition": tasks}, tf.gather(y, tasks)

        return planned_batches(self.num_tasks, lambda: tf.range(self.num_tasks), make, batch_size)

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

    def errors(self, model, split):
        """The mean squared error of each task, with the task known: `[num_tasks]`."""
        examples = [self.examples(split, task) for task in range(self.num_tasks)]
        return [float(np.mean((self.predict(model, x, task) - y) ** 2)) for task, (x, y) in enumerate(examples)]


@functools.lru_cache(maxsize=6)
def _polynomials(seed, split):
    """x and y of all tasks, `[3, points, 1]`."""
    rng, points = np.random.default_rng([seed, (*_POINTS,).index(split)]), _POINTS[split]
    x, y = [], []
    for function, (low, high) in POLYNOMIALS:
        x.append(np.linspace(low, high, points) if split == "test" else rng.uniform(low, high, points))
        noise = rng.normal(0, _NOISE, points) if split == "train" else 0.0
        y.append(function(x[-1]) + noise)
    return tuple(np.stack(part).astype("float32")[..., np.newaxis] for part in (x, y))
