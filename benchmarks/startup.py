"""The time of `import keras_hypernet` and of `load`.

    python benchmarks/startup.py [--quick]

Imports of TensorFlow, of Keras, which imports TensorFlow, and of this package, which imports Keras, in turns, each in a
new process: the time, and the processor time, which other processes of the machine hardly change. Then the processor
time of `load` of each entry of the zoo, and of `keras.saving.load_model` of its file alone, which checks neither card
nor checksum nor size; the two in turns, after the import, all entries of a turn in a new process. Claims: the package
adds less than 0.5 s to Keras's import; `load` takes less than 1 s per entry. Two minutes; --quick takes one turn with
three entries, and writes startup_quick.json.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from measure import interleaved, report

QUICK = "--quick" in sys.argv
IMPORTS = ("tensorflow", "keras", "keras_hypernet")
WAYS = {"load": "keras_hypernet.load(name)", "load_model": "keras.saving.load_model(zoo / name / 'model.keras')"}
LOADS = """
import json, time
import keras, keras_hypernet
from keras_hypernet.zoo.store import zoo_folder
zoo, times = zoo_folder(), {{}}
for name in [card.name for card in keras_hypernet.list_entries()][:{entries}]:
    started = time.process_time()
    {load}
    times[name] = time.process_time() - started
print(json.dumps(times))
"""


def run(code):
    """Returns what a new Python process prints."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def clocks():
    """The time, and the processor time of the processes that have ended, in seconds."""
    spent = os.times()
    return np.array([time.perf_counter(), spent.children_user + spent.children_system])


def main():
    imports = {name: lambda name=name: run(f"import {name}") for name in IMPORTS}
    times = interleaved(imports, 1 if QUICK else 3, warmup=0 if QUICK else 1, clock=clocks)
    times = {f"import {name}": np.array(each) for name, each in times.items()}
    times["what keras_hypernet adds"] = times["import keras_hypernet"] - times["import keras"]
    rows = [[what, *np.median(each, axis=0).tolist()] for what, each in times.items()]
    entries = 3 if QUICK else None
    turns = [
        {way: json.loads(run(LOADS.format(load=load, entries=entries))) for way, load in WAYS.items()}
        for _ in range(1 if QUICK else 2)
    ]
    loads = [
        [name, *(statistics.median(turn[way][name] for turn in turns) for way in WAYS)] for name in turns[0]["load"]
    ]
    report("startup_quick" if QUICK else "startup", "Starting", ["", "seconds", "processor seconds"], rows, loads=loads)


if __name__ == "__main__":
    main()
