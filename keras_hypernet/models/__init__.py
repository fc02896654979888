"""The ways to let a condition I act on x.

`Hypernetwork`, g(x; f(I)); `EmbeddingMethod`, q(x, e(I)); `ConditionalNeuralProcess`, the embedding
method for a condition that is a set. `specialize` makes of any of them the network for one condition.
"""

from keras_hypernet.models.base import ConditionalModel
from keras_hypernet.models.embedding import EmbeddingMethod
from keras_hypernet.models.hypernetwork import Hypernetwork
from keras_hypernet.models.neural_process import ConditionalNeuralProcess
from keras_hypernet.models.specialize import PixelSequential, specialize

__all__ = [
    "ConditionalModel",
    "ConditionalNeuralProcess",
    "EmbeddingMethod",
    "Hypernetwork",
    "PixelSequential",
    "specialize",
]
