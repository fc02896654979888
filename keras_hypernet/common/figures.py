"""Figures of Matplotlib, an optional dependency that is imported only to draw a figure."""

import pathlib

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import replacing


def figure_class():
    """Returns Matplotlib's class of figures; ImportError if Matplotlib is not installed."""
    with needs_extra("Figures need", "plot"):
        from matplotlib.figure import Figure
    return Figure


def save_figure(figure, path, salt="keras_hypernet"):
    """Writes a figure atomically, in the format of the path's suffix; equal figures give equal bytes.

    `salt` determines the identifiers in an SVG. Raises ValueError if Matplotlib does not write the format.
    """
    import matplotlib

    suffix = pathlib.Path(path).suffix[1:].lower()
    # Without Matplotlib's version and the time.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}.get(suffix)
    with matplotlib.rc_context({"svg.hashsalt": salt}), replacing(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=150, metadata=metadata)
