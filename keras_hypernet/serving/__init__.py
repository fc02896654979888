"""Models as SavedModels, for TensorFlow Serving."""

from keras_hypernet.serving.export import export

__all__ = ["export"]
