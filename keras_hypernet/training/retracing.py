"""expected_retracing: models one after another, of which TensorFlow is not to warn that each is traced anew."""

import contextlib


@contextlib.contextmanager
def expected_retracing():
    """Keeps TensorFlow meanwhile from warning that functions are traced again and again, as those of new models are."""
    import tensorflow as tf

    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    try:
        yield
    finally:
        tf.get_logger().setLevel(level)
