"""The rotation task of neural processes: the angle of an image, given upright images of its class."""

import dataclasses
from typing import ClassVar

import numpy as np

from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.batches import EVALUATION_SEED
from keras_hypernet.tasks.images import INITIALIZATION, PIXELS
from keras_hypernet.tasks.rotation import RotationTask


@dataclasses.dataclass(frozen=True)
class RotationSetTask(RotationTask):
    """Predict the angle by which an image is rotated, given a set of upright images of its class.

    x and the label are those of `RotationTask`. The condition is a set of images of the same class, drawn anew for
    each image and epoch; the set may contain the upright x by chance.

    Args:
        data: Name of a data source with labels.
        members: Images in a set.

    Raises:
        ValueError: If the data source does not exist or has no labels, or `members` is not a positive integer.

    Example:

    >>> task = RotationSetTask("digits", members=4)
    >>> inputs, labels = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> inputs["x"].shape, inputs["condition"].shape
    (TensorShape([32, 28, 28, 1]), TensorShape([32, 4, 28, 28, 1]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2, on conditional neural processes.
    The task is this project's own.
    """

    members: int = 4
    name = "rotation_set"
    condition_is_set = True
    num_classes = 10
    depth_experiment = None
    paper_sizes: ClassVar = {}
    purpose = "Tells by which multiple of 30 degrees an image was rotated, given a set of images of its class"
    provenance: ClassVar = {
        "text": ["That a conditional neural process is an embedding method whose condition is a set."],
        "ours": [
            "The task. x, its classes, widths, activations and training are those of the paper's rotation task.",
            f"{INITIALIZATION} {PIXELS}",
        ],
    }

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, "members")

    @property
    def condition_shape(self):
        """`(members, height, width, channels)`."""
        return (self.members, *self.x_shape)

    @property
    def limits(self):
        return [
            *super().limits,
            f"Trained and measured with sets of {self.members}; of other sizes nothing was measured.",
        ]

    def _batches(self, examples, order, draw, batch_size):
        import tensorflow as tf

        images, labels = examples[0], tf.constant(examples[1])
        # Image numbers sorted by class, with the first position and the size of each class.
        by_class = tf.constant(np.argsort(examples[1], kind="stable").astype("int32"))
        counts = np.bincount(examples[1])
        first, count = tf.constant(np.cumsum(counts) - counts, tf.int64), tf.constant(counts, tf.float64)
        # The members of a set, as fractions of a class; the third stream of an epoch.
        shape = (len(images), self.members)
        fixed = np.random.default_rng([EVALUATION_SEED, 1]).uniform(size=shape)

        def members(numbers):
            fractions = draw(2, shape, 1, "float64") if draw else fixed
            classes = tf.gather(labels, numbers)[:, tf.newaxis]
            within = tf.cast(fractions * tf.gather(count, classes), tf.int64)
            return tf.gather(by_class, tf.gather(first, classes) + within)

        return super()._batches(images, order, draw, batch_size, members)
