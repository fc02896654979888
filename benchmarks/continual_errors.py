"""Errors on digits learned task after task by hypnettorch: with the published settings, and with ours.

    pip install -e '.[benchmarks]' && python benchmarks/continual_errors.py [--quick]

The experiment continual_digits has larger errors than the published ones: on permuted digits (published 4.95% with the
task known, 24.16% with the task inferred by entropy), and on split digits with the task inferred (36.59%). This script
trains hypnettorch with the settings that Henning et al. publish for networks of two layers of 100 units, on the tasks
and images of `DigitSequence`. Further runs have three settings of the experiment: standardized pixels, and
on permuted digits chunk embeddings that the tasks share, and gradients that are not clipped. "Learned" is the mean
error of each task right after its own steps. Each run has one thread, and two run at a time. Takes 45 minutes; --quick
uses the digits of scikit-learn and few steps, and writes continual_errors_quick.json.
"""

import concurrent.futures
import importlib.metadata
import multiprocessing
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import torch
from measure import report
from torch.nn.functional import cross_entropy

QUICK = "--quick" in sys.argv
STEPS, DATA = (60, "digits") if QUICK else (5000, "mnist")
# By protocol: fields of the tasks, and of the hypernetwork.
SETTINGS = {
    "split": (
        {"num_tasks": 5, "batch": 32},
        {"beta": 10.0, "chunk": 8000, "chunk_dim": 32, "hidden": (10, 10, 10, 10), "own_chunks": False, "clip": None},
    ),
    "permuted": (
        {"num_tasks": 3 if QUICK else 10, "batch": 128},
        {"beta": 250.0, "chunk": 750, "chunk_dim": 16, "hidden": (100, 100), "own_chunks": True, "clip": 1.0},
    ),
}
# By protocol: the seeds, and what the experiment changes.
RUNS = {
    "permuted": ((0,), {"own_chunks": False, "clip": None, "standardize": True}),
    "split": ((0,) if QUICK else (0, 1, 2), {"standardize": True}),
}


def tasks_of(protocol):
    """Images and labels of each task by split, and the order of its pixels. Permuted tasks share their arrays."""
    from keras_hypernet.continual import DigitSequence  # TensorFlow stays out of the processes that train with PyTorch

    task = DigitSequence(DATA, protocol=protocol, **SETTINGS[protocol][0])
    shared = {split: task.load(split) for split in ("train", "test")} if protocol == "permuted" else None
    return [
        (shared or {split: task.examples(split, number) for split in ("train", "test")}, task.order(number))
        for number in range(task.num_tasks)
    ]


def networks(num_tasks, classes, chunk, chunk_dim, hidden, own_chunks):
    """The primary network, with a head for each task, and the hypernetwork, with the published initial weights."""
    from hypnettorch.hnets import ChunkedHMLP, hnet_helpers
    from hypnettorch.mnets import MLP

    layers = {"hidden_layers": (100, 100), "activation_fn": torch.nn.ReLU()}
    g = MLP(28 * 28, num_tasks * classes, **layers, no_weights=True, verbose=False)
    chunks = {"chunk_emb_size": chunk_dim, "cond_chunk_embs": own_chunks}
    f = ChunkedHMLP(
        g.param_shapes, chunk, **chunks, cond_in_size=32, layers=hidden, num_cond_embs=num_tasks, verbose=False
    )
    f.custom_init(zero_bias=True)  # uniform, by Glorot's rule
    hnet_helpers.init_conditional_embeddings(f, normal_std=1.0)
    hnet_helpers.init_chunk_embeddings(f, normal_std=0.1)
    return g, f


def train(seed, tasks, batch, beta, clip=None, standardize=False, **sizes):
    """Learns the tasks one after another; returns the errors known, inferred and learned, and the minutes."""
    from hypnettorch.utils.hnet_regularizer import calc_fix_target_reg, get_current_targets

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng, learned, inferred = np.random.default_rng(seed), [], []
    classes = int(tasks[0][0]["train"][1].max()) + 1
    g, f = networks(len(tasks), classes, **sizes)
    start = time.time()
    heads = [list(range(number * classes, (number + 1) * classes)) for number in range(len(tasks))]

    def tensors(number, split):
        (x, y), order = tasks[number][0][split], tasks[number][1]
        x = torch.from_numpy(x[:, order]) / 255
        return (x - 0.1307) / 0.3081 if standardize else x, torch.from_numpy(y.astype("int64"))

    def logits(x, number):
        return g(x, weights=f(cond_id=number))[:, heads[number]]

    def error(number):
        x, y = tensors(number, "test")
        with torch.no_grad():
            return float((logits(x, number).argmax(dim=1) != y).double().mean())

    for number in range(len(tasks)):
        x, y = tensors(number, "train")
        optimizer = torch.optim.Adam(f.parameters(), 0.0005)  # a new one for each task, as published
        targets = get_current_targets(number, f) if number else None
        for _ in range(STEPS):
            rows = torch.from_numpy(rng.integers(len(x), size=batch))
            optimizer.zero_grad()
            loss = len(x) * cross_entropy(logits(x[rows], number), y[rows])  # of all images, as published
            if number:
                loss = loss + beta * calc_fix_target_reg(f, number, targets, mnet=g, inds_of_out_heads=heads[:number])
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(f.parameters(), clip)
            optimizer.step()
        learned.append(error(number))
    for number in range(len(tasks)):
        x, y = tensors(number, "test")
        with torch.no_grad():
            each = torch.stack([logits(x, other) for other in range(len(tasks))])
        predicted = torch.distributions.Categorical(logits=each).entropy().argmin(dim=0)
        inferred.append(float(((predicted != number) | (each[number].argmax(dim=1) != y)).double().mean()))
    known = np.mean([error(number) for number in range(len(tasks))])
    return float(known), float(np.mean(inferred)), float(np.mean(learned)), (time.time() - start) / 60


def main():
    rows = []
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for protocol, (seeds, changed) in RUNS.items():
            tasks, (fields, published) = tasks_of(protocol), SETTINGS[protocol]
            for settings, name in ((published, "published"), ({**published, **changed}, "of the experiment")):
                for seed in seeds:
                    rows.append([protocol, name, seed, pool.submit(train, seed, tasks, fields["batch"], **settings)])
        rows = [[*labels, *future.result()] for *labels, future in rows]
    columns = ["digits", "settings", "seed", "error, task known", "task inferred", "learned", "minutes"]
    title = f"Digits learned task after task by hypnettorch, {STEPS} steps for each task"
    library = f"hypnettorch {importlib.metadata.version('hypnettorch')}"
    report(
        "continual_errors_quick" if QUICK else "continual_errors", title, columns, rows, steps=STEPS, library=library
    )


if __name__ == "__main__":
    main()
