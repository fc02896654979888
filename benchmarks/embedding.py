"""A training step of the embedding method: kernels multiplied first, against a concatenation `[x, e(I)]`.

    python benchmarks/embedding.py

One thread, interleaved in one process, at the sizes of rotation_depth and synthetic_depth, depth 4. About a minute.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from measure import interleaved, medians, report

from keras_hypernet import EmbeddingMethod, build_model, paper_recipe
from keras_hypernet.layers import ConditionedLayer
from keras_hypernet.tasks import RotationTask, SyntheticTask

STEPS = 5
ROUNDS = 15


class Literal(EmbeddingMethod):
    """The same model, layer by layer."""

    def call(self, inputs, training=False):
        x, embedded = inputs["x"], self.encode(inputs["condition"], training=training)
        for layer in self.primary:
            x = layer(x, embedded) if isinstance(layer, ConditionedLayer) else layer(x)
        return x


def random_batch(task, batch_size):
    """Inputs and targets as the data pipeline delivers them."""
    rng = np.random.default_rng(0)

    def draw(shape, dtype):
        if dtype == "uint8":
            return rng.integers(0, 256, (batch_size, *shape), dtype=dtype)
        return rng.normal(size=(batch_size, *shape)).astype(dtype)

    inputs = {"x": draw(task.x_shape, task.x_dtype), "condition": draw(task.condition_shape, task.condition_dtype)}
    return inputs, rng.integers(0, task.num_outputs, (batch_size, 1))


def make(task, literal):
    """Returns a function that does STEPS training steps."""
    recipe = paper_recipe(task, depth=4, learning_rate=1e-6)
    model = build_model(task, "embed", recipe)
    if literal:
        compiled = model.get_compile_config()
        model = Literal(model.embedding, model.primary)
        model.build({"x": (None, *task.x_shape), "condition": (None, *task.condition_shape)})
        model.compile_from_config(compiled)
    model.steps_per_execution = STEPS
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(random_batch(task, recipe.batch_size)).repeat())
    return lambda: float(model.train_function(batches)["loss"])


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rows = []
    for task in (RotationTask("mnist"), RotationTask("cifar10"), SyntheticTask("inner")):
        times = medians(interleaved({literal: make(task, literal) for literal in (False, True)}, ROUNDS))
        name = f"{task.name} {getattr(task, 'data', 'inner')}"
        rows.append([name, 1000 * times[False] / STEPS, 1000 * times[True] / STEPS, times[False] / times[True]])
    columns = ["", "kernels multiplied first (ms)", "x and e(I) joined (ms)", "ratio"]
    report("embedding", "Training step of the embedding method, one thread", columns, rows)


if __name__ == "__main__":
    main()
