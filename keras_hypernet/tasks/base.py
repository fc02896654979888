"""Task: the description of a task as data; and batches that are planned once per pass."""

import dataclasses
import hashlib
import json
import math
from typing import ClassVar

import keras
import numpy as np

from keras_hypernet.common.backends import require_tensorflow

# Training draws from (seed, epoch) streams; evaluations draw from this fixed stream.
EVALUATION_SEED = 20200610


@dataclasses.dataclass(frozen=True)
class Task:
    """Abstract: makes x, condition and target from examples.

    A subclass is a frozen dataclass with plain values as fields, so that JSON can hold the task, and implements
    `load`, `training_dataset` and `evaluation_dataset`.

    Attributes:
        name: Name of the task.
        metric: Metric of evaluations: `"error"`, the share of wrong classes, or `"mse"`, the mean squared error.
        loss: Training loss: `"cross_entropy"`, of logits and integer labels, or `"mse"`.
        inputs: Inputs of its models: `("x", "condition")`, or `("x",)`.
        x_shape, condition_shape: Shapes of the inputs without the batch; None for a free size.
        x_dtype, condition_dtype: `"uint8"` for images, which models scale themselves, otherwise `"float32"`. `fit` and
            `evaluate` compare these dtypes with the batches.
        num_outputs: Output dimension of a model.
        generates_biases: Whether g has biases. A network without biases is homogeneous in x.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    loss: ClassVar[str] = "mse"
    inputs: ClassVar[tuple] = ("x", "condition")
    x_dtype: ClassVar[str] = "uint8"
    condition_dtype: ClassVar[str] = "uint8"
    generates_biases: ClassVar[bool] = False

    def config(self):
        """Returns the task as a dict for JSON; `get_task(**config)` is the inverse.

        Raises:
            TypeError: If JSON cannot hold a field of the task.
        """
        fields = {"name": self.name, **dataclasses.asdict(self)}
        try:
            return json.loads(json.dumps(fields))  # turns tuples into lists
        except TypeError as error:
            raise TypeError(
                f"The fields of a task must be plain values, which a file can hold. Received for {self.name!r}: "
                f"{error}. Give the task the name of a file of arrays, say, which its `load` reads."
            ) from error

    def load(self, split):
        """Returns the examples of `"train"`, `"validation"` or `"test"`.

        Examples are an array with a row per example, or a tuple or a dict of such arrays.
        """
        raise NotImplementedError

    def load_together(self, splits):
        """Returns the examples of several splits, one after the other, in the form of `load`."""
        parts = [self.load(split) for split in splits]
        return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts) if len(parts) > 1 else parts[0]

    def num_examples(self, split):
        """Number of examples of a split.

        Raises:
            ValueError: If the arrays of `load` differ in their number of rows.
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
        """Returns the SHA-256 of x of the test split as loaded, which identifies a copy of a data set."""
        examples = self.load("test")
        x = examples["x"] if isinstance(examples, dict) else examples[0] if isinstance(examples, tuple) else examples
        return hashlib.sha256(x.tobytes()).hexdigest()

    def training_dataset(self, examples, batch_size, seed, epoch):
        """Returns one epoch: every example once; seed and epoch determine the order and all other draws.

        Args:
            examples: Examples as `load` returns them.
            batch_size: Examples per batch; the last batch may be smaller.
            seed: An integer.
            epoch: An integer, or an integer `tf.Variable`, read at the start of each pass over the dataset.

        Returns:
            A `tf.data.Dataset` of pairs of inputs and targets.
        """
        raise NotImplementedError

    def evaluation_dataset(self, split, batch_size=500):
        """Returns a split in order, the same at each call.

        Args:
            split: Name of a split, or examples as `load` returns them.
            batch_size: Examples per batch; the last batch may be smaller.

        Returns:
            A `tf.data.Dataset` as of `training_dataset`.
        """
        raise NotImplementedError


def check_dtypes(task, dataset):
    """Raises ValueError if the dtypes of a task's batches differ from the dtypes that the task declares."""
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
    """Raises ValueError unless these fields of a task are integers from `least`, 0 or 1, to 2^31 - 1."""
    for name in names:
        value = getattr(task, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            kind = "a positive" if least else "a non-negative"
            raise ValueError(f"`{name}` must be {kind} integer. Received: {value!r}")
        if value >= 2**31:
            raise ValueError(f"`{name}` must be less than {2**31}. Received: {value!r}")


def stream(seed, epoch, number=0):
    """Returns a seed for TensorFlow's stateless operations; each `number` is an independent stream of the epoch."""
    import tensorflow as tf

    epoch = tf.cast(tf.convert_to_tensor(epoch), tf.int64)
    return tf.stack([tf.cast(seed, tf.int64), epoch + (number << 32)])


def shuffled(num_examples, seed, epoch):
    """Returns the order of an epoch, an int32 permutation."""
    import tensorflow as tf

    return tf.random.experimental.stateless_shuffle(tf.range(num_examples), stream(seed, epoch))


def planned_batches(num_examples, plan, make, batch_size):
    """Returns a dataset of batches, planned together at the start of each pass and made one by one.

    Args:
        num_examples: Examples per pass.
        plan: Function without arguments that returns a tensor with a row per example. Small computations belong
            here: repeated for each batch, they would take as long as making the batch.
        make: Function from the rows of a batch to an element of the dataset. Its closure holds large arrays as
            tensors; constants of the graph would be serialized in every pass.
        batch_size: Examples per batch; the last batch may be smaller.

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
