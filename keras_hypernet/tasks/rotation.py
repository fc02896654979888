"""The rotation task: the angle by which an image is rotated."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import numpy as np

from keras_hypernet.tasks.batches import EVALUATION_SEED, planned_batches
from keras_hypernet.tasks.images import INITIALIZATION, ImageTask


@dataclasses.dataclass(frozen=True)
class RotationTask(ImageTask):
    """Predict the angle by which an image is rotated, given the upright image.

    The condition is an image, x the same image rotated counter-clockwise about its centre by an angle uniform on
    [0, 360) degrees, the label the closest of 0, 30, ..., 330 degrees. Batches are
    `({"x": uint8, "condition": uint8}, labels: int32)`; an evaluation has a fixed angle for each image.

    Args:
        data: `"mnist"`, `"cifar10"`, `"digits"` or `"patches"`; the name of any other data set of TensorFlow Datasets
            with uint8 images of one size, such as `"fashion_mnist"`, whose validation split is the end of its training
            split; or images of your own, uint8 `[N, height, width, channels]`, which a fixed permutation divides into
            80% for training, 10% for validation and 10% for the test, or a dict of such arrays of `"train"`,
            `"validation"` and `"test"`. The task then keeps their SHA-256 as `data`.

    Raises:
        ValueError: If the data source does not exist, or the images are not uint8 of one size.
        DataUnavailableError: If the description of the data set is damaged.

    Example:

    >>> task = RotationTask("digits")
    >>> inputs, labels = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> inputs["x"].shape, inputs["x"].dtype.name, labels.shape
    (TensorShape([32, 28, 28, 1]), 'uint8', TensorShape([32]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5, Fig. 3.
    """

    name = "rotation"
    metric = "error"
    num_outputs = 12
    depth_experiment: ClassVar[str | None] = "rotation_depth"
    paper_sizes: ClassVar = {"embedding_dim": "code"}
    purpose = "Tells by which multiple of 30 degrees an image was rotated, given the image"
    provenance: ClassVar = {
        "text": [
            "Widths of f, e, g and q; SGD with learning rate 0.01, 10 epochs, no regularization.",
            "Twelve classes, the closest of 30 i degrees by |angle - 30 i|, which does not wrap around.",
        ],
        "code": [
            "Nearest-neighbour rotation with zeros outside; pixels scaled as (v / 255 - 0.1307) / 0.3081 on any data.",
            "No biases in g, biases in q; ReLU in g and q on MNIST, ELU on CIFAR-10; batch size 64.",
            INITIALIZATION,
        ],
    }

    @property
    def condition_shape(self):
        return self.x_shape

    @property
    def limits(self):
        height, width, _ = self.x_shape
        return [
            f"Rotation of {height} x {width} images like those of {self.source.name} about their centre; nothing else.",
            "Angles from 345 to 360 degrees are class 11 and not class 0, as the paper defines the labels.",
        ]

    @property
    def paper_recipe(self):
        """The fields of the paper's recipe; see `Task`. Other grey images count as MNIST, colour images as CIFAR-10."""
        colour = self.x_shape[-1] == 3
        return {"width": 100 if colour else 50, "activation": "elu" if colour else "relu"}

    def _batches(self, examples, order, draw, batch_size, members=lambda numbers: numbers):
        """See `Task`; `members` maps the numbers of images to those of the images in their conditions."""
        import tensorflow as tf

        images, number = tf.constant(examples), len(examples)

        def plan():
            # The first stream draws the order, so an image's angle does not depend on its position in the epoch.
            angles = draw(1, [number], 360, "float64") if draw else evaluation_angles(number)
            numbers = order(number)
            return numbers, turns(angles, images.shape[1:3]), angle_labels(angles), members(numbers)

        def make(numbers, turn, labels, chosen):
            return {"x": rotated()(images, numbers, turn), "condition": tf.gather(images, chosen)}, labels

        return planned_batches(number, plan, make, batch_size)


def evaluation_angles(num_images: int) -> Any:
    """Returns the angles of an evaluation in degrees, float64 `[num_images]`."""
    return np.random.default_rng(EVALUATION_SEED).uniform(0, 360, num_images)


def angle_labels(angles: Any) -> Any:
    """Returns the index i, int32 `[B]`, for which 30 i degrees, i = 0..11, are closest by `|angle - 30 i|`.

    In the paper, the distance does not wrap around: 345 to 360 degrees are class 11, not 0.
    """
    import tensorflow as tf

    centres = tf.range(12, dtype=angles.dtype) * 30
    return tf.argmin(tf.abs(angles[:, tf.newaxis] - centres), axis=-1, output_type=tf.int32)


def rotate_images(images: Any, angles: Any) -> Any:
    """Rotates uint8 images `[B, height, width, channels]` about their centres by angles `[B]`, and returns the images.

    The angles are in degrees, counter-clockwise; pixels come from the nearest neighbour, or are zero outside. The 16.16
    fixed-point arithmetic of `PIL.Image.rotate` gives the same pixels.
    """
    import tensorflow as tf

    return rotated()(images, tf.range(tf.shape(images)[0]), turns(angles, images.shape[1:3]))


def turns(angles, size):
    """Returns rotations as int32 `[N]` in 16.16 fixed point: source row and column of the first pixel, cosine, sine."""
    import tensorflow as tf

    height, width = size
    turn = tf.cast(angles, tf.float64) * (math.pi / 180)
    cosine, sine = tf.cos(turn), tf.sin(turn)
    # Each new pixel takes the pixel that lay at its centre before the rotation.
    from_left, from_top = 0.5 - width / 2, 0.5 - height / 2
    row = sine * from_left + cosine * from_top + height / 2
    column = cosine * from_left - sine * from_top + width / 2
    return tuple(tf.cast(tf.floor(value * 65536 + 0.5), tf.int32) for value in (row, column, cosine, sine))


@functools.cache
def rotated():
    """Returns the compiled function from images, their numbers and their `turns` to rotated images."""
    import tensorflow as tf

    # Compilation fuses the operations into one loop over the pixels. The loop uses only integers, because a compiled
    # cosine might round differently.
    @tf.function(jit_compile=True)
    def rotate(images, numbers, turn):
        height, width, channels = images.shape[1:]
        row, column, cosine, sine = (value[:, tf.newaxis, tf.newaxis] for value in turn)
        rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)
        from_row = tf.bitwise.right_shift(row + rows * cosine + columns * sine, 16)
        from_column = tf.bitwise.right_shift(column - rows * sine + columns * cosine, 16)
        inside = (from_row >= 0) & (from_row < height) & (from_column >= 0) & (from_column < width)
        from_pixel = (numbers[:, tf.newaxis, tf.newaxis] * height + from_row) * width + from_column
        pixels = tf.gather(tf.reshape(images, [-1, channels]), tf.where(inside, from_pixel, 0))
        return tf.where(inside[..., tf.newaxis], pixels, tf.constant(0, tf.uint8))

    return rotate
