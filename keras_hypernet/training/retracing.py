"""expected_retracing: silences TensorFlow's warnings where many models are each traced again."""

import contextlib


@contextlib.contextmanager
def expected_retracing():
    """Silences TensorFlow's warnings of repeated tracing during the block."""
    import tensorflow as tf

    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    try:
        yield
    finally:
        tf.get_logger().setLevel(level)
