"""The cost of a search: keras-tuner's share of a trial, and a search's share of the grid's training.

    python benchmarks/tuning.py overhead [--quick]
    python benchmarks/tuning.py budget [--quick] [--results results]

overhead: the same trainings by a search, and by `build_model`, `fit` and `evaluate` alone, in turn. A search adds a
fixed time per trial and a checkpoint per epoch; trials of one and of five epochs give both, and from them the overhead
of a one-minute trial. Times are processor seconds, with one thread for TensorFlow's operations, since other processes
affect the clock more than the overhead does. Claim: less than 10%. On rotation/MNIST, depth 4, five rounds, about six
minutes.

budget: rotation/MNIST, the depth of f. The grid is that of the experiment `rotation_depth`, depth 2 to 9; its rows come
from --results, or are trained here. The script compares the grid's best validation error with the best of Hyperband
(factor 5: all eight depths for two epochs, the two best for ten) and of Bayesian optimization, over three seeds of the
search and of its trainings. Bayesian optimization has three trials, which keras-tuner draws at random, so it shows the
result of chance. Claim: one of the two comes within 0.01 with at most 40% of the grid's training steps; "reached" holds
whether for every seed, "mean_behind" the mean distance over the seeds. About 20 minutes, and eight more for each seed
without rows. With --quick, both run on `digits` and write tuning_*_quick.json.
"""

import argparse
import functools
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from measure import interleaved, medians, report

from keras_hypernet import RotationTask, build_model, evaluate, fit, paper_recipe, tuning
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.rows import ResultsFile

TRIAL_SECONDS, SHARE = 60, 0.1
CLOSE, STEPS = 0.01, 0.4
SEARCHES = {"hyperband": {"factor": 5, "trials": 10}, "bayesian": {"trials": 3}}


def measure_overhead(quick):
    """Prints and writes the time of the same trainings with and without a search."""
    task, few, many = RotationTask("digits" if quick else "mnist"), 1, 5
    tf.config.threading.set_intra_op_parallelism_threads(1)

    def alone(epochs):
        recipe = paper_recipe(task, epochs=epochs)
        model = build_model(task, "hyper", recipe)
        fit(model, task, recipe, progress=False)
        evaluate(model, task, "validation")

    def searched(epochs):
        with tempfile.TemporaryDirectory() as folder:
            tuning.search(task, "hyper", depth=[4], epochs=epochs, directory=folder, progress=False)

    runs = {"alone": alone, "search": searched}
    contenders = {(name, epochs): functools.partial(runs[name], epochs) for epochs in (few, many) for name in runs}
    times = interleaved(contenders, 1 if quick else 5, warmup=1, clock=time.process_time)
    rows = [[f"{name}, {epochs} epochs", *times[name, epochs]] for name, epochs in contenders]
    added = {}
    for epochs in (few, many):
        pairs = zip(times["search", epochs], times["alone", epochs], strict=True)
        rows.append([f"added, {epochs} epochs", *(search - alone for search, alone in pairs)])
        added[epochs] = statistics.median(rows[-1][1:])
    median = medians(times)
    of_epoch = (median["alone", many] - median["alone", few]) / (many - few)
    added_by_epoch = (added[many] - added[few]) / (many - few)
    added_to_minute = added[few] + added_by_epoch * (TRIAL_SECONDS / of_epoch - few)
    share = added_to_minute / TRIAL_SECONDS
    columns = ["seconds of the processor", *(f"round {number}" for number in range(1, len(rows[0])))]
    name = "tuning_overhead_quick" if quick else "tuning_overhead"
    facts = {"added_once": added[few], "added_by_epoch": added_by_epoch, "seconds_of_epoch": of_epoch}
    facts |= {"share_of_a_minute": share, "goal": SHARE, "reached": share < SHARE}
    report(name, f"A trial by a search and alone, {task}", columns, rows, **facts)
    print(
        f"A search adds {added[few]:.2f} s, and {added_by_epoch:.2f} s to each further epoch of {of_epoch:.1f} s: "
        f"{100 * share:.1f}% of a trial of {TRIAL_SECONDS} s (goal: less than {100 * SHARE:.0f}%)."
    )


def measure_budget(quick, results):
    """Prints and writes the searches' distances from the grid's best, and their shares of its steps."""
    task = RotationTask("digits" if quick else "mnist")
    options = {"epochs": 5} if quick else {}
    rows = []
    for seed in range(1 if quick else 3):
        grid = _grid(task, seed, options, None if quick else results)
        for oracle, chosen in SEARCHES.items():
            with tempfile.TemporaryDirectory() as folder:
                found = tuning.search(task, "hyper", oracle, seed=seed, directory=folder, **options, **chosen)
            best = found.best_trial
            share = sum(row["steps"] for row in found.trials) / grid["steps"]
            behind = best["validation_error"] - grid["error"]
            reached = behind <= CLOSE and share <= STEPS
            rows.append([oracle, seed, best["depth"], best["validation_error"], grid["depth"], grid["error"], share])
            rows[-1].append(str(reached))
    columns = ["search", "seed", "depth", "validation error", "grid's depth", "validation error", "steps", "reached"]
    name = "tuning_budget_quick" if quick else "tuning_budget"
    reached = {oracle: [row[-1] == "True" for row in rows if row[0] == oracle] for oracle in SEARCHES}
    behind = {oracle: [row[3] - row[5] for row in rows if row[0] == oracle] for oracle in SEARCHES}
    facts = {"close": CLOSE, "share_of_steps": STEPS, "searches": SEARCHES, "reached": any(map(all, reached.values()))}
    facts["mean_behind"] = {oracle: statistics.fmean(of_seeds) for oracle, of_seeds in behind.items()}
    report(name, f"{task}, depth 2 to 9", columns, rows, **facts)
    for oracle, of_seeds in reached.items():
        print(
            f"{oracle}: for {sum(of_seeds)} of {len(of_seeds)} seeds within {CLOSE} of the grid's best, with at most "
            f"{100 * STEPS:.0f}% of its steps; {facts['mean_behind'][oracle]:.3f} behind by the mean"
        )


def _grid(task, seed, options, results):
    """Best depth, its validation error, and the training steps of the grid for a seed."""
    errors = {}
    if results is not None:
        experiment = get_experiment("rotation_depth")
        for row in ResultsFile(pathlib.Path(results) / f"{experiment.name}.jsonl").read()[0]:
            if (row["panel"], row["method"], row["seed"]) == (task.data, "hyper", seed) and experiment.owns(row):
                errors[row["depth"]] = row["validation"]
    recipe = paper_recipe(task, **options)
    steps = 8 * recipe.epochs * -(-task.num_examples("train") // recipe.batch_size)
    if set(errors) != set(range(2, 10)):
        with tempfile.TemporaryDirectory() as folder:
            found = tuning.search(task, "hyper", seed=seed, directory=folder, **options)
        errors = {row["depth"]: row["validation_error"] for row in found.trials}
        assert steps == sum(row["steps"] for row in found.trials)
    depth = min((depth for depth in errors if errors[depth] is not None), key=errors.get)
    return {"depth": depth, "error": errors[depth], "steps": steps}


def main():
    parser = argparse.ArgumentParser(description="What a search costs.")
    parser.add_argument("what", choices=("overhead", "budget"))
    parser.add_argument("--quick", action="store_true", help="On small images, for a trial.")
    parser.add_argument("--results", default="results", help="Folder of the experiments' results.")
    arguments = parser.parse_args()
    if arguments.what == "overhead":
        measure_overhead(arguments.quick)
    else:
        measure_budget(arguments.quick, arguments.results)


if __name__ == "__main__":
    main()
