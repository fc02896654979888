"""Keras layers that take a condition."""

from keras_hypernet.layers.base import ConditionedLayer, HyperLayer
from keras_hypernet.layers.concatenate import ConcatenateCondition
from keras_hypernet.layers.dense import HyperDense
from keras_hypernet.layers.image import StandardizeImage

__all__ = ["ConcatenateCondition", "ConditionedLayer", "HyperDense", "HyperLayer", "StandardizeImage"]
