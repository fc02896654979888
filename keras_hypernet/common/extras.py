"""needs_extra: missing optional dependencies are errors that name the extra to install."""

import contextlib


def missing_extra(what, *extras):
    """Returns an ImportError that names extras of setup.cfg; `what` is subject and verb of the message.

    >>> missing_extra("LiteRT and ONNX files need", "lite", "onnx")
    ImportError("LiteRT and ONNX files need optional dependencies: pip install 'keras_hypernet[lite,onnx]'")
    """
    return ImportError(f"{what} optional dependencies: pip install 'keras_hypernet[{','.join(extras)}]'")


@contextlib.contextmanager
def needs_extra(what, extra):
    """Turns an ImportError of the block into that of `missing_extra`."""
    try:
        yield
    except ImportError as error:
        raise missing_extra(what, extra) from error
