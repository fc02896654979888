"""The classification task: which class is an image of, as a regression to one-hot vectors?"""

import dataclasses

import numpy as np

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks.base import Task, planned_batches, shuffled


@dataclasses.dataclass(frozen=True)
class ClassificationTask(Task):
    """Tell the class of an image. There is no condition; the target is one-hot and the loss the squared error.

    Args:
        data: Name of a data source with labels.

    Raises:
        ValueError: If there is no such data source, or it has no labels.

    Example:

    >>> task = ClassificationTask("digits")
    >>> images, classes = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> images.shape, classes.shape
    (TensorShape([32, 28, 28, 1]), TensorShape([32, 10]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, appendix, Assumption 2.
    """

    data: str
    name = "classification"
    metric = "error"
    loss = "mse"
    inputs = ("x",)
    num_outputs = 10

    def __post_init__(self):
        get_source(self.data).check_labels()

    @property
    def x_shape(self):
        """`(height, width, channels)`."""
        return get_source(self.data).image_shape

    def load(self, split):
        """Images, uint8 `[N, height, width, channels]`, and labels, int32 `[N]`."""
        source = get_source(self.data)
        return source.load(split), source.load_labels(split)

    def training_dataset(self, examples, batch_size, seed, epoch):
        """One epoch of `(images: uint8, classes: float32 [B, 10])`; see `Task`."""
        return _batches(examples, lambda: shuffled(len(examples[1]), seed, epoch), batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        """A split, in order; see `Task`."""
        import tensorflow as tf

        examples = self.load(split) if isinstance(split, str) else split
        return _batches(examples, lambda: tf.range(len(examples[1])), batch_size)


def _batches(examples, order, batch_size):
    import tensorflow as tf

    # Held by the closure and not by the graph: see the rotation task.
    images, classes = tf.constant(examples[0]), tf.constant(np.eye(10, dtype="float32")[examples[1]])
    return planned_batches(
        len(examples[1]), order, lambda numbers: (tf.gather(images, numbers), tf.gather(classes, numbers)), batch_size
    )
