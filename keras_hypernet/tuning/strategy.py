"""Data-parallel training: one trial on all devices of this machine, each with its part of every batch."""

import functools


def get_strategy(strategy):
    """Returns the `tf.distribute.Strategy` that an argument stands for: `"mirrored"`, a strategy, or None."""
    if strategy is None or not isinstance(strategy, str):
        return strategy
    if strategy != "mirrored":
        raise ValueError(f"`strategy` must be 'mirrored', or a tf.distribute.Strategy. Received: {strategy!r}")
    return _mirrored()


# One for all: each numbers what its replicas exchange from the same number on, so two would get in each other's way.
@functools.cache
def _mirrored():
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])
