"""needs_extra: imports of optional dependencies, which say how to install what is missing."""

import contextlib


def missing_extra(what, *extras):
    """Returns the ImportError that names the extras to install.

    Args:
        what: The start of the message, a subject and its verb: `"Figures need"`.
        extras: Names of extras in setup.cfg.

    Example:

    >>> missing_extra("LiteRT and ONNX files need", "lite", "onnx")
    ImportError("LiteRT and ONNX files need optional dependencies: pip install 'keras_hypernet[lite,onnx]'")
    """
    return ImportError(f"{what} optional dependencies: pip install 'keras_hypernet[{','.join(extras)}]'")


@contextlib.contextmanager
def needs_extra(what, extra):
    """Turns an ImportError of the block into one that names the extra to install; arguments as of `missing_extra`.

    Example:

    >>> with needs_extra("Figures need", "plot"):
    ...     import matplotlib
    """
    try:
        yield
    except ImportError as error:
        raise missing_extra(what, extra) from error
