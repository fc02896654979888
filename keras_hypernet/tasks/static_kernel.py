"""Static hypernetworks: a small convnet with one kernel generated from a learned embedding."""

import dataclasses
import math
from typing import ClassVar

import keras
from keras import ops

from keras_hypernet.bases import Basis
from keras_hypernet.bases.base import Cost, variance_of
from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.common.checks import integer
from keras_hypernet.layers import HyperConv2D, StandardizeImage
from keras_hypernet.tasks.images import PIXELS, ImageTask

FILTERS, KERNEL = 16, 7  # of both convolutions


@keras.saving.register_keras_serializable(package="keras_hypernet")
class TwoLayer(Basis):
    """`W[..., c, :] = K0[..., c, :] + head(z P_c + p_c)`: each input channel c has a projection, and all share a head.

    A projection maps the condition to `hidden` entries, and the head, a linear map with a bias, maps these to the part
    of the weight that belongs to the channel. With C channels and M entries for each, a weight has
    `C (R hidden + hidden) + hidden M + M` parameters.

    Args:
        hidden: Number of entries between projection and head, a positive integer.
        constant, train_constant: The constant term; see `Basis`. There is none by default.

    Raises:
        ValueError: If `hidden` is not a positive integer.

    Example:

    >>> TwoLayer(4).num_parameters((7, 7, 16, 16), rank=4)
    4240

    Reference: Ha, Dai and Le, "HyperNetworks", 2016 (arXiv 1609.09106), Sec. 3.1, static hypernetworks.
    """

    routes = ("materialised",)  # the weight is always written

    def __init__(self, hidden, constant="zeros", train_constant=False):
        super().__init__(constant, train_constant)
        self.hidden = integer("hidden", hidden)

    def variable_shapes(self, shape, rank):
        if len(shape) < 2:
            raise ValueError(f"`TwoLayer` writes kernels, not weights of one axis. Received: shape {tuple(shape)}")
        *spatial, channels, outputs = shape
        entries = math.prod(spatial) * outputs  # of a channel
        return {
            "projection": (channels, rank, self.hidden),
            "projection_bias": (channels, self.hidden),
            "head": (self.hidden, entries),
            "head_bias": (entries,),
            **self.constant_shapes(shape),
        }

    def draw(self, name, shape, rank, initializer, fans):
        variance = variance_of(initializer, shape, fans, self)
        if name == "projection":
            return initializer.unit_map(rank)  # entries of second moment one
        if name == "head" and not self.starts_at_zero:
            return lambda shape, dtype: initializer.draw(variance / self.hidden, shape, dtype, stream=2)
        return lambda shape, dtype: ops.zeros(shape, dtype)

    def write(self, variables, z):
        *spatial, channels, outputs = variables["shape"]
        hidden = ops.einsum("br,crh->bch", z, variables["projection"]) + variables["projection_bias"]
        entries = ops.matmul(hidden, variables["head"]) + variables["head_bias"]  # [B, channels, entries]
        weights = ops.moveaxis(ops.reshape(entries, (-1, channels, *spatial, outputs)), 1, -2)
        return weights + variables["constant"] if "constant" in variables else weights

    def variables(self, layer, name, shape):
        return {**super().variables(layer, name, shape), "shape": shape}

    def costs(self, sizes):
        kernels = sizes.conditions * sizes.inputs * sizes.outputs
        return {"materialised": Cost(2.0 * self.hidden * kernels + sizes.product, 2 * kernels)}

    def get_config(self):
        return {"hidden": self.hidden, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class LearnedCondition(keras.Layer):
    """The same trained vector `[1, dim]` for every x: the condition of a static hypernetwork."""

    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = integer("dim", dim)

    def build(self, input_shape):
        vector = keras.initializers.RandomNormal(stddev=1.0)
        self.vector = self.add_weight(name="vector", shape=(1, self.dim), initializer=vector)

    def call(self, x):
        return ops.convert_to_tensor(self.vector)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


@dataclasses.dataclass(frozen=True)
class StaticKernelTask(ImageTask):
    """Predict the class of an image with a small convnet, whose second kernel may be generated.

    The convnet has two convolutions of 16 filters of 7 x 7 with ReLU, each followed by max pooling, and a linear layer.
    Batches are `(images: uint8 [B, height, width, channels], labels: int32 [B])`. Methods: `"network"`, the plain
    convnet; `"hyper"`, the convnet whose second kernel `TwoLayer` generates from a trained vector, with `recipe.rank`
    entries in the vector and in the hidden layer; `"small"`, the plain convnet with so few filters in the second
    convolution that it is no larger than `"hyper"`.

    Args:
        data: Name of a data source with labels.

    Raises:
        ValueError: If the data source does not exist or has no labels.

    Example:

    >>> task = StaticKernelTask("digits")
    >>> model = keras_hypernet.build_model(task, "hyper", keras_hypernet.Recipe(width=16, rank=4, optimizer="adam"))
    >>> model.get_layer("conv_2").basis.num_parameters((7, 7, 16, 16), rank=4)
    4240

    Reference: Ha, Dai and Le, "HyperNetworks", 2016 (arXiv 1609.09106), Secs. 3.1 and 4.1.
    """

    name = "static_kernel"
    metric = "error"
    inputs = ("x",)
    num_outputs = 10
    num_classes = 10
    methods: ClassVar = {
        "hyper": "a convnet whose second kernel is generated from a learned vector",
        "network": "a convnet",
        "small": "a convnet with fewer filters",
    }
    purpose = "Tells the class of an image"
    limits = ("A small convnet without augmentation: larger networks make fewer errors.",)
    provenance: ClassVar = {
        "text": [
            "The convnet; of its generated kernel, the two-layer generator and its sizes: a vector and a hidden layer "
            "of 4 entries, 4,240 weights for 12,544."
        ],
        "ours": [f"The initialization, the optimizer, its rate, and the epochs. {PIXELS}"],
    }
    deviations = ()
    held_out = "The last 5,000 training examples, or some of the images, are held out for validation."

    def rows(self, examples):
        return examples

    def small_filters(self, rank):
        """The number of filters of the second convolution of `"small"`."""
        pixels = self.x_shape[0] // 4 * (self.x_shape[1] // 4)  # after both poolings
        generated = TwoLayer(rank).num_parameters((KERNEL, KERNEL, FILTERS, FILTERS), rank) + rank
        each = 1 + self.num_outputs * pixels  # weights of a filter besides its kernel
        return (generated + FILTERS * each) // (KERNEL**2 * FILTERS + each)

    def make_model(self, method, recipe):
        rank = recipe.rank or 4
        options = {"padding": "same", "activation": "relu"}

        def conv(filters, name):
            return keras.layers.Conv2D(filters, KERNEL, kernel_initializer="he_normal", name=name, **options)

        image = keras.Input(self.x_shape, dtype="uint8", name="x")
        y = conv(FILTERS, "conv_1")(StandardizeImage(name="standardize")(image))
        y = keras.layers.MaxPooling2D(2, name="pool_1")(y)
        if method == "hyper":
            generated = {"bias": "trained", "kernel_initializer": HyperfanIn(gain=2.0), "basis": TwoLayer(rank)}
            layer = HyperConv2D(FILTERS, KERNEL, name="conv_2", **options, **generated)
            y = layer(y, LearnedCondition(rank, name="vector")(y))
        else:
            y = conv(self.small_filters(rank) if method == "small" else FILTERS, "conv_2")(y)
        y = keras.layers.Flatten(name="flatten")(keras.layers.MaxPooling2D(2, name="pool_2")(y))
        y = keras.layers.Dense(self.num_outputs, name="logits")(y)
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return keras.Model(image, y, name=f"{self.name}_{method}"), {"loss": cross_entropy, "metrics": ["accuracy"]}
