"""Image sources."""

from keras_hypernet.data.sources import SOURCES, DataUnavailableError, get_source

__all__ = ["SOURCES", "DataUnavailableError", "get_source"]
