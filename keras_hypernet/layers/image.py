"""Preprocessing inside an image model, so that the served model takes raw pixels."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_hypernet")
class StandardizeImage(keras.Layer):
    """`(image / 255 - mean) / stddev`, from uint8 pixels.

    The default mean and standard deviation are those of MNIST; the authors' code uses them for CIFAR-10 too.

    Call arguments:
        images: uint8 tensor of any shape.

    Returns:
        A tensor of the same shape and of the compute dtype.

    Args:
        mean, stddev: Mean and standard deviation of the pixels on a scale of 0 to 1.

    Raises:
        TypeError: If the images are not uint8. A `keras.Sequential` casts its inputs to floats unless it begins with
            `keras.Input(shape, dtype="uint8")`.

    Example:

    >>> import numpy as np
    >>> layer = StandardizeImage(mean=0.5, stddev=0.5)
    >>> [float(value) for value in layer(np.array([0, 255], "uint8"))]
    [-1.0, 1.0]
    """

    def __init__(self, mean: Any = 0.1307, stddev: Any = 0.3081, **kwargs: Any) -> None:
        # Autocast would hide the dtype of the images from `call`.
        super().__init__(autocast=False, **kwargs)
        self.mean = mean
        self.stddev = stddev

    def call(self, images):
        check_pixels(images, self.name)
        pixels = ops.cast(images, self.compute_dtype)
        return (pixels / 255 - self.mean) / self.stddev

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


def check_pixels(images, name):
    """Raises TypeError unless the images are uint8: scaled pixels would be scaled again."""
    dtype = keras.backend.standardize_dtype(images.dtype)
    if dtype != "uint8":
        raise TypeError(
            f"{name!r} takes uint8 images with pixels of 0 to 255, which it scales itself. Received: {dtype}. "
            "Pass the raw pixels; for an image on a scale of 0 to 1, `np.round(255 * image).astype('uint8')`. "
            "A keras.Sequential casts pixels to floats unless it begins with `keras.Input(shape, dtype='uint8')`."
        )
