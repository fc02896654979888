"""Sequences of tasks, each learned in one epoch, and the networks that learn them."""

import dataclasses
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.bases import Full
from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.continual.elastic_weights import ElasticWeights
from keras_hypernet.continual.output_regularizer import OutputRegularizer
from keras_hypernet.continual.remembering import RememberingLoss
from keras_hypernet.layers import HyperDense
from keras_hypernet.models import Hypernetwork
from keras_hypernet.tasks import Task
from keras_hypernet.tasks.batches import planned_batches, stream

METHODS = {
    "hyper": "a hypernetwork with the output regularizer",
    "unregularized": "the same hypernetwork without the regularizer",
    "finetune": "one network with a head for each task, fine-tuned",
    "ewc": "one network with a head for each task, by elastic weight consolidation",
}
_FISHER = 500  # examples of a task for elastic weight consolidation
_PART = 5000  # examples that are predicted at a time


@dataclasses.dataclass(frozen=True)
class TaskSequence(Task):
    """Abstract: a sequence of tasks: epoch k of a training has only batches of task k.

    x is `[B, P, features]`, P points of one task, and the condition `[B]` is the index of the task. Before each epoch,
    the state of the optimizer is reset, and all earlier tasks are remembered. A subclass implements:

    - `load(split)`: x `[N, features]` and y of all tasks; `members(examples, task)`: the rows of a task in them.
    - `base_loss()`: the loss of one task; `metrics()`: the metrics; `error(y, outputs)`: the error of each output.
    - `network(dense)`: the layers of g; `dense(units, gain, name, activation, last)` creates each layer with weights.
    - `generated(recipe)`: the generator of a hypernetwork, and its `dense`.

    Attributes:
        num_tasks: Number of tasks, which is the number of epochs of a training.
        steps: Steps for each task.
        batch: Points in a step.
        strength: Strength of the penalty: `beta` of `OutputRegularizer`, or the strength of `ElasticWeights`.
        embedding_dim: Dimension of the embedding of a task.
        group: Number of examples that an evaluation takes together under one condition; None for all of a task, if all
            tasks have as many.
    """

    condition_dtype = "int32"
    condition_shape = ()
    methods: ClassVar = METHODS
    embedding_dim: ClassVar[int] = 32
    group: ClassVar[int | None] = None

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
        """A Dense layer; as the last layer, the heads of all tasks, from which a one-hot vector selects."""
        if not last:
            kernel = keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")
            return keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name)
        kernel = HyperfanIn(gain, condition_second_moment=1 / self.num_tasks)
        return HyperDense(units, activation, kernel_initializer=kernel, name=name, basis=Full(train_constant=False))

    def callbacks(self, model):
        return [_EachTask(self)]

    def examples(self, split, task):
        """x `[N, features]` and y of one task in a split."""
        x, y = self.load(split)
        mine = self.members((x, y), task)
        return x[mine], y[mine]

    def num_examples(self, split):
        """The number of groups in an evaluation."""
        return len(self._groups(self.load(split))[0])

    def num_measured(self, split):
        examples = self.load(split)
        return sum(len(self.members(examples, task)) for task in range(self.num_tasks))

    def training_dataset(self, examples, batch_size, seed, epoch):
        import tensorflow as tf

        members = [self.members(examples, task) for task in range(self.num_tasks)]
        counts = [len(mine) for mine in members]
        if not all(counts):
            raise ValueError(
                f"`num_tasks` must be at most {counts.index(0)}, because {self.data_facts()['name']} has no examples "
                f"of further tasks. Received: {self.num_tasks}"
            )
        members = tf.RaggedTensor.from_row_lengths(np.concatenate(members).astype("int32"), counts)

        def plan():
            task = tf.cast(tf.convert_to_tensor(epoch), tf.int32) % self.num_tasks
            mine, shape = members[task], (self.steps, self.batch)
            drawn = tf.random.stateless_uniform(shape, stream(seed, epoch), 0, tf.size(mine), tf.int32)
            return tf.fill([self.steps], task), tf.gather(mine, drawn)

        return planned_batches(self.steps, plan, self.maker(examples), batch_size)

    def evaluation_dataset(self, split, batch_size=20):
        examples = self.load(split) if isinstance(split, str) else split
        groups = self._groups(examples)
        return planned_batches(len(groups[0]), lambda: groups, self.maker(examples), batch_size)

    def _groups(self, examples):
        """The task of each group `[groups]`, and its rows of `load` `[groups, size]`, -1 for none."""
        members = [self.members(examples, task) for task in range(self.num_tasks)]
        size = self.group or max(map(len, members))
        filled = [np.append(mine, np.full(-len(mine) % size, -1)).reshape(-1, size) for mine in members]
        tasks = np.repeat(np.arange(self.num_tasks), [len(rows) for rows in filled])
        return tasks.astype("int32"), np.concatenate(filled).astype("int32")

    def maker(self, examples):
        """The function from tasks `[B]` and rows of `load` `[B, P]` to inputs and targets."""
        import tensorflow as tf

        x, y = map(tf.constant, examples)
        return lambda tasks, rows: ({"x": tf.gather(x, rows), "condition": tasks}, tf.gather(y, rows))

    def errors(self, model, split):
        """The mean error on each task, with the task known: `[num_tasks]`."""
        examples = [self.examples(split, task) for task in range(self.num_tasks)]
        return [float(np.mean(self.error(y, self.predict(model, x, task)))) for task, (x, y) in enumerate(examples)]

    def predict(self, model, x, task):
        """Outputs `[N, ...]` for x `[N, features]` and the index of a task, whose weights are written once."""
        weights = model.generate(np.array([task], "int32"))
        parts = np.split(x, range(_PART, len(x), _PART))
        return np.concatenate([ops.convert_to_numpy(model.apply(part[np.newaxis], weights)[0]) for part in parts])


