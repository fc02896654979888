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

METHODS = {
    "hyper": "a hypernetwork with the output regularizer",
    "unregularized": "the same hypernetwork without the regularizer",
    "finetune": "one network with a head for each task, fine-tuned",
    "ewc": "one network with a head for each task, by elastic weight consolidation",
}
_FISHER = 500  # examples of a task for elastic weight consolidation


@dataclasses.dataclass(frozen=True)
class TaskSequence(Task):
    """Abstract: a sequence of tasks: epoch k of a training has only batches of task k.

    x is `[B, P, features]`, P points of one task, and the condition `[B]` is the index of the task. A subclass
    implements `examples(split, task)`, all examples of a task, `base_loss()`, and `network(dense)`, the layers of g.
    Before each epoch, the state of the optimizer is reset, and all earlier tasks are remembered.

    Attributes:
        num_tasks: Number of tasks, which is the number of epochs of a training.
        steps: Steps for each task.
        batch: Points in a step.
        strength: Strength of the penalty: `beta` of `OutputRegularizer`, or the strength of `ElasticWeights`.
        embedding_dim: Dimension of the embedding of a task.
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
        """The layers of g; `dense(units, gain, name, activation, last)` creates each layer with weights."""
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
        """A Dense layer; as the last layer, the heads of all tasks, from which a one-hot vector selects."""
        if not last:
            kernel = keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")
            return keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name)
        initializer = HyperfanIn(gain, condition_second_moment=1 / self.num_tasks)
        return HyperDense(
            *(units, activation), kernel_initializer=initializer, name=name, basis=Full(train_constant=False)
        )

    def callbacks(self, model):
        return [_EachTask(self)]

    def num_measured(self, split):
        return sum(len(self.examples(split, task)[0]) for task in range(self.num_tasks))

    def predict(self, model, x, task):
        """Outputs `[N, ...]` for x `[N, features]` and the index of a task, whose weights are written once."""
        weights = model.generate(np.array([task], "int32"))
        parts = [model.apply(part[np.newaxis], weights)[0] for part in _parts(x)]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])


def _parts(x, size=5000):
    return (x[first : first + size] for first in range(0, len(x), size))


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
