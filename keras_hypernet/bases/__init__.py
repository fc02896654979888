"""How a weight is generated; today the initializers of the layers that generate weights."""

from keras_hypernet.bases import initializers

__all__ = ["initializers"]
