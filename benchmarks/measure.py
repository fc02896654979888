"""Shared code of the benchmarks: interleaved timing, the machine, tables and JSON files."""

import ctypes
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

LOAD = os.getloadavg()[0]  # before this benchmark adds its own


def interleaved(contenders, rounds, warmup=3, clock=time.perf_counter):
    """Times functions in turn, so that a slow phase of the machine affects all of them.

    Args:
        contenders: Dict from name to a function without arguments.
        rounds: Timed calls of each function, or a dict of these numbers by name; fewer calls are spread evenly.
        warmup: Number of calls of each function beforehand.
        clock: Function that returns the time; `time.process_time` counts the processor time of this process.

    Returns:
        A dict from name to the list of times in seconds.
    """
    for _ in range(warmup):
        for run in contenders.values():
            run()
    times = {name: [] for name in contenders}
    often = rounds if isinstance(rounds, dict) else dict.fromkeys(contenders, rounds)
    most = max(often.values())
    for number in range(most):
        for name, run in contenders.items():
            if (number + 1) * often[name] // most == number * often[name] // most:
                continue
            started = clock()
            run()
            times[name].append(clock() - started)
    return times


def one_thread(tensorflow=True):
    """Computes on one thread; without TensorFlow if only PyTorch computes."""
    import torch

    torch.set_num_threads(1)
    if tensorflow:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def medians(times):
    """Returns the median of each list of times."""
    return {name: statistics.median(values) for name, values in times.items()}


def random_batch(batch):
    """A batch of rotation/CIFAR-10 as the data pipeline delivers it: random images, random labels."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (batch, 32, 32, 3), dtype="uint8") for name in ("x", "condition")}
    return images, rng.integers(0, 12, batch)


def random_values(*shape):
    """float32 samples of a standard normal distribution; the samples repeat after a million."""
    count = min(10**6, math.prod(shape))
    return np.resize(np.random.default_rng(sum(shape)).normal(size=count).astype("float32"), shape)


def peak_memory_growth(run):
    """Returns the peak growth of this process's resident set during `run()` in MiB; Linux only."""
    ctypes.CDLL(None).malloc_trim(0)  # free memory of the process would hide the growth
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _memory("VmRSS")
    run()
    return _memory("VmHWM") - before


def memory_in_new_process(script, *arguments, **variables):
    """Runs a script in a new process, and returns the JSON of its last line: the growth of its memory.

    There TensorFlow computes without oneDNN, its default on processors with AVX-512: oneDNN keeps the memory that was
    freed before `peak_memory_growth`, and a step that takes this memory does not seem to grow. `variables` are further
    environment variables.
    """
    command = [sys.executable, script, *map(str, arguments)]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _memory(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) / 1024


def machine():
    """The processor's name, and the versions of Python and the operating system."""
    model = platform.processor()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in fields.items()}
        model = f"{fields.get('model name', model)} (family {fields.get('cpu family')}, model {fields.get('model')})"
    return {"processor": model, "system": platform.platform(), "python": platform.python_version()}


def report(name, title, columns, rows, **facts):
    """Prints a table and writes everything to `benchmarks/<name>.json`."""
    table = Table(*columns, title=title, caption=machine()["processor"])
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)
    content = {"machine": machine(), "load_before": round(LOAD, 2), "columns": columns, "rows": rows, **facts}
    path = pathlib.Path(__file__).parent / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
