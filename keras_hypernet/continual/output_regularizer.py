"""OutputRegularizer: a loss that retains the weights that a hypernetwork generates for earlier tasks."""

import keras
from keras import ops

from keras_hypernet.common.checks import finite
from keras_hypernet.continual.remembering import RememberingLoss
from keras_hypernet.models import Hypernetwork


@keras.saving.register_keras_serializable(package="keras_hypernet")
class OutputRegularizer(RememberingLoss):
    """`loss + beta / n * sum_t ||f(e_t; theta) - f(e_t; theta*)||^2`: learns a task, and retains n earlier tasks.

    f(e_t; theta) are all weights that the hypernetwork generates for the condition of task t, and theta* are the
    parameters of the hypernetwork at the last call of `remember`. No data of earlier tasks are needed. Until the first
    call of `remember`, there is no penalty. All parameters of f stay trainable, including the embeddings of past tasks.

    Args:
        beta: Strength of the regularizer, a number of at least 0.
        loss: The loss of a task: a Keras loss, or the name of one.
        name: Name of the loss.

    Raises:
        ValueError: If `beta` is no finite number of at least 0, or `loss` is no loss.

    The penalty is part of the loss that `fit` and `evaluate` report. A saved model keeps `beta` and the loss, but not
    the remembered weights: after loading, call `remember` again. Each call stores the current weights of all tasks, and
    replaces those of the call before.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> x, y = np.linspace(-1, 1, 64).reshape(64, 1), {0: lambda x: x**2, 1: lambda x: -x}
    >>> generator = keras_hypernet.layers.TaskEmbedding(2, dim=4, seed=0)
    >>> layers = [keras_hypernet.layers.HyperDense(10, "tanh", name="hidden"), keras_hypernet.layers.HyperDense(1)]
    >>> model = keras_hypernet.Hypernetwork(generator, layers)
    >>> loss = OutputRegularizer(beta=0.01, loss="mse")
    >>> for task, function in y.items():
    ...     model.compile(keras.optimizers.Adam(0.01), loss)  # a new optimizer for each task
    ...     inputs = {"x": x, "condition": np.full(64, task)}
    ...     history = model.fit(inputs, function(x), epochs=2, verbose=0)
    ...     loss.remember(model, np.arange(task + 1))
    >>> len(loss.targets["hidden/kernel"])  # the kernels of both tasks are remembered
    2

    Reference: von Oswald et al., "Continual Learning with Hypernetworks", ICLR 2020, Eq. 2, without the lookahead of
        the weights, which the authors' code has as an option.
    """

    def __init__(self, beta, loss, name="output_regularizer"):
        super().__init__(finite("beta", beta, least=0), loss, name=name)
        self.condition, self.targets = None, {}

    @property
    def beta(self):
        return self.strength

    def remember(self, model, condition):
        """Stores the weights that a hypernetwork now generates, and penalizes changes from now on.

        Args:
            model: A built `Hypernetwork`, compiled with this loss.
            condition: The conditions of all tasks learned so far, `[n, ...]`, such as `[0, 1, 2]` for task numbers.

        Raises:
            TypeError: If the model is not a `Hypernetwork`.
            ValueError: If the model has not been built, there is no condition, or the model takes other conditions.
        """
        if not isinstance(model, Hypernetwork):
            raise TypeError(f"`model` must be a Hypernetwork. Received: {type(model).__name__}")

        def as_array(part):  # lists of numbers are arrays, also in a dict; dicts and tuples are structures
            if isinstance(part, (list, range)):
                return ops.convert_to_tensor(part)
            return None if isinstance(part, dict) else part

        condition = keras.tree.map_structure(ops.convert_to_numpy, keras.tree.traverse(as_array, condition))
        sizes = {array.shape[0] if array.ndim else 0 for array in keras.tree.flatten(condition)}
        if len(sizes) != 1 or 0 in sizes:
            received = keras.tree.map_structure(lambda array: array.shape, condition)
            raise ValueError(f"`condition` must hold a row for each learned task. Received: shape {received}")
        # Before the first assignment, so that an invalid condition does not change the loss.
        generated = model.generate(condition)
        self.targets = {name: ops.stop_gradient(ops.copy(weight)) for name, weight in generated.items()}
        self.condition = condition
        self.keep(model)

    def penalty(self):
        generated, total = self.model.generate(self.condition), 0.0
        for name, target in self.targets.items():
            difference = ops.cast(generated[name], "float32") - ops.cast(target, "float32")
            total = total + ops.sum(ops.square(difference)) / target.shape[0]
        return self.beta * total

    def get_config(self):
        return {**super().get_config(), "beta": self.beta}
