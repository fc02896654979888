"""Functions that depend on Keras's backend: the device, and an error where only layers and models run."""

import functools

import keras


@functools.cache
def device():
    """The kind of device that Keras's backend computes on by default: `"cpu"`, `"gpu"` or `"tpu"`.

    Example:

    >>> device() in ("cpu", "gpu", "tpu")
    True
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.default_backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    if backend == "torch":
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    return "cpu"


def require_tensorflow(what):
    """Raises RuntimeError unless Keras's backend is TensorFlow; `what` is the subject of the message."""
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"{what} needs Keras's TensorFlow backend: set KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: the backend {backend!r}, on which only layers and models run."
        )
