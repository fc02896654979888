"""The primary network of a model, by its form: a list of layers, or a functional model of the inputs `[x, z]`."""

import keras
from keras import ops

from keras_hypernet.layers import ConditionedLayer, HyperLayer
from keras_hypernet.layers.base import under_weights
from keras_hypernet.layers.image import check_pixels
from keras_hypernet.models.conditions import as_declared, declared_inputs, parts
from keras_hypernet.models.graphs import new_inputs, rewrite, shapes_of
from keras_hypernet.models.ids import input_dtype
from keras_hypernet.models.primary import free_sizes_of_x, shapes, steps
from keras_hypernet.models.shapes import build_on, check_shape, fits
from keras_hypernet.models.without_condition import without_condition


@keras.saving.register_keras_serializable(package="keras_hypernet")
class PixelSequential(keras.Sequential):
    """A `keras.Sequential` of uint8 images. Other dtypes raise TypeError; Keras itself casts them silently."""

    def __call__(self, inputs, *args, **kwargs):
        # Checked before `call`, because Keras casts the inputs to the dtype of the input layer.
        check_pixels(inputs if hasattr(inputs, "dtype") else ops.convert_to_tensor(inputs), self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        check_pixels(inputs, self.name)  # training and prediction on JAX skip `__call__`
        return super().call(inputs, training=training, mask=mask, **kwargs)


class ListOfLayers:
    """A primary network that is a list of layers, and the interface of a primary network.

    Attributes:
        value: The attribute `primary` of a model: a tuple, or a functional model.
        layers: The layers of the network, a list.
        x_shape: The shape of x, once the network is built.
    """

    def __init__(self, value):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"`primary` must be a list of layers; of a Sequential, its `.layers`. Received: {value}")
        others = [type(layer).__name__ for layer in value if not isinstance(layer, keras.Layer)]
        if others:
            raise TypeError(f"`primary` must be a flat list of layers. Received among them: {', '.join(others)}")
        names = [layer.name for layer in value]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`primary` must be a list of layers with distinct names. Received the names {names}")
        # A tuple: `tf.train.Checkpoint` saves its layers, but not those of Keras's own list.
        self.value, self.layers = tuple(value), list(value)

    @property
    def steps(self):
        """The steps of the network; see `models/primary.py`."""
        return steps(self.value)  # not cached, because `quantize` changes the layers

    def build(self, x_shape, encoded_shape):
        """Builds the layers for shapes of x and of the encoded condition."""
        self.x_shape = tuple(x_shape)
        shapes(self.steps, build_on, self.x_shape, encoded_shape)
        self.free_x_shape = free_sizes_of_x(self.steps, self.x_shape, encoded_shape)

    @property
    def x(self):
        """The symbolic tensor, or structure of symbolic tensors, that the network takes as x."""
        # Images keep the size that the network was built with, because LiteRT has no convolutions of free sizes.
        shape = self.free_x_shape if len(self.x_shape) <= 3 else (None, *self.x_shape[1:])
        return keras.KerasTensor(shape, input_dtype(self.value), name="x")

    def check_x(self, x):
        """Returns x in the dtype that the first layer declares; raises ValueError if x has another shape."""
        first = self.value[0]
        takes_points = not isinstance(first, ConditionedLayer) or (len(first.axes) == 1 and first.most_points > 0)
        check_shape("x", x.shape, self.free_x_shape, takes_points)
        return as_declared(x, declared_inputs(first, x), first.name)

    @property
    def output_dtypes(self):
        """The dtypes of the flattened outputs."""
        return [self.value[-1].compute_dtype]  # the last layer is often exempt from mixed precision

    def specialize(self, encoded, name):
        """The Keras model of x alone that equals the network for one encoded condition `[1, R]`."""
        special, dtype = [step.specialize(encoded) for step in self.steps], input_dtype(self.value)
        inputs = keras.Input(self.x_shape[1:], dtype=None if dtype == "float32" else dtype)
        make = PixelSequential if dtype == "uint8" else keras.Sequential
        network = make([inputs, *(layer for layer, _ in special)], name=name)
        for layer, weights in special:
            layer.set_weights(weights)
        return network


