"""The rotation task of neural processes: by which angle was an image turned, given others of its class?"""

import dataclasses

import numpy as np

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks.base import EVALUATION_SEED, Task, check_integers, planned_batches, shuffled, stream
from keras_hypernet.tasks.rotation import assemble, evaluation_angles, plan_rotations


@dataclasses.dataclass(frozen=True)
class RotationSetTask(Task):
    """Tell by which angle an image was turned, given a set of other images of its class as they are.

    x and the label are those of `RotationTask`. The condition is a set of images of the same class, drawn anew for each
    image and epoch; x itself, unturned, may by chance be among them.

    Args:
        data: Name of a data source with labels.
        members: Images in a set.

    Raises:
        ValueError: If there is no such data source, it has no labels, or `members` is not a positive integer.

    Example:

    >>> task = RotationSetTask("digits", members=4)
    >>> inputs, labels = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> inputs["x"].shape, inputs["condition"].shape
    (TensorShape([32, 28, 28, 1]), TensorShape([32, 4, 28, 28, 1]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2, on conditional neural processes.
    The task is this project's.
    """

    data: str
    members: int = 4
    name = "rotation_set"
    metric = "error"
    loss = "cross_entropy"
    num_outputs = 12

    def __post_init__(self):
        get_source(self.data).check_labels()
        check_integers(self, "members")

    @property
    def x_shape(self):
        """`(height, width, channels)`."""
        return get_source(self.data).image_shape

    @property
    def condition_shape(self):
        """`(members, height, width, channels)`."""
        return (self.members, *self.x_shape)

    def load(self, split):
        """Images, uint8 `[N, height, width, channels]`, and labels, int32 `[N]`."""
        source = get_source(self.data)
        return source.load(split), source.load_labels(split)

    def training_dataset(self, examples, batch_size, seed, epoch):
        """One epoch of `({"x": uint8, "condition": uint8 [B, members, ...]}, labels: int32)`; see `Task`."""
        import tensorflow as tf

        number = len(examples[1])

        def draw():
            angles = tf.random.stateless_uniform([number], stream(seed, epoch, 1), 0, 360, tf.float64)
            places = tf.random.stateless_uniform([number, self.members], stream(seed, epoch, 2), dtype=tf.float64)
            return shuffled(number, seed, epoch), angles, places

        return _batches(examples, draw, batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        """A split in order, with angles and sets that are always the same; see `Task`."""
        import tensorflow as tf

        examples = self.load(split) if isinstance(split, str) else split
        number = len(examples[1])
        places = np.random.default_rng([EVALUATION_SEED, 1]).uniform(size=(number, self.members))
        fixed = tf.range(number), tf.constant(evaluation_angles(number)), tf.constant(places)
        return _batches(examples, lambda: fixed, batch_size)


def _batches(examples, draw, batch_size):
    """Batches for which `draw` returns the images' order, angles, and of each set the members' places in the class."""
    import tensorflow as tf

    images, labels = tf.constant(examples[0]), tf.constant(examples[1])
    # All images, class by class: a class is a stretch of them.
    by_class = tf.constant(np.argsort(examples[1], kind="stable").astype("int32"))
    counts = np.bincount(examples[1])
    first, count = tf.constant(np.cumsum(counts) - counts), tf.constant(counts, tf.float64)

    def plan():
        order, angles, places = draw()
        classes = tf.gather(labels, order)[:, tf.newaxis]
        members = tf.cast(tf.gather(first, classes), tf.int64) + tf.cast(places * tf.gather(count, classes), tf.int64)
        return tf.concat([plan_rotations(order, angles, images.shape[1:3]), tf.gather(by_class, members)], axis=1)

    def make(rows):
        x, _, angles = assemble()(images, rows[:, :6])
        return {"x": x, "condition": tf.gather(images, rows[:, 6:])}, angles

    return planned_batches(images.shape[0], plan, make, batch_size)
