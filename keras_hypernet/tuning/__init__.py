"""The search for the depth of f or of e with keras-tuner, on this machine or on several.

keras-tuner is an extra, and takes a second to import, so nothing of this package is imported before it is used.
"""

import importlib

from keras_hypernet.common.extras import missing_extra

_PLACES = {
    "DepthSearch": "hypermodel",
    "SearchResult": "result",
    "draw_searches": "drawing",
    "get_search_task": "names",
    "search": "searching",
}

__all__ = ["DepthSearch", "SearchResult", "draw_searches", "get_search_task", "search"]


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("keras_tuner", "tensorboard"):
            raise
        raise missing_extra("The search for the depth needs", "tuning") from error


def __dir__():
    return __all__
