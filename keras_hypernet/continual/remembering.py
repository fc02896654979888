"""RememberingLoss: the loss of the current task, plus a penalty that retains earlier tasks."""

import keras


class RememberingLoss(keras.losses.Loss):
    """Abstract: `loss(y_true, y_pred) + penalty()`; see `OutputRegularizer`.

    A subclass implements `penalty()`, a scalar tensor, which is only called after `remember`.

    The penalty is added once per batch, after the reduction of the loss; sample weights do not affect it. Keras applies
    a loss to each output of a model, so one output alone may have this loss. A train step of your own that is compiled,
    such as by `tf.function`, holds the penalty of its first call: compile the step again after each `remember`.
    """

    def __init__(self, strength, loss, name):
        super().__init__(name=name)
        self.loss = keras.losses.get(loss)
        if not callable(self.loss):
            raise ValueError(f"`loss` must be a Keras loss, or the name of one. Received: {loss!r}")
        self.strength = strength
        self.model = None

    def loss_of_task(self, y_true, y_pred, sample_weight=None):
        """The loss without the penalty; a Keras loss reduces itself, and a function is averaged."""
        own = self.loss if isinstance(self.loss, keras.losses.Loss) else super().__call__
        return own(y_true, y_pred, sample_weight)

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = self.loss_of_task(y_true, y_pred, sample_weight)
        if self.model is None or not self.strength:
            return loss
        return loss + keras.ops.cast(self.penalty(), loss.dtype) / _replicas()

    def call(self, y_true, y_pred):
        return self.loss(y_true, y_pred)

    def keep(self, model):
        """Penalizes changes of a model from now on."""
        self.model = model
        if model.compiled:  # the compiled train step contains the earlier penalty
            model.make_train_function(force=True)
            model.test_function = None

    def get_config(self):
        return {"loss": keras.losses.serialize(self.loss), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.losses.deserialize(config["loss"])})


def _replicas():
    """The number of replicas, over which Keras adds losses up; its own losses are divided by it, too."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
