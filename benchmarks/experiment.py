"""One epoch of rotation/CIFAR-10 at depth 4 with its data: this package against PyTorch.

    pip install -e '.[benchmarks]' && python benchmarks/experiment.py [--full | --images N]

The PyTorch code is typical for such experiments: f of nn.Linear, whose output is split into the weights of each example
for torch.bmm; a Dataset that rotates one image after another with PIL, read by a DataLoader without workers;
`loss.item()` at every step. This package does all the work of `fit`, accuracy included. Both use one thread on the same
processor for data and training, and take turns in one process; an epoch before the measurement builds and compiles
everything. Both start from the same weights, and the script checks that they agree on a batch. The embedding method is
measured in the same way, with torch.cat in PyTorch.

Goal: for the hypernetwork, at least 3 times as many images per second in the median round. Three rounds of 12,800
images take two minutes; of the whole training split (--full), six to twelve. With fewer images, the results go to
experiment_quick.json. Linux only.
"""

import argparse
import os
import pathlib
import random
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import torch
from measure import interleaved, medians, report
from PIL import Image
from torch import nn
from torch_models import CLASSES, standardized, translated

from keras_hypernet import RotationTask, build_model, paper_recipe
from keras_hypernet.training.loop import steps_per_execution

NUM_IMAGES, BATCH_SIZE, ROUNDS, GOAL = 12800, 64, 3, 3
LEARNING_RATE = 1e-3  # with the paper's 0.01, both diverge from these weights


class Rotations(torch.utils.data.Dataset):
    """Triples of an image rotated by PIL, the upright image, and the closest of the twelve angles."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image, angle = Image.fromarray(self.images[index]), random.uniform(0, 360)
        return vector(image.rotate(angle)), vector(image), min(int(angle / 30 + 0.5), CLASSES - 1)


def vector(image):
    """An image as the input vector of PyTorch's models."""
    return standardized(torch.from_numpy(np.array(image)))


def keras_epoch(model, task, images, losses):
    """Returns a function that trains for one epoch and records the mean loss."""
    number = tf.Variable(0, dtype=tf.int64, trainable=False)
    batches = task.training_dataset(images, BATCH_SIZE, seed=0, epoch=number)
    model.steps_per_execution = steps_per_execution(len(batches))

    def run():
        losses.extend(model.fit(batches, shuffle=False, verbose=0).history["loss"])
        number.assign_add(1)  # other angles, another order

    return run


def torch_epoch(network, images, losses):
    """Returns the same for PyTorch."""
    batches = torch.utils.data.DataLoader(Rotations(images), BATCH_SIZE, shuffle=True, num_workers=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)

    def run():
        logged = []
        for x, condition, labels in batches:
            loss = nn.functional.cross_entropy(network(x, condition), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            logged.append(loss.item())
        losses.append(statistics.fmean(logged))

    return run


def measure(method, images):
    """Returns a row of the table: parameters, images per second of both, their ratio, their last losses."""
    task = RotationTask("cifar10")
    model = build_model(task, method, paper_recipe(task, learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE))
    network = translated(model, method)
    batch, _ = next(iter(task.evaluation_dataset(images[:BATCH_SIZE])))
    vectors = [torch.stack([vector(image) for image in batch[name]]) for name in ("x", "condition")]
    np.testing.assert_allclose(model.predict_on_batch(batch), network(*vectors).detach(), rtol=1e-4, atol=1e-4)
    parameters = sum(weights.numel() for weights in network.parameters())
    assert parameters == model.count_params()
    ours, theirs = [], []
    contenders = {"ours": keras_epoch(model, task, images, ours), "PyTorch": torch_epoch(network, images, theirs)}
    times = interleaved(contenders, ROUNDS, warmup=1)
    ratio = statistics.median(slow / fast for fast, slow in zip(*times.values(), strict=True))
    rates = [round(len(images) / time) for time in medians(times).values()]
    return [method, parameters, *rates, ratio, ours[-1], theirs[-1]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    parser.add_argument("--full", action="store_const", dest="images", const=None)
    options = parser.parse_args()
    processor = max(os.sched_getaffinity(0))
    for thread in pathlib.Path("/proc/self/task").iterdir():  # the existing threads; later threads inherit the setting
        os.sched_setaffinity(int(thread.name), {processor})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch.set_num_threads(1)
    images = RotationTask("cifar10").load("train")[: options.images]
    rows = [measure(method, images) for method in ("hyper", "embed")]
    columns = ["", "parameters", "images/s", "PyTorch's", "ratio", "last loss", "PyTorch's"]
    title = f"An epoch of {len(images)} rotated images, depth 4, one thread"
    name, ratio = "experiment" if len(images) >= NUM_IMAGES else "experiment_quick", rows[0][4]
    report(name, title, columns, rows, images=len(images), rounds=ROUNDS, goal=GOAL, reached=ratio >= GOAL)
    print(f"The hypernetwork: {ratio:.2f} times as fast as in PyTorch (goal: at least {GOAL}).")


if __name__ == "__main__":
    main()
