"""Search for the depth of f or of e with keras-tuner, on one machine or on several.

keras-tuner is an extra and takes a second to import, so modules of this package are imported at their first use.
"""

import importlib
import typing

from keras_hypernet.common.extras import needs_extra

if typing.TYPE_CHECKING:
    from keras_hypernet.tuning.drawing import draw_searches
    from keras_hypernet.tuning.hypermodel import DepthSearch
    from keras_hypernet.tuning.names import get_search_task
    from keras_hypernet.tuning.result import SearchResult
    from keras_hypernet.tuning.searching import search

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
