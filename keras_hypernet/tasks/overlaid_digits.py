"""Two overlaid digits: two labels of one image, with a preference between their losses."""

import dataclasses
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.common.checks import check_choice, finite
from keras_hypernet.layers import HyperDense, StandardizeImage
from keras_hypernet.models import Hypernetwork
from keras_hypernet.tasks.batches import EVALUATION_SEED, planned_batches
from keras_hypernet.tasks.images import PIXELS, ImageTask
from keras_hypernet.tasks.pareto import RULES, scalarize

CLASSES = 10
SHIFT = 8  # pixels by which the second digit is shifted down and right


def losses_of(labels, logits):
    """The cross-entropies `[B, 2]` of logits `[B, 20]`, ten for each of two labels `[B, 2]`."""
    logits = ops.reshape(logits, (-1, 2, CLASSES))
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


@keras.saving.register_keras_serializable(package="keras_hypernet")
class ScalarizedLabels(keras.losses.Loss):
    """The scalarized cross-entropies of two labels; the target `[B, 4]` holds the labels, and then the preference."""

    def __init__(self, rule, name="scalarized", **kwargs):
        super().__init__(name=name, **kwargs)
        self.rule = rule

    def call(self, y_true, y_pred):
        return scalarize(self.rule, losses_of(y_true[:, :2], y_pred), y_true[:, 2:], ops)

    def get_config(self):
        return {**super().get_config(), "rule": self.rule}


@dataclasses.dataclass(frozen=True)
class OverlaidDigitsTask(ImageTask):
    """Predict both labels of two overlaid images, with a preference between the two losses.

    x is the pixelwise maximum of two images. The second image, drawn anew in each epoch, is shifted by 8 pixels down
    and right. Batches are `({"x": uint8 [B, height + 8, width + 8, channels], "condition": [B, 2]}, y: [B, 4])`: the
    condition is the preference, uniform on the simplex, and y the two labels and the preference. The metric is the
    scalarized cross-entropy. The hypernetwork generates all weights of a network with one hidden layer, which reads the
    image at half its size.

    Args:
        data: Name of a data source with labels.
        rule: `"linear"` for weighted sums, or `"chebyshev"` for the greatest weighted loss.
        preference: None; or the fixed weight of the first loss, for a network without a condition.

    Raises:
        ValueError: If the data source does not exist or has no labels, the rule does not exist, or the preference is
            not between 0 and 1.

    Example:

    >>> task = OverlaidDigitsTask("digits")
    >>> inputs, y = next(iter(task.evaluation_dataset("test", batch_size=32)))
    >>> inputs["x"].shape, inputs["condition"].shape, y.shape
    (TensorShape([32, 36, 36, 1]), TensorShape([32, 2]), TensorShape([32, 4]))

    References: Sabour et al., "Dynamic Routing Between Capsules", NeurIPS 2017, for such images; Navon et al.,
    "Learning the Pareto Front with Hypernetworks", ICLR 2021. The pairs and the network are this project's own.
    """

    rule: str = "linear"
    preference: float | None = None
    name = "overlaid_digits"
    metric = "scalarized"
    condition_dtype = "float32"
    condition_shape = (2,)
    num_outputs = 2 * CLASSES
    num_classes = 10
    purpose = "Tells the labels of two overlaid digits, under a preference between them"
    limits = ("A small network on images of half the size: far from the accuracy that such images allow.",)
    provenance: ClassVar = {
        "text": ["That a hypernetwork from preferences to weights learns the front of two labels."],
        "ours": [f"The pairs of images, the network, and the training. {PIXELS}"],
    }

    def __post_init__(self):
        super().__post_init__()
        check_choice("rule", self.rule, RULES)
        if self.preference is not None:
            preference = finite("preference", self.preference, least=0, most=1)
            object.__setattr__(self, "preference", preference)  # the task is frozen

    @property
    def inputs(self):
        return ("x", "condition") if self.preference is None else ("x",)

    @property
    def methods(self):
        if self.preference is None:
            return {self.rule: f"a hypernetwork trained on {self.rule} scalarizations"}
        return {"separate": "a network for one preference"}

    @property
    def x_shape(self):
        height, width, channels = super().x_shape
        return (height + SHIFT, width + SHIFT, channels)

    def _batches(self, examples, order, draw, batch_size):
        import tensorflow as tf

        images, labels = tf.constant(examples[0]), tf.constant(examples[1])
        number = len(examples[1])
        rng = np.random.default_rng([EVALUATION_SEED, 2])
        fixed = rng.integers(number, size=number, dtype="int32"), rng.uniform(size=number).astype("float32")

        def plan():
            others, weights = (draw(3, (number,), number, "int32"), draw(4, (number,), 1, "float32")) if draw else fixed
            return order(number), others, weights if self.preference is None else tf.fill((number,), self.preference)

        def shifted(numbers, before):
            pad = [(before, SHIFT - before)] * 2
            return tf.pad(tf.gather(images, numbers), [(0, 0), *pad, (0, 0)])

        def make(first, second, weight):
            preference = tf.stack([weight, 1 - weight], axis=1)
            both = tf.stack([tf.gather(labels, first), tf.gather(labels, second)], axis=1)
            y = tf.concat([tf.cast(both, "float32"), preference], axis=1)
            x = tf.maximum(shifted(first, 0), shifted(second, SHIFT))
            return {"x": x, "condition": preference} if self.preference is None else x, y

        return planned_batches(number, plan, make, batch_size)

    def make_model(self, method, recipe):
        halve = keras.layers.AveragePooling2D(2, name="halve")
        before = [StandardizeImage(name="standardize"), halve, keras.layers.Flatten(name="flatten")]
        sizes = [(recipe.primary_units, "relu", "hidden"), (self.num_outputs, None, "logits")]
        objectives = {"loss": ScalarizedLabels(self.rule)}
        if method == "separate":
            image = keras.Input(self.x_shape, dtype="uint8", name="x")
            dense = [keras.layers.Dense(units, activation, name=name) for units, activation, name in sizes]
            return keras.Sequential([image, *before, *dense], name="overlaid_digits"), objectives
        hidden = [keras.layers.Dense(recipe.width, "relu", name=f"hidden_{n}") for n in range(1, recipe.depth)]
        generator = keras.Sequential([keras.Input((2,), name="condition"), *hidden], name="generator")
        primary = [*before, *(HyperDense(units, activation, name=name) for units, activation, name in sizes)]
        return Hypernetwork(generator, primary, name=f"overlaid_digits_{method}"), objectives