class _EachTask(keras.callbacks.Callback):
    """Before each task: resets the state of the optimizer, and remembers the earlier tasks."""

    def __init__(self, sequence):
        super().__init__()
        self.sequence = sequence

    def on_train_begin(self, logs=None):
        if self.params["epochs"] > self.sequence.num_tasks:
            raise ValueError(
                f"`epochs` must be at most {self.sequence.num_tasks}, one for each task of the sequence. Received: "
                f"{self.params['epochs']}"
            )
        if not isinstance(self.model.loss, RememberingLoss):
            raise ValueError(
                "The loss of a sequence of tasks must be an `OutputRegularizer` or `ElasticWeights`, of strength 0 to "
                f"remember nothing. Received: {self.model.loss!r}"
            )

    def on_epoch_begin(self, epoch, logs=None):
        loss = self.model.loss
        self._reset(self.model.optimizer)
        if not epoch or not loss.strength:
            return
        if isinstance(loss, OutputRegularizer):
            loss.remember(self.model, np.arange(epoch, dtype="int32"))
            return
        if loss.model is None and epoch > 1:
            raise ValueError("A training by elastic weight consolidation cannot be resumed: start it again.")
        x, y = self.sequence.examples("train", epoch - 1)
        task = np.full(len(x), epoch - 1, "int32")
        loss.remember(self.model, {"x": x[:, np.newaxis], "condition": task}, y[:, np.newaxis], most=_FISHER)

    def _reset(self, optimizer):
        """Gives the optimizer the state of a new one, which is not zero for all optimizers."""
        if not optimizer.built:
            return
        with self.model.distribute_strategy.scope():
            new = type(optimizer).from_config(optimizer.get_config())
            new.build(self.model.trainable_variables)
        for variable, initial in zip(optimizer.variables, new.variables, strict=True):
            variable.assign(ops.convert_to_numpy(initial))
