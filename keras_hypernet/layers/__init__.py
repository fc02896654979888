"""Keras layers that take a condition."""

from keras_hypernet.layers.any_layer import Hyper
from keras_hypernet.layers.attention import HyperMultiHeadAttention, SelfAttention
from keras_hypernet.layers.base import ConditionedLayer, HyperLayer
from keras_hypernet.layers.condition import ConcatenateCondition, LayerEmbeddings, MagnitudeInvariant, TaskEmbedding
from keras_hypernet.layers.conv import HyperConv1D, HyperConv2D, HyperConv3D
from keras_hypernet.layers.conv_transpose import HyperConv2DTranspose
from keras_hypernet.layers.dense import HyperDense
from keras_hypernet.layers.depthwise_conv import HyperDepthwiseConv2D
from keras_hypernet.layers.einsum_dense import HyperEinsumDense
from keras_hypernet.layers.embedding import HyperEmbedding
from keras_hypernet.layers.film import FiLM
from keras_hypernet.layers.image import StandardizeImage
from keras_hypernet.layers.kernel import KernelLayer
from keras_hypernet.layers.recurrent import HyperGRU, HyperLSTM
from keras_hypernet.layers.registry import register

__all__ = [
    "ConcatenateCondition",
    "ConditionedLayer",
    "FiLM",
    "Hyper",
    "HyperConv1D",
    "HyperConv2D",
    "HyperConv2DTranspose",
    "HyperConv3D",
    "HyperDense",
    "HyperDepthwiseConv2D",
    "HyperEinsumDense",
    "HyperEmbedding",
    "HyperGRU",
    "HyperLSTM",
    "HyperLayer",
    "HyperMultiHeadAttention",
    "KernelLayer",
    "LayerEmbeddings",
    "MagnitudeInvariant",
    "SelfAttention",
    "StandardizeImage",
    "TaskEmbedding",
    "register",
]
