"""One training step of the rotation/CIFAR-10 hypernetwork: both routes, PyTorch, and the GEMMs it cannot do without.

    pip install -e '.[benchmarks]' && python benchmarks/train_step.py

Batch 64, one thread, all four interleaved in one process; then the growth of the peak memory in steps of batch 256,
each contender in a process of its own. Takes about a minute. Claims: the factorised route takes at most 0.42 of the
time of the materialised one, 0.30 of PyTorch's, and a quarter of the memory; the GEMMs are at least 75% of its time.
"""

import json
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from measure import interleaved, medians, peak_memory, report

from keras_hypernet import RotationTask, paper_recipe
from keras_hypernet.architectures import build_model
from keras_hypernet.layers import HyperDense

ROUTES = ("factorised", "materialised")
STEPS = 5  # in one call, so that Python's share is that of training with steps_per_execution
ROUNDS = 15


def random_batch(batch):
    """Images as the data pipeline delivers them, and labels."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (batch, 32, 32, 3), dtype="uint8") for name in ("x", "condition")}
    return images, rng.integers(0, 12, batch)


def keras_step(route, batch):
    """Returns a function that does STEPS training steps of the model of the zoo."""
    # Small steps: random labels are to be neither learned nor diverged on.
    recipe = paper_recipe("cifar10", learning_rate=1e-6)
    model = build_model(RotationTask("cifar10"), "hyper", recipe)
    for layer in model.primary:
        if isinstance(layer, HyperDense):
            layer.contraction = route
    model.steps_per_execution = STEPS
    step = model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(random_batch(batch)).repeat())

    def run():
        return float(step(batches)["loss"])

    return run


def torch_step(batch):
    """Returns the same for the usual PyTorch hypernetwork: nn.Linear writes the weights, bmm applies them."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    generator = nn.Sequential(
        *(nn.Linear(3072, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU()),
        nn.Linear(100, 30_720 + 120),
    )
    optimizer = torch.optim.SGD(generator.parameters(), lr=1e-6)
    images, labels = random_batch(batch)
    images = {name: torch.from_numpy(value) for name, value in images.items()}
    labels = torch.from_numpy(labels)

    def step():
        x, condition = (
            ((images[name].float() / 255 - 0.1307) / 0.3081).flatten(start_dim=1) for name in ("x", "condition")
        )
        weights = generator(condition)
        first, second = weights[:, :30_720].reshape(-1, 3072, 10), weights[:, 30_720:].reshape(-1, 10, 12)
        hidden = nn.functional.elu(torch.bmm(x[:, None], first))
        loss = nn.functional.cross_entropy(torch.bmm(hidden, second)[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    return lambda: [step() for _ in range(STEPS)]


def gemms(batch):
    """Returns a function that does the bare matrix products of STEPS steps: forward and weight gradients.

    Those of the two bases and of f. The gradients of activations are left out, except between layers of f,
    where they are small; so are all updates of weights.
    """
    sizes = [(3072, 101 * 10), (10, 101 * 12), (3072, 100), (100, 100), (100, 100)]
    inputs = [tf.random.normal((batch, rows)) for rows, _ in sizes]
    weights = [tf.random.normal(shape) for shape in sizes]
    gradients = [tf.random.normal((batch, columns)) for _, columns in sizes]

    @tf.function
    def step():
        total = tf.constant(0.0)
        for x, weight, gradient in zip(inputs, weights, gradients, strict=True):
            # One number of each product is enough to keep it from being pruned.
            total += tf.matmul(x, weight)[0, 0] + tf.matmul(x, gradient, transpose_a=True)[0, 0]
        return total

    return lambda: [float(step()) for _ in range(STEPS)]


def make(name, batch):
    """Returns the step function of a contender."""
    return torch_step(batch) if name == "PyTorch" else keras_step(name, batch)


def memory_growth(name):
    """Runs this script in a new process; returns by how many MiB its peak grew in steps of batch 256."""
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if len(sys.argv) > 1:
        run = make(sys.argv[1], 8)  # everything loaded and compiled, at a batch that takes next to no memory
        run()
        before = peak_memory()
        run = make(sys.argv[1], 256)
        run()
        print(json.dumps(peak_memory() - before))
        return
    contenders = {name: make(name, 64) for name in (*ROUTES, "PyTorch")}
    times = medians(interleaved({**contenders, "bare GEMMs": gemms(64)}, ROUNDS))
    growth = {name: memory_growth(name) for name in contenders}
    best = "factorised"
    rows = [
        [
            name,
            1000 * time / STEPS,
            times[best] / time,
            *([growth[name], growth[best] / growth[name]] if name in growth else ["", ""]),
        ]
        for name, time in times.items()
    ]
    columns = ["", "ms a step", "factorised / this", "peak growth at batch 256 (MiB)", "factorised / this (memory)"]
    report(
        "train_step",
        "Training step of rotation/CIFAR-10, batch 64, one thread",
        columns,
        rows,
        share_of_gemms=times["bare GEMMs"] / times[best],
    )
    print(f"The bare GEMMs take {100 * times['bare GEMMs'] / times[best]:.0f}% of the factorised step.")


if __name__ == "__main__":
    main()
