"""Models of x and a condition I.

`Hypernetwork`: g(x; f(I)). `EmbeddingMethod`: q(x, e(I)). `ConditionalNeuralProcess`: the embedding method for a
condition that is a set. For one condition, `specialize` returns the network of x that such a model is.
"""

from keras_hypernet.models.base import ConditionalModel
from keras_hypernet.models.by_hand import as_hypernetwork
from keras_hypernet.models.embedding import EmbeddingMethod
from keras_hypernet.models.hypernetize import hypernetize
from keras_hypernet.models.hypernetwork import Hypernetwork
from keras_hypernet.models.networks import PixelSequential
from keras_hypernet.models.neural_process import ConditionalNeuralProcess
from keras_hypernet.models.specialize import specialize
from keras_hypernet.models.thetas import average, interpolate

__all__ = [
    "ConditionalModel",
    "ConditionalNeuralProcess",
    "EmbeddingMethod",
    "Hypernetwork",
    "PixelSequential",
    "as_hypernetwork",
    "average",
    "hypernetize",
    "interpolate",
    "specialize",
]
