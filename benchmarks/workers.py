"""A grid of runs by two workers against one worker.

    python benchmarks/workers.py [--seeds 8] [--rounds 3]

On two cores, the quick grid of the experiment `rotation_depth` (the images of `digits`, three epochs): with eight seeds
32 runs, in turn by one worker with both cores and by two workers with one core each; the time includes the start of the
processes. About seven minutes. Fewer seeds are for a trial: the start weighs more, and the results go to
workers_quick.json. Claim: two workers take at most 0.6 times as long as one.
"""

import argparse
import os
import statistics
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measure import interleaved, medians, report

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.runner import run
from keras_hypernet.runs.machine import processors

SEEDS = 8


def grid(workers, seeds):
    """Executes the grid with a number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        rows = run(get_experiment("rotation_depth"), folder, seeds=seeds, quick=True, workers=workers, progress=False)
    lost = [row["message"] for row in rows if row["status"] == "failed"]
    assert not lost, lost[0]
    return rows


def main():
    parser = argparse.ArgumentParser(description="A grid of runs by one and by two workers.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="Seeds of the grid, of four runs each.")
    parser.add_argument("--rounds", type=int, default=3, help="How often each is measured.")
    options = parser.parse_args()
    rows = {}  # of the last round

    def one_worker():
        rows["one worker"] = grid(1, options.seeds)

    def two_workers():
        rows["two workers"] = grid(2, options.seeds)

    times = interleaved({"one worker": one_worker, "two workers": two_workers}, options.rounds, warmup=0)
    table = [
        [name, seconds, statistics.fmean(row["seconds"] for row in rows[name]), rows[name][0]["machine"]["threads"]]
        for name, seconds in medians(times).items()
    ]
    ratios = [two / one for one, two in zip(*times.values(), strict=True)]
    table.append(["two, as a part of one", statistics.median(ratios), "", ""])
    report(
        "workers" if options.seeds >= SEEDS else "workers_quick",
        f"{4 * options.seeds} runs",
        ["", "seconds", "mean of a run", "threads"],
        table,
        processors=processors(),
        rounds=times,
        ratios=ratios,
    )


if __name__ == "__main__":
    main()
