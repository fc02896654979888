"""needs_extra: an error for a missing optional dependency that names the extra to install."""

import contextlib


@contextlib.contextmanager
def needs_extra(what, extra):
    """Turns an ImportError of the block into one that names an extra of setup.cfg.

    `what` is the subject and the verb of the message, such as "Figures need".
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{what} optional dependencies: pip install 'keras_hypernet[{extra}]'") from error
