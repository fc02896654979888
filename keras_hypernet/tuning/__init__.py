"""Search for the depth of f or of e with keras-tuner, on one machine or on several.

keras-tuner is an extra and takes a second to import, so modules of this package are imported at their first use.
"""

import importlib

from keras_hypernet.common.extras import needs_extra

_MODULES = {
    "DepthSearch": "hypermodel",
    "SearchResult": "result",
    "draw_searches": "drawing",
    "get_strategy": "hypermodel",
    "get_search_task": "names",
    "search": "searching",
}

__all__ = ["DepthSearch", "SearchResult", "draw_searches", "get_search_task", "search"]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("The search for the depth needs", "tuning"):
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__():
    return __all__
