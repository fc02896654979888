"""The rotation task of neural processes: the angle of an image, given upright images of its class."""

import dataclasses
from typing import ClassVar

import numpy as np

from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.batches import EVALUATION_SEED, planned_batches, shuffled, stream
from keras_hypernet.tasks.images import INITIALIZATION, PIXELS
from keras_hypernet.tasks.rotation import RotationTask, assemble, evaluation_angles, plan_rotations


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
    labelled = True
    depth_experiment = None
    paper_sizes: ClassVar = {}
    purpose = "Tells by which multiple of 30 degrees an image was rotated, given a set of images of its class"
    provenance: ClassVar = {
        "text": ["That a conditional neural process is an embedding method whose condition is a set."],
        "code": [],
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
        """What a model is not suitable for, a list of sentences."""
        return [
            *super().limits,
            f"Trained and measured with sets of {self.members}; of other sizes nothing was measured.",
        ]

    def training_dataset(self, examples, batch_size, seed, epoch):
        """One epoch of `({"x": uint8, "condition": uint8 [B, members, ...]}, labels: int32)`; see `Task`."""
        import tensorflow as tf

        number = len(examples[1])

        def draw():
            angles = tf.random.stateless_uniform([number], stream(seed, epoch, 1), 0, 360, tf.float64)
            fractions = tf.random.stateless_uniform([number, self.members], stream(seed, epoch, 2), dtype=tf.float64)
            return shuffled(number, seed, epoch), angles, fractions

        return _batches(examples, draw, batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        """A split in order, with fixed angles and sets; see `Task`."""
        import tensorflow as tf

        examples = self.load(split) if isinstance(split, str) else split
        number = len(examples[1])
        fractions = np.random.default_rng([EVALUATION_SEED, 1]).uniform(size=(number, self.members))
        fixed = tf.range(number), tf.constant(evaluation_angles(number)), tf.constant(fractions)
        return _batches(examples, lambda: fixed, batch_size)


def _batches(examples, draw, batch_size):
    """Returns a dataset of batches; `draw` returns order, angles, and set members as fractions of a class."""
    import tensorflow as tf

    images, labels = tf.constant(examples[0]), tf.constant(examples[1])
    # Image numbers sorted by class, with the first position and the size of each class.
    by_class = tf.constant(np.argsort(examples[1], kind="stable").astype("int32"))
    counts = np.bincount(examples[1])
    first, count = tf.constant(np.cumsum(counts) - counts, tf.int64), tf.constant(counts, tf.float64)

    def plan():
        order, angles, fractions = draw()
        classes = tf.gather(labels, order)[:, tf.newaxis]
        within = tf.cast(fractions * tf.gather(count, classes), tf.int64)
        members = tf.gather(by_class, tf.gather(first, classes) + within)
        return tf.concat([plan_rotations(order, angles, images.shape[1:3]), members], axis=1)

    def make(rows):
        x, _, angles = assemble()(images, rows[:, :6])
        return {"x": x, "condition": tf.gather(images, rows[:, 6:])}, angles

    return planned_batches(images.shape[0], plan, make, batch_size)
