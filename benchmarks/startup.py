"""The time of `import keras_hypernet` and of `load`.

    python benchmarks/startup.py

Imports, interleaved, each in a new process, of Keras alone and of this package, which imports Keras; then `load` of
each entry of the zoo, after the import. About two minutes. Claims: the package adds less than 0.5 s to Keras's import;
`load` takes less than 1 s per entry.
"""

import json
import statistics
import subprocess
import sys

from measure import interleaved, medians, report

ROUNDS = 7
LOAD = """
import json, time
import keras_hypernet
times = {}
for card in keras_hypernet.list_entries():
    started = time.perf_counter()
    keras_hypernet.load(card.name)
    times[card.name] = time.perf_counter() - started
print(json.dumps(times))
"""


def run(code):
    """Returns what a new Python process prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def main():
    imports = {name: lambda name=name: run(f"import {name}") for name in ("keras", "keras_hypernet")}
    seconds = medians(interleaved(imports, ROUNDS, warmup=1))
    rows = [[f"import {name}", time] for name, time in seconds.items()]
    rows.append(["what keras_hypernet adds", seconds["keras_hypernet"] - seconds["keras"]])
    loads = [json.loads(run(LOAD)) for _ in range(3)]
    rows += [[f"load {name}", statistics.median(times[name] for times in loads)] for name in loads[0]]
    report("startup", "Starting", ["", "seconds"], rows)


if __name__ == "__main__":
    main()
