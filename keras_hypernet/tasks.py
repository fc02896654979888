"""Tasks as `tf.data` pipelines: which x, condition and label are made of a data set's images."""

import dataclasses
import math

import numpy as np

from keras_hypernet.data import get_source

# Training draws from (seed, epoch) streams; a fixed one of its own gives every evaluation the same angles.
_EVALUATION_SEED = 20200610


@dataclasses.dataclass(frozen=True)
class RotationTask:
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
    num_classes = 12

    def __post_init__(self):
        get_source(self.data)

    @property
    def image_shape(self):
        """`(height, width, channels)` of x and of the condition."""
        return get_source(self.data).image_shape

    def training_dataset(self, images, batch_size, seed, epoch):
        """Returns one epoch: every image once, in an order and by angles that (seed, epoch) determine.

        Args:
            images: uint8 array `[N, height, width, channels]`.
            batch_size: The last batch of an epoch may be smaller.
            seed: An integer.
            epoch: An integer, or an integer `tf.Variable` that is read each time the dataset is iterated.

        Returns:
            A `tf.data.Dataset` of `({"x": uint8, "condition": uint8}, labels: int32)`.
        """
        import tensorflow as tf

        # Held by the closure and not by the graph, where every pass would serialize it as a constant.
        images = tf.constant(images)
        num_images = images.shape[0]

        def epoch_plan(start):
            stream = tf.stack([tf.cast(seed, tf.int64), tf.cast(tf.convert_to_tensor(epoch), tf.int64) + start])
            order = tf.random.experimental.stateless_shuffle(tf.range(num_images), stream)
            # A second stream, so that an image's angle does not depend on its place.
            angles = tf.random.stateless_uniform(
                [num_images], stream + tf.constant([0, 1 << 32], tf.int64), 0, 360, tf.float64
            )
            return tf.data.Dataset.from_tensor_slices((order, angles)).batch(batch_size)

        def make(indices, angles):
            return _example(tf.gather(images, indices), angles)

        dataset = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).flat_map(epoch_plan)
        return _finish(dataset.map(make, tf.data.AUTOTUNE), math.ceil(num_images / batch_size))

    def evaluation_dataset(self, split, batch_size=500):
        """Returns a split's images, in order, each rotated by one angle that is always the same.

        Args:
            split: `"validation"` or `"test"` (or `"train"`), or a uint8 array of images.
            batch_size: The last batch may be smaller.

        Returns:
            A `tf.data.Dataset` as of `training_dataset`.
        """
        import tensorflow as tf

        images = get_source(self.data).load(split) if isinstance(split, str) else split
        angles = evaluation_angles(len(images))
        dataset = tf.data.Dataset.from_tensor_slices((images, angles)).batch(batch_size)
        return _finish(dataset.map(_example, tf.data.AUTOTUNE), math.ceil(len(images) / batch_size))


def evaluation_angles(num_images):
    """The angles, in degrees, by which the images of an evaluation are rotated: float64 `[num_images]`."""
    return np.random.default_rng(_EVALUATION_SEED).uniform(0, 360, num_images)


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

    height, width = images.shape[1:3]
    turn = tf.cast(angles, tf.float64) * (math.pi / 180)
    cosine, sine = tf.cos(turn), tf.sin(turn)

    def fixed_point(values):
        return tf.cast(tf.floor(values * 65536 + 0.5), tf.int32)[:, tf.newaxis, tf.newaxis]

    # A pixel of the result takes the pixel of the image where its centre was before the rotation.
    from_left, from_top = 0.5 - width / 2, 0.5 - height / 2
    rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)
    column = fixed_point(cosine * from_left - sine * from_top + width / 2)
    column = tf.bitwise.right_shift(column - rows * fixed_point(sine) + columns * fixed_point(cosine), 16)
    row = fixed_point(sine * from_left + cosine * from_top + height / 2)
    row = tf.bitwise.right_shift(row + rows * fixed_point(cosine) + columns * fixed_point(sine), 16)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    # Outside is one more pixel, of zeros, after the last.
    index = tf.reshape(tf.where(inside, row * width + column, height * width), [-1, height * width])
    pixels = tf.reshape(images, [-1, height * width, images.shape[3]])
    pixels = tf.pad(pixels, [[0, 0], [0, 1], [0, 0]])
    return tf.reshape(tf.gather(pixels, index, batch_dims=1), tf.shape(images))


def _example(images, angles):
    return {"x": rotate_images(images, angles), "condition": images}, angle_labels(angles)


def _finish(dataset, num_batches):
    import tensorflow as tf

    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(tf.data.AUTOTUNE)
