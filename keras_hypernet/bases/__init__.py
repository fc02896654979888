"""How a weight is generated from the condition, apart from how a layer uses the weight."""

from keras_hypernet.bases import initializers
from keras_hypernet.bases.base import Basis, get, serialize
from keras_hypernet.bases.chunked import Chunked
from keras_hypernet.bases.full import Full, Mixture
from keras_hypernet.bases.low_rank import LowRank

__all__ = ["Basis", "Chunked", "Full", "LowRank", "Mixture", "get", "initializers", "serialize"]
