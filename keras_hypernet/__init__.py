"""Hypernetworks for Keras: layers, models and a pretrained zoo."""

from keras_hypernet import initializers, layers
from keras_hypernet._version import __version__
from keras_hypernet.models import EmbeddingMethod, Hypernetwork, specialize
