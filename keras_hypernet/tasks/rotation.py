"""The rotation task: by which angle was an image turned?"""

import dataclasses
import functools
import math

import numpy as np

from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks.base import EVALUATION_SEED, Task, planned_batches, shuffled, stream


@dataclasses.dataclass(frozen=True)
class RotationTask(Task):
    """Tell by which angle an image was turned, given the image as it was.

    The condition is an image, x the same image rotated counter-clockwise about its centre by an angle
    drawn uniformly from [0, 360) degrees, the label the closest of 0, 30, ..., 330 degrees.

    Args:
        data: Name of the data source.

    Raises:
        ValueError: If there is no such data source.

    Example:

    >>> task = RotationTask("digits")
    >>> inputs, labels = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> inputs["x"].shape, inputs["x"].dtype.name, labels.shape
    (TensorShape([32, 28, 28, 1]), 'uint8', TensorShape([32]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 3.
    """

    data: str
    name = "rotation"
    metric = "error"
    loss = "cross_entropy"
    num_outputs = 12

    def __post_init__(self):
        get_source(self.data)

    @property
    def x_shape(self):
        """`(height, width, channels)` of x."""
        return get_source(self.data).image_shape

    @property
    def condition_shape(self):
        """The same as of x."""
        return self.x_shape

    def load(self, split):
        """The images of a split: uint8 `[N, height, width, channels]`."""
        return get_source(self.data).load(split)

    def training_dataset(self, examples, batch_size, seed, epoch):
        """One epoch of `({"x": uint8, "condition": uint8}, labels: int32)`; see `Task`."""
        import tensorflow as tf

        def draw():
            # A second stream, so that an image's angle does not depend on its place.
            angles = tf.random.stateless_uniform([len(examples)], stream(seed, epoch, 1), 0, 360, tf.float64)
            return shuffled(len(examples), seed, epoch), angles

        return _batches(examples, draw, batch_size)

    def evaluation_dataset(self, split, batch_size=500):
        """A split in order, each image rotated by one angle that is always the same; see `Task`."""
        import tensorflow as tf

        images = self.load(split) if isinstance(split, str) else split
        angles = evaluation_angles(len(images))
        return _batches(images, lambda: (tf.range(len(images)), tf.constant(angles)), batch_size)


def evaluation_angles(num_images):
    """The angles, in degrees, by which the images of an evaluation are rotated: float64 `[num_images]`."""
    return np.random.default_rng(EVALUATION_SEED).uniform(0, 360, num_images)


def angle_labels(angles):
    """The index i of the closest of 30 i degrees, i = 0..11, by `|angle - 30 i|`: int32 `[B]`.

    As the paper writes it the distance does not wrap around: 345 to 360 degrees are class 11, not 0.
    """
    import tensorflow as tf

    centres = tf.range(12, dtype=angles.dtype) * 30
    return tf.argmin(tf.abs(angles[:, tf.newaxis] - centres), axis=-1, output_type=tf.int32)


def rotate_images(images, angles):
    """Rotates a batch of images about their centres: nearest neighbour, zeros outside.

    The arithmetic is that of `PIL.Image.rotate`, 16.16 fixed point, so that the pixels are the same.

    Args:
        images: uint8 tensor `[B, height, width, channels]`.
        angles: Tensor `[B]`, in degrees, counter-clockwise.

    Returns:
        A tensor of the shape and dtype of `images`.
    """
    import tensorflow as tf

    x, _, _ = assemble()(images, plan_rotations(tf.range(tf.shape(images)[0]), angles, images.shape[1:3]))
    return x


def plan_rotations(order, angles, size):
    """What each example is made of: int32 `[N, 6]`, the image's number, what its rotation is to the pixels, its label.

    A rotation is four numbers in 16.16 fixed point: the row and the column from which the first pixel is taken, and
    the cosine and the sine of the angle.
    """
    import tensorflow as tf

    height, width = size
    turn = tf.cast(angles, tf.float64) * (math.pi / 180)
    cosine, sine = tf.cos(turn), tf.sin(turn)
    # A pixel of the result takes the pixel of the image where its centre was before the rotation.
    from_left, from_top = 0.5 - width / 2, 0.5 - height / 2
    row = sine * from_left + cosine * from_top + height / 2
    column = cosine * from_left - sine * from_top + width / 2
    fixed_point = [tf.cast(tf.floor(value * 65536 + 0.5), tf.int32) for value in (row, column, cosine, sine)]
    return tf.stack([order, *fixed_point, angle_labels(angles)], axis=-1)


@functools.cache
def assemble():
    """Returns the compiled function from images and rows of `plan_rotations` to x, conditions and labels."""
    import tensorflow as tf

    # Compiled: one loop over the pixels, where TensorFlow's operations would each pass over all of them. Integers
    # alone, since a compiled cosine might be rounded another way.
    @tf.function(jit_compile=True)
    def assemble(images, plan):
        height, width, channels = images.shape[1:]
        order, *turn, labels = tf.unstack(plan, axis=1)
        row, column, cosine, sine = (value[:, tf.newaxis, tf.newaxis] for value in turn)
        rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)
        from_row = tf.bitwise.right_shift(row + rows * cosine + columns * sine, 16)
        from_column = tf.bitwise.right_shift(column - rows * sine + columns * cosine, 16)
        inside = (from_row >= 0) & (from_row < height) & (from_column >= 0) & (from_column < width)
        from_pixel = (order[:, tf.newaxis, tf.newaxis] * height + from_row) * width + from_column
        pixels = tf.gather(tf.reshape(images, [-1, channels]), tf.where(inside, from_pixel, 0))
        return tf.where(inside[..., tf.newaxis], pixels, tf.constant(0, tf.uint8)), tf.gather(images, order), labels

    return assemble


def _batches(images, draw, batch_size):
    """A dataset of the batches for which `draw`, at the start of each pass, returns the images' order and angles."""
    import tensorflow as tf

    # Held by the closure and not by the graph, where every pass would serialize it as a constant.
    images = tf.constant(images)

    def make(plan):
        x, condition, labels = assemble()(images, plan)
        return {"x": x, "condition": condition}, labels

    return planned_batches(images.shape[0], lambda: plan_rotations(*draw(), images.shape[1:3]), make, batch_size)
