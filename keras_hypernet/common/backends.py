"""require_tensorflow: a clear error on Keras's other backends, where only layers and models run."""

import keras


def require_tensorflow(what):
    """Raises RuntimeError unless Keras's backend is TensorFlow; `what` is the subject of the message."""
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"{what} needs Keras's TensorFlow backend: set KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: the backend {backend!r}, on which only layers and models run."
        )
