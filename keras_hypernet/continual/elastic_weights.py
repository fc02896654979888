"""ElasticWeights: elastic weight consolidation, a loss that retains the weights that matter for earlier tasks."""

import keras
import numpy as np
from keras import ops

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.checks import finite, integer
from keras_hypernet.continual.remembering import RememberingLoss
from keras_hypernet.models.conditions import check_arrays


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ElasticWeights(RememberingLoss):
    """`loss + strength / 2 * sum_i F_i (theta_i - theta*_i)^2`: elastic weight consolidation, for any Keras model.

    F is the diagonal of the empirical Fisher information, the mean squared gradient of the loss over examples, summed
    over the tasks so far. theta* are the weights after the last task.

    Args:
        strength: Strength of the penalty, a number of at least 0.
        loss: The loss of a task, a negative log-likelihood: a Keras loss, or the name of one.
        name: Name of the loss.

    Raises:
        ValueError: If `strength` is no finite number of at least 0, or `loss` is no loss.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> loss = ElasticWeights(strength=10.0, loss="mse")
    >>> model.compile("sgd", loss)
    >>> loss.remember(model, np.ones((5, 3)), np.ones((5, 1)))
    >>> float(loss.penalty())  # nothing has changed
    0.0

    References: Kirkpatrick et al., "Overcoming Catastrophic Forgetting in Neural Networks", PNAS 2017; Huszár, "Note on
    the Quadratic Penalties in Elastic Weight Consolidation", PNAS 2018, for a single theta* for all tasks.
    """

    def __init__(self, strength, loss, name="elastic_weights"):
        super().__init__(finite("strength", strength, least=0), loss, name=name)
        self.fisher = self.anchor = self.variables = None

    def remember(self, model, x, y, most=None):
        """Adds a task to the penalty, after the training on the task.

        Args:
            model: A built model, compiled with this loss.
            x: Inputs of the task, in the structure of the model's, with a row for each example.
            y: Targets of the task.
            most: Largest number of examples to use, from the first on; None for all.

        Raises:
            TypeError: If x or y holds anything but arrays.
            ValueError: If the model has not been built, x and y differ in their number of rows, there are no examples,
                the trainable weights differ from those of the call before, or `most` is no positive integer.
            RuntimeError: If Keras's backend is not TensorFlow.
        """
        require_tensorflow("`ElasticWeights.remember`")
        import tensorflow as tf

        if not model.built:
            raise ValueError("The model must have weights before `remember`: call it on x first. Received: none")
        check_arrays("x", x)
        check_arrays("y", y)
        rows = sorted({array.shape[0] for array in keras.tree.flatten((x, y))})
        if len(rows) != 1 or not rows[0]:
            raise ValueError(f"`x` and `y` must have as many rows, at least one. Received: {rows} rows")
        if self.fisher and [id(each) for each in model.trainable_variables] != [id(each) for each in self.variables]:
            raise ValueError("The model must have the same trainable weights for each task. Received: others")
        number = rows[0] if most is None else min(rows[0], integer("most", most))
        examples = keras.tree.map_structure(lambda array: tf.convert_to_tensor(array[:number]), (x, y))
        variables = [variable.value for variable in model.trainable_variables]

        @tf.function
        def squared_gradients(index):
            inputs, target = keras.tree.map_structure(lambda array: array[index : index + 1], examples)
            with tf.GradientTape() as tape:
                loss = self.loss_of_task(target, model(inputs, training=False))
            gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return [tf.square(tf.convert_to_tensor(gradient)) for gradient in gradients]

        fisher = self.fisher or [np.zeros(variable.shape, "float32") for variable in variables]
        for index in tf.range(number):
            fisher = [total + each / number for total, each in zip(fisher, squared_gradients(index), strict=True)]
        self.fisher, self.anchor = fisher, [tf.identity(variable) for variable in variables]
        self.variables = list(model.trainable_variables)  # a layer may be frozen later
        self.keep(model)

    def penalty(self):
        pairs = zip(self.variables, self.anchor, self.fisher, strict=True)
        return self.strength / 2 * sum(ops.sum(f * ops.square(variable - a)) for variable, a, f in pairs)

    def get_config(self):
        return {**super().get_config(), "strength": self.strength}
