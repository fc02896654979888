"""GraphStep: a functional primary network, as the only step of a model."""

import keras
from keras import ops

from keras_hypernet.layers import HyperLayer
from keras_hypernet.layers.base import under_weights
from keras_hypernet.models.graphs import new_inputs, rewrite
from keras_hypernet.models.primary import Conditioned


class GraphStep(Conditioned):
    """A functional model of the inputs `[x, z]`, each a tensor or a structure of tensors, whose hyper layers take z.

    If another layer, such as `Concatenate`, takes a z, this z is a weight of the network, `"<layer>/condition"`.

    Attributes:
        hyper: The hyper layers of the model, a list.
        direct: The names of the z that other layers take, a dict by the number of the z.
    """

    prefix = ""

    def __init__(self, layer):
        super().__init__(layer)
        self.hyper, self.direct, self._conditions = [], {}, {}
        x, z = (keras.tree.flatten(new_inputs(structure)) for structure in layer.input)
        numbers = {id(tensor): number for number, tensor in enumerate(z)}

        def call(each, *args, **kwargs):
            others = [args, kwargs]
            if isinstance(each, HyperLayer):
                others = [args[:1], args[2:], kwargs]
                if each.name not in self._conditions:
                    self.hyper.append(each)
                self._conditions.setdefault(each.name, set()).add(numbers.get(id(args[1])))
            for tensor in keras.tree.flatten(others):
                if id(tensor) in numbers:
                    self.direct.setdefault(numbers[id(tensor)], f"{each.name}/condition")
            return each(*args, **kwargs)

        rewrite(layer, [*x, *z], [], call)

    def through(self, visit, x, encoded):
        return visit(self.layer, [x, encoded])

    def call(self, x, encoded, training):
        return super().call(x, self._for_each(x, dict(enumerate(keras.tree.flatten(encoded)))), training)

    def weight_shapes(self):
        z = keras.tree.flatten(self.layer.input[1])
        own = {f"{layer.name}/{name}": shape for layer in self.hyper for name, shape in layer.generated_shapes.items()}
        return {**{name: tuple(z[number].shape[1:]) for number, name in self.direct.items()}, **own}

    def conditions(self, encoded):
        values, pairs = keras.tree.flatten(encoded), []
        for layer in self.hyper:
            numbers = self._conditions[layer.name]
            if len(numbers) > 1 or None in numbers:
                raise ValueError(f"Layer {layer.name!r} must take one z, and one that the generator makes.")
            pairs.append((layer, values[min(numbers)]))
        return pairs

    def generate(self, encoded):
        values = keras.tree.flatten(encoded)
        own = {
            f"{layer.name}/{name}": weight
            for layer, z in self.conditions(encoded)
            for name, weight in layer.generate(z).items()
        }
        return {**{name: values[number] for number, name in self.direct.items()}, **own}

    def apply(self, x, weights):
        z = {number: weights[name] for number, name in self.direct.items()}
        own = {
            layer.name: {name: weights[f"{layer.name}/{name}"] for name in layer.generated_shapes}
            for layer in self.hyper
        }
        with under_weights(own):
            return super().call(x, self._for_each(x, z), training=False)

    def _for_each(self, x, values):
        """The structure of z, from values by number, repeated for each x if other layers take them; otherwise zeros."""
        first, declared = keras.tree.flatten(x)[0], self.layer.input[1]

        def value(number, z):
            if number not in values:
                return ops.zeros((1, *z.shape[1:]))
            if number not in self.direct:
                return values[number]
            given = ops.convert_to_tensor(values[number])
            return ops.broadcast_to(given, (ops.shape(first)[0], *ops.shape(given)[1:]))

        flat = [value(number, z) for number, z in enumerate(keras.tree.flatten(declared))]
        return keras.tree.pack_sequence_as(declared, flat)
