"""RowTask and ImageTask: code that several tasks share."""

import dataclasses
from typing import ClassVar

import keras

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks.base import Task, planned_batches, shuffled


class RowTask(Task):
    """Abstract: a task whose batches are rows of fixed arrays; a subclass implements `load` and `rows`."""

    def rows(self, examples):
        """Returns inputs and targets of all examples, in the structure of a batch."""
        raise NotImplementedError

    def training_dataset(self, examples, batch_size, seed, epoch):
        """One epoch of rows; see `Task`."""
        return self._batches(examples, lambda number: shuffled(number, seed, epoch), batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        """The rows of a split, in order; see `Task`."""
        import tensorflow as tf

        return self._batches(self.load(split) if isinstance(split, str) else split, tf.range, batch_size)

    def _batches(self, examples, order, batch_size):
        import tensorflow as tf

        arrays = keras.tree.map_structure(tf.constant, self.rows(examples))
        number = len(keras.tree.flatten(arrays)[0])

        def make(numbers):
            return keras.tree.map_structure(lambda array: tf.gather(array, numbers), arrays)

        return planned_batches(number, lambda: order(number), make, batch_size)


@dataclasses.dataclass(frozen=True)
class ImageTask(Task):
    """Abstract: a task of the images of a data source.

    Args:
        data: Name of the data source.
    """

    data: str
    labelled: ClassVar[bool] = False

    def __post_init__(self):
        source = get_source(self.data)
        if self.labelled:
            source.check_labels()

    @property
    def x_shape(self):
        """`(height, width, channels)`."""
        return get_source(self.data).image_shape

    def load(self, split):
        """Images, uint8 `[N, height, width, channels]`; for a labelled task paired with labels, int32 `[N]`."""
        source = get_source(self.data)
        return (source.load(split), source.load_labels(split)) if self.labelled else source.load(split)
