"""Data-parallel training: all devices of this machine train one trial, each with its part of every batch."""

import functools


def get_strategy(strategy):
    """Returns a `tf.distribute.Strategy` for `"mirrored"`, and a strategy or None as it is."""
    if isinstance(strategy, str):
        if strategy != "mirrored":
            raise ValueError(f"`strategy` must be 'mirrored', or a tf.distribute.Strategy. Received: {strategy!r}")
        return _mirrored()
    return strategy


@functools.cache  # The collective keys of two mirrored strategies would collide.
def _mirrored():
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])