class FunctionalNetwork:
    """A primary network that is a functional model of the inputs `[x, z]`, each a tensor or a structure of tensors.

    It is its only step. If a layer that is no hyper layer, such as `Concatenate`, takes a z, this z is a weight of the
    network, `"<layer>/condition"`.
    """

    prefix = ""

    def __init__(self, value):
        if not (isinstance(value.input, (list, tuple)) and len(value.input) == 2):
            raise ValueError(f"A functional `primary` must have the inputs [x, z]. Received: {value.input}")
        self.value, self.layers, self.steps = value, value.layers, [self]
        self.x, self.x_shape = value.input[0], shapes_of(value.input[0])
        self.output_dtypes = [output.dtype for output in value.outputs]
        self._hyper = {}  # for each hyper layer, the numbers of the z that it takes, or None for another tensor
        self._direct = {}  # the names of the z that other layers take, by the number of the z
        x, z = (keras.tree.flatten(new_inputs(structure)) for structure in value.input)
        numbers = {id(tensor): number for number, tensor in enumerate(z)}

        def call(layer, *args, **kwargs):
            others = [args, kwargs]
            if isinstance(layer, HyperLayer):
                others = [args[:1], args[2:], kwargs]
                self._hyper.setdefault(layer, set()).add(numbers.get(id(args[1])))
            for tensor in keras.tree.flatten(others):
                if id(tensor) in numbers:
                    self._direct.setdefault(numbers[id(tensor)], f"{layer.name}/condition")
            return layer(*args, **kwargs)

        rewrite(value, [*x, *z], [], call)

    def build(self, x_shape, encoded_shape):
        """Does nothing: a functional model is already built."""

    def check_x(self, x):
        expected, given = (dict(keras.tree.flatten_with_path(structure)) for structure in (self.x, x))
        same = set(expected) == set(given)
        if not (same and all(fits(given[path].shape[1:], part.shape[1:]) for path, part in expected.items())):
            words = [keras.tree.map_structure(lambda part: (None, *part.shape[1:]), each) for each in (self.x, x)]
            raise ValueError(f"The model takes `x` of the shape {words[0]}. Received: {words[1]}")
        declared = dict(zip(parts(x), keras.tree.flatten(self.x), strict=True))
        return as_declared(x, declared, self.value.name)

    def through(self, visit, x, encoded):
        return visit(self.value, [x, encoded])

    def call(self, x, encoded, training):
        z = self._for_each(x, dict(enumerate(keras.tree.flatten(encoded))))
        return self.value([x, z], training=training)

    def weight_shapes(self):
        z = keras.tree.flatten(self.value.input[1])
        own = {f"{layer.name}/{name}": shape for layer in self._hyper for name, shape in layer.generated_shapes.items()}
        return {**{name: tuple(z[number].shape[1:]) for number, name in self._direct.items()}, **own}

    def conditions(self, encoded):
        values, pairs = keras.tree.flatten(encoded), []
        for layer, numbers in self._hyper.items():
            if len(numbers) > 1 or None in numbers:
                raise ValueError(f"Layer {layer.name!r} must take one z, made by the generator.")
            pairs.append((layer, values[min(numbers)]))
        return pairs

    def generate(self, encoded):
        values = keras.tree.flatten(encoded)
        own = {
            f"{layer.name}/{name}": weight
            for layer, z in self.conditions(encoded)
            for name, weight in layer.generate(z).items()
        }
        return {**{name: values[number] for number, name in self._direct.items()}, **own}

    def apply(self, x, weights):
        z = self._for_each(x, {number: weights[name] for number, name in self._direct.items()})
        own = {
            layer.name: {name: weights[f"{layer.name}/{name}"] for name in layer.generated_shapes}
            for layer in self._hyper
        }
        with under_weights(own):
            return self.value([x, z], training=False)

    def specialize(self, encoded, name):
        return without_condition(self.value, encoded, name)

    def _for_each(self, x, values):
        """The structure of z, from values by number, repeated for each x if other layers take them; otherwise zeros."""
        first, declared = keras.tree.flatten(x)[0], self.value.input[1]

        def value(number, z):
            if number not in values:
                return ops.zeros((1, *z.shape[1:]))
            if number not in self._direct:
                return values[number]
            given = ops.convert_to_tensor(values[number])
            return ops.broadcast_to(given, (ops.shape(first)[0], *ops.shape(given)[1:]))

        flat = [value(number, z) for number, z in enumerate(keras.tree.flatten(declared))]
        return keras.tree.pack_sequence_as(declared, flat)
