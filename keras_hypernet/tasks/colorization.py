"""The colorization task: the colours of pixels of a photograph, given the photograph in grey."""

import dataclasses
from typing import ClassVar

import numpy as np

from keras_hypernet.tasks.base import check_integers
from keras_hypernet.tasks.batches import planned_batches
from keras_hypernet.tasks.images import INITIALIZATION, PIXELS, ImageTask


@dataclasses.dataclass(frozen=True)
class ColorizationTask(ImageTask):
    """Predict the colour of a pixel from its position, given the image in grey.

    The condition is a grey image; x holds pixel positions (row, column) in `[-1, 1]^2`; the target holds red, green and
    blue of these pixels in [-1, 1]. All pixels of an image share its condition. Batches are `({"x": [B, P, 2],
    "condition": [B, height, width, 1]}, colours: [B, P, 3])`.

    Args:
        data: Name of a data source of colour images.
        num_points: Pixels drawn with replacement from each image in an epoch. Evaluations take all pixels.

    Raises:
        ValueError: If the data source does not exist or has no colour images, or `num_points` is not positive.

    Example:

    >>> task = ColorizationTask("patches", num_points=16)
    >>> inputs, colours = next(iter(task.training_dataset(task.load("test"), 8, seed=0, epoch=0)))
    >>> inputs["condition"].shape, inputs["x"].shape, colours.shape
    (TensorShape([8, 32, 32, 1]), TensorShape([8, 16, 2]), TensorShape([8, 16, 3]))

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, appendix.
    """

    num_points: int = 64
    name = "colorization"
    metric = "mse"
    x_dtype = "float32"
    x_shape = (None, 2)
    num_outputs = 3
    generates_biases = True
    output_name = "rgb"
    depth_experiment = "colorization_depth"
    purpose = "Tells the colours of an image from the places of pixels, given the image in grey"
    # As many outputs of e as g has weights and biases: with two inputs, the biases matter.
    paper_recipe: ClassVar = {"width": 100, "activation": "elu", "embedding_dim": 63}
    provenance: ClassVar = {
        "text": ["That there is such a task, and that depth and embedding dimension are varied."],
        "code": ["Three outputs, mean squared error."],
        "ours": [
            "g has 10 hidden units (ELU) and biases, 63 weights in all; f and e have width 100.",
            "64 pixels of each image and epoch; SGD with learning rate 0.01, batch size 64, 10 epochs.",
            f"{INITIALIZATION} {PIXELS}",
        ],
    }

    def __post_init__(self):
        super().__post_init__()
        shape = super().x_shape
        if shape[-1] != 3:
            raise ValueError(
                f"Colorization needs images in colour, of 3 channels. Received: {self.source.name}, of {shape}"
            )
        check_integers(self, "num_points")

    @property
    def condition_shape(self):
        """`(height, width, 1)`."""
        return (*super().x_shape[:2], 1)

    @property
    def limits(self):
        height, width, _ = self.condition_shape
        return [
            f"Colours of {height} x {width} images like those of {self.source.name}. With so small a g, they are "
            "smooth in space: it colours regions, not details."
        ]

    def evaluation_dataset(self, split, batch_size=100):
        """Every pixel of each image of a split, in order; see `Task`."""
        return super().evaluation_dataset(split, batch_size)

    def _batches(self, examples, order, draw, batch_size):
        import tensorflow as tf

        number, height, width, channels = examples.shape
        rows, columns = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
        positions = tf.constant(np.stack([rows, columns], axis=-1).reshape(-1, 2), tf.float32)
        conditions = tf.constant(grey(examples))
        images = tf.constant(examples.reshape(number, height * width, channels))
        every = np.arange(height * width, dtype="int32")

        def plan():
            drawn = (draw(1, [number, self.num_points], height * width, "int32"),) if draw else ()
            return order(number), *drawn

        def make(numbers, *drawn):
            pixels = drawn[0] if draw else tf.broadcast_to(every, [tf.shape(numbers)[0], len(every)])
            places = tf.stack([tf.broadcast_to(numbers[:, None], tf.shape(pixels)), pixels], axis=-1)
            inputs = {"x": tf.gather(positions, pixels), "condition": tf.gather(conditions, numbers)}
            return inputs, tf.cast(tf.gather_nd(images, places), tf.float32) / 127.5 - 1

        return planned_batches(number, plan, make, batch_size)


def grey(images):
    """Converts uint8 colours `[..., width, 3]` to uint8 grey `[..., width, 1]`: 0.299 red + 0.587 green + 0.114 blue.

    Example:

    >>> grey(np.array([[255, 0, 0], [255, 255, 255]], "uint8"))[:, 0].tolist()
    [76, 255]
    """
    from PIL import Image

    rows = Image.fromarray(images.reshape(-1, *images.shape[-2:])).convert("L")
    return np.asarray(rows).reshape(*images.shape[:-1], 1)
