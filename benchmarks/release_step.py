"""One training step of the rotation/CIFAR-10 hypernetwork: this version against release 0.1.

    git worktree add --detach ../release-0.1 f054409
    python benchmarks/release_step.py ../release-0.1

Batch 64, one thread. Each version runs in a process of its own; the processes take turns, so that a slow phase of the
machine affects both. Goal: the step takes at most 1.03 times that of release 0.1. About a minute.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

from measure import random_batch, report

STEPS = 5  # per call, as in training with steps_per_execution
ROUNDS = 60
WARMUP = 5
HERE = pathlib.Path(__file__).parent.parent


def serve():
    """Does STEPS training steps for each line of the standard input, and prints their processor time in seconds."""
    import tensorflow as tf

    import keras_hypernet as kh

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    task = kh.RotationTask("cifar10")
    # Small steps neither learn random labels nor diverge.
    model = kh.build_model(task, "hyper", kh.paper_recipe(task, learning_rate=1e-6))
    model.steps_per_execution = STEPS
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(random_batch(64)).repeat())
    for _ in sys.stdin:
        started = time.process_time()
        float(model.train_function(batches)["loss"])
        print(time.process_time() - started, flush=True)


def start(folder):
    """Starts a process that serves the version in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--serve"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def step(process):
    """The processor time of one call."""
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    versions = {"this version": HERE, "release 0.1": pathlib.Path(sys.argv[1]).resolve()}
    processes = {name: start(folder) for name, folder in versions.items()}
    times = {name: [] for name in processes}
    for number in range(WARMUP + ROUNDS):
        for name, process in processes.items():
            seconds = step(process)
            if number >= WARMUP:
                times[name].append(seconds)
    for process in processes.values():
        process.stdin.close()
        process.wait()
    medians = {name: 1000 * statistics.median(values) / STEPS for name, values in times.items()}
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(times["this version"], times["release 0.1"], strict=True)
    )
    rows = [[name, value, value / medians["release 0.1"]] for name, value in medians.items()]
    columns = ["", "ms of processor time a step", "ratio"]
    report("release_step", "Training step of rotation/CIFAR-10, batch 64, one thread", columns, rows, ratio=ratio)
    print(f"The median of the ratios of neighbouring calls is {ratio:.3f}.")


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
