"""GraphStep: a primary network that is a functional model, as the one step of a model."""

import keras
from keras import ops

from keras_hypernet.layers import HyperLayer
from keras_hypernet.layers.base import under_weights
from keras_hypernet.models.primary import Conditioned


class GraphStep(Conditioned):
    """A functional model of the inputs `[x, z]`, each a tensor or a structure of tensors, whose hyper layers take z."""

    prefix = ""

    @property
    def hyper(self):
        return [layer for layer in self.layer.layers if isinstance(layer, HyperLayer)]

    def through(self, visit, x, encoded):
        return visit(self.layer, [x, encoded])

    def weight_shapes(self):
        return self._by_layer(lambda layer: layer.generated_shapes)

    def generate(self, encoded):
        symbolic, values = (keras.tree.flatten(part) for part in (self.layer.input[1], encoded))

        def of(layer):
            _, z, *_ = layer.input
            number = [z is tensor for tensor in symbolic]
            if True not in number:
                raise ValueError(
                    f"Layer {layer.name!r} takes something that `primary` makes of the condition. Let the generator "
                    "make it."
                )
            return layer.generate(values[number.index(True)])

        return self._by_layer(of)

    def apply(self, x, weights):
        zeros = keras.tree.map_structure(lambda z: ops.zeros((1, *z.shape[1:])), self.layer.input[1])
        own = {
            layer.name: {name: weights[f"{layer.name}/{name}"] for name in layer.generated_shapes}
            for layer in self.hyper
        }
        with under_weights(own):
            return self.call(x, zeros, training=False)

    def _by_layer(self, function):
        return {f"{layer.name}/{name}": value for layer in self.hyper for name, value in function(layer).items()}
