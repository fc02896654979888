"""A grid of runs of about a second each, and helpers to compare rows and to observe processes."""

import dataclasses
import json
import pathlib
import time

from keras_hypernet.experiments import get_experiment
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe

# Fields that depend on more than the configuration of a run.
_VARYING = ("seconds", "peak_memory_mib", "machine", "date")


def setup(panel, method, value, seed, quick):
    """A task of 64 examples and a network of four units."""
    task = SyntheticTask(panel, dim=4, num_train=64, num_validation=16, num_test=16, seed=seed)
    return task, paper_recipe(task, depth=value, seed=seed, width=4, epochs=2)


# Four runs; processes find the measurement by the experiment's name.
GRID = dataclasses.replace(get_experiment("synthetic_depth"), setup=setup, values=(2, 3), panels=("inner",), seeds=1)


def rows_file(folder):
    """The file of the grid's rows in a folder."""
    return pathlib.Path(folder) / f"{GRID.name}.jsonl"


def rows_in(folder):
    """The rows in a folder; every line must be one."""
    return [json.loads(line) for line in rows_file(folder).read_text().splitlines()]


def plain(rows):
    """Rows without the fields that vary, in the order of their runs."""
    kept = [{name: value for name, value in row.items() if name not in _VARYING} for row in rows]
    return sorted(kept, key=lambda row: (row["seed"], row["depth"], row["panel"], row["method"]))


def children(process):
    """Identifiers of the running child processes of a process."""
    return [number for number, parent, state in _processes() if parent == process and state != "Z"]


def wait_until(condition, seconds=600):
    """Waits until a function returns a true value, and returns the value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"the condition did not hold within {seconds} s"
        time.sleep(0.01)
    return value


def running(process):
    """Whether a process is running."""
    return any(number == process and state != "Z" for number, _, state in _processes())


def _processes():
    """Number, parent and state of all processes; a process with other running threads is not a zombie."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent, threads = fields[0], int(fields[1]), int(fields[17])
        yield int(path.parent.name), parent, state if threads <= 1 else "R"
