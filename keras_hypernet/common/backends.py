"""require_tensorflow: layers and models run on each of Keras's backends; what does not says so."""

import keras


def require_tensorflow(what):
    """Raises RuntimeError unless TensorFlow is Keras's backend.

    Args:
        what: What needs it: the subject of the message.

    Example:

    >>> require_tensorflow("`fit`")
    """
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"{what} needs Keras's TensorFlow backend: set KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: the backend {backend!r}, on which only layers and models run."
        )
