"""The speed of making rotated images, and the time that training waits for them.

    python benchmarks/data.py

On two cores, for MNIST and CIFAR-10 (see TFDS_DATA_DIR in docs/experiments.md), interleaved, about four minutes:
- images per second of the task's pipeline, with shuffling and labels, against PIL image by image;
- an epoch of `model.fit` against the same steps in one graph: the difference is Python; and the time between asking for
  a batch and receiving it, which is waiting for data;
- the same steps on batches in memory: the time of a step if the data cost no processor time.
Claims: at least 3 times PIL on both data sets; on MNIST, Python and waiting take less than 15% of a step.
"""

import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from measure import interleaved, medians, report
from PIL import Image

from keras_hypernet import RotationTask, paper_recipe
from keras_hypernet.data.sources import get_source
from keras_hypernet.training.loop import steps_per_execution
from keras_hypernet.zoo.architectures import build_model

BATCH_SIZE = 64
READY = 16  # batches in memory


def rotation_rates(task, images):
    """Returns images per second of the pipeline and of PIL."""
    epoch = task.training_dataset(images, BATCH_SIZE, seed=0, epoch=0)

    @tf.function
    def pipeline():
        return epoch.reduce(np.int64(0), lambda total, batch: total + tf.cast(batch[0]["x"][0, 0, 0, 0], tf.int64))

    def pil():
        angles = np.random.default_rng(0).uniform(0, 360, len(images))
        squeezed = images.squeeze()
        for image, angle in zip(squeezed, angles, strict=True):
            np.asarray(Image.fromarray(image).rotate(angle))

    times = medians(interleaved({"pipeline": lambda: int(pipeline()), "PIL": pil}, rounds=7, warmup=1))
    return {name: len(images) / time for name, time in times.items()}


def training_times(task, images):
    """Returns milliseconds per training step: of `fit`, in one graph, waiting in that graph, on batches in memory."""
    # Small steps: many rounds hardly change the weights.
    model = build_model(task, "hyper", paper_recipe(task, learning_rate=1e-6))
    epoch = task.training_dataset(images, BATCH_SIZE, seed=0, epoch=0)
    num_steps = len(epoch)
    model.steps_per_execution = steps_per_execution(num_steps)
    ready = next(iter(epoch.take(READY).batch(READY)))
    size = tf.Variable(BATCH_SIZE)  # unknown to the graph, as in training, where the last batch is smaller
    waited = []

    @tf.function
    def graph(iterator):
        waiting, loss = tf.constant(0.0, tf.float64), tf.constant(0.0)
        for _ in tf.range(num_steps):
            with tf.control_dependencies([loss]):  # after the step
                asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = iterator.get_next()
            with tf.control_dependencies(tf.nest.flatten(batch)):
                received = tf.timestamp()
            with tf.control_dependencies([received]):
                loss = model.train_step(batch)["loss"]
            waiting += received - asked
        return waiting

    @tf.function
    def in_memory():
        for step in tf.range(num_steps):
            model.train_step(tf.nest.map_structure(lambda batches, step=step: batches[step % READY, :size], ready))

    contenders = {
        "fit": lambda: model.fit(epoch, shuffle=False, verbose=0),
        "graph": lambda: waited.append(float(graph(iter(epoch)))),
        "in memory": in_memory,
    }
    times = medians(interleaved(contenders, rounds=9, warmup=2))
    times["waiting"] = statistics.median(waited)
    return {name: 1000 * time / num_steps for name, time in times.items()}


def main():
    rows = []
    for data in ("mnist", "cifar10"):
        task = RotationTask(data)
        images = get_source(data).load("train")
        rates, times = rotation_rates(task, images), training_times(task, images)
        python, waiting = (times["fit"] - times["graph"]) / times["fit"], times["waiting"] / times["fit"]
        rows.append(
            [
                *(data, *map(round, rates.values()), rates["pipeline"] / rates["PIL"]),
                *(times["fit"], max(python, 0.0), waiting, times["in memory"]),
            ]
        )
    columns = [
        *("data", "pipeline (images/s)", "PIL (images/s)", "pipeline / PIL"),
        *("step in fit (ms)", "share of Python", "share of waiting", "step in memory (ms)"),
    ]
    report("data", f"Rotation and waiting, batch {BATCH_SIZE}, {os.cpu_count()} cores", columns, rows)


if __name__ == "__main__":
    main()
