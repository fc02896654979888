"""Batches that are planned once per pass, and the random streams that they draw from."""

import math

from keras_hypernet.common.backends import require_tensorflow

# Training draws from (seed, epoch) streams; evaluations draw from this fixed stream.
EVALUATION_SEED = 20200610


def stream(seed, epoch, number=0):
    """Returns a seed for TensorFlow's stateless operations; each `number` is an independent stream of the epoch."""
    import tensorflow as tf

    epoch = tf.cast(tf.convert_to_tensor(epoch), tf.int64)
    return tf.stack([tf.cast(seed, tf.int64), epoch + (number << 32)])


def planned_batches(num_examples, plan, make, batch_size):
    """Returns a dataset of batches, planned together at the start of each pass and made one by one.

    `plan` returns a tensor, or a tuple of tensors, with a row for each of `num_examples`. Put small computations into
    `plan`: if they were repeated for each batch, they would take as long as making the batch. `make` maps the rows of a
    batch, an argument for each tensor, to an element of the dataset. Its closure holds large arrays as tensors, because
    constants of the graph would be serialized in every pass.
    """
    require_tensorflow("The data of a task")
    import tensorflow as tf

    def rows(_):
        planned = tf.nest.map_structure(tf.convert_to_tensor, plan())
        firsts = tf.data.Dataset.range(0, num_examples, batch_size)
        return firsts.map(lambda first: tf.nest.map_structure(lambda part: part[first : first + batch_size], planned))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(rows).map(make, tf.data.AUTOTUNE)
    num_batches = math.ceil(num_examples / batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_batches)).prefetch(tf.data.AUTOTUNE)
