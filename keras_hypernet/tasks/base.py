"""What every task has in common: its description as data, and batches that are planned once a pass."""

import dataclasses
import hashlib
import json
import math
from typing import ClassVar

import keras
import numpy as np

from keras_hypernet.common.backends import require_tensorflow

# Training draws from (seed, epoch) streams; a fixed one of its own makes every evaluation the same.
EVALUATION_SEED = 20200610


@dataclasses.dataclass(frozen=True)
class Task:
    """Abstract: which x, condition and target are made of a set of examples.

    A subclass is a frozen dataclass whose fields are plain values, so that a task can be written down, and
    implements `load`, `training_dataset` and `evaluation_dataset`.

    Attributes:
        name: Name of the task.
        metric: What its models are judged by: `"error"`, the share of wrong classes, or `"mse"`, the mean
            squared error.
        loss: What they are trained on: `"cross_entropy"`, of logits and integer labels, or `"mse"`.
        inputs: Which inputs its models take: `("x", "condition")`, or `("x",)`.
        x_shape, condition_shape: Shapes of the inputs, without the batch. None where any size will do.
        x_dtype, condition_dtype: `"uint8"` for images, which the models scale themselves, otherwise `"float32"`, which
            a task must say. `fit` and `evaluate` compare them with the batches.
        num_outputs: Dimension of a model's output.
        generates_biases: Whether g has biases. A network without them is homogeneous in x.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    loss: ClassVar[str] = "mse"
    inputs: ClassVar[tuple] = ("x", "condition")
    x_dtype: ClassVar[str] = "uint8"
    condition_dtype: ClassVar[str] = "uint8"
    generates_biases: ClassVar[bool] = False

    def config(self):
        """Returns the task as a dict, as JSON holds it; `get_task(**config)` is its inverse.

        Raises:
            TypeError: If JSON cannot hold a field of the task.
        """
        fields = {"name": self.name, **dataclasses.asdict(self)}
        try:
            return json.loads(json.dumps(fields))  # in which a tuple is a list
        except TypeError as error:
            raise TypeError(
                f"The fields of a task must be plain values, which a file can hold. Received for {self.name!r}: "
                f"{error}. Give the task the name of a file of arrays, say, which its `load` reads."
            ) from error

    def load(self, split):
        """Returns the examples of `"train"`, `"validation"` or `"test"`: what `training_dataset` is given.

        They are an array with a row for each example, or a tuple or a dict of such arrays.
        """
        raise NotImplementedError

    def load_together(self, splits):
        """Returns the examples of several splits, one after the other, in the form of `load`."""
        parts = [self.load(split) for split in splits]
        return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts) if len(parts) > 1 else parts[0]

    def num_examples(self, split):
        """Number of examples of a split: the rows of what `load` returns, an array, or a tuple or a dict of arrays.

        Raises:
            ValueError: If these arrays are not of the same number of rows.
        """
        shapes = [tuple(np.shape(array)) for array in keras.tree.flatten(self.load(split))]
        rows = {shape[:1] for shape in shapes}
        if len(rows) != 1 or () in rows:
            raise ValueError(
                f"`load` of the task {self.name!r} must return arrays with a row for each example of the {split} "
                f"split. Received: arrays of the shapes {shapes[:5]}"
            )
        return shapes[0][0]

    def fingerprint(self):
        """Returns the sha256 of x of the test split as it is loaded, which tells copies of a data set apart."""
        examples = self.load("test")
        x = examples["x"] if isinstance(examples, dict) else examples[0] if isinstance(examples, tuple) else examples
        return hashlib.sha256(x.tobytes()).hexdigest()

    def training_dataset(self, examples, batch_size, seed, epoch):
        """Returns one epoch: every example once, in an order that (seed, epoch) determine, as all else that is drawn.

        Args:
            examples: What `load` returns.
            batch_size: The last batch of an epoch may be smaller.
            seed: An integer.
            epoch: An integer, or an integer `tf.Variable` that is read each time the dataset is iterated.

        Returns:
            A `tf.data.Dataset` of pairs of inputs and targets.
        """
        raise NotImplementedError

    def evaluation_dataset(self, split, batch_size=500):
        """Returns a split, in order, the same at each call.

        Args:
            split: Name of a split, or examples as `load` returns them.
            batch_size: The last batch may be smaller.

        Returns:
            A `tf.data.Dataset` as of `training_dataset`.
        """
        raise NotImplementedError


def check_dtypes(task, dataset):
    """Raises ValueError if the inputs in a task's batches are not of the types that the task declares."""
    inputs = dataset.element_spec[0]
    for name in task.inputs:
        spec = inputs[name] if isinstance(inputs, dict) else inputs
        if not hasattr(spec, "dtype"):  # an input of several parts
            continue
        declared, received = getattr(task, f"{name}_dtype"), spec.dtype.name
        if declared != received:
            raise ValueError(
                f"`{name}_dtype` of the task {task.name!r} must be {received!r}, the type of {name} in its batches. "
                f"Received: {declared!r}. Say `{name}_dtype = {received!r}` in the class of the task."
            )


def check_integers(task, *names, least=1):
    """Raises ValueError if one of these fields of a task is not an integer from `least`, 0 or 1, to 2^31 - 1."""
    for name in names:
        value = getattr(task, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            kind = "a positive" if least else "a non-negative"
            raise ValueError(f"`{name}` must be {kind} integer. Received: {value!r}")
        if value >= 2**31:
            raise ValueError(f"`{name}` must be less than {2**31}. Received: {value!r}")


def stream(seed, epoch, number=0):
    """A seed for TensorFlow's stateless operations: one of several independent ones of an epoch."""
    import tensorflow as tf

    epoch = tf.cast(tf.convert_to_tensor(epoch), tf.int64)
    return tf.stack([tf.cast(seed, tf.int64), epoch + (number << 32)])


def shuffled(num_examples, seed, epoch):
    """The order of an epoch: an int32 permutation."""
    import tensorflow as tf

    return tf.random.experimental.stateless_shuffle(tf.range(num_examples), stream(seed, epoch))


def planned_batches(num_examples, plan, make, batch_size):
    """A dataset of batches that are planned together at the start of each pass, and made one by one.

    Args:
        num_examples: Examples in a pass.
        plan: Function without arguments that returns a tensor with a row for each example. What is small is
            computed there once; for each batch anew it would take as long as to make the batch.
        make: Function of a batch's rows that returns what the dataset yields.
        batch_size: The last batch may be smaller.

    Raises:
        RuntimeError: If Keras's backend is not TensorFlow.
    """
    require_tensorflow("The data of a task")
    import tensorflow as tf

    def rows(_):
        planned = plan()
        firsts = tf.data.Dataset.range(0, num_examples, batch_size)
        return firsts.map(lambda first: planned[first : first + batch_size])

    dataset = tf.data.Dataset.from_tensors(0).flat_map(rows).map(make, tf.data.AUTOTUNE)
    num_batches = math.ceil(num_examples / batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(tf.data.AUTOTUNE)
