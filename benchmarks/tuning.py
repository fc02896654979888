"""What does a search cost: keras-tuner's part of a trial, and how much of the grid's training a search needs?

    python benchmarks/tuning.py overhead [--quick]
    python benchmarks/tuning.py budget [--quick] [--results results]

overhead: the same trainings by a search, one depth after the other, and by `build_model`, `fit` and `evaluate` alone,
in turn; the difference, per trial, against a trial of one minute. Claim: less than 10%. On rotation/MNIST, three
depths, five rounds of one epoch each, about ten minutes. What a search adds does not depend on the number of epochs,
but for a checkpoint each, which is why it is measured on short trials, where it is seen best.

budget: rotation/MNIST, the depth of f. The grid is that of the experiment `rotation_depth`, depth 2 to 9, whose rows
are read from --results, or trained here if they are not there. Against its best validation error the best of Hyperband
(factor 4: six depths for three epochs, the two best for ten) and of Bayesian optimization (three trials), over three
search seeds. Claim: one of them comes within 0.01 of it with at most 40% of the grid's training steps. About 20
minutes, and eight more for each seed whose rows are not there. With --quick, both on `digits`, for a trial; those
results go to tuning_*_quick.json.
"""

import argparse
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measure import report

from keras_hypernet import RotationTask, build_model, evaluate, fit, paper_recipe, tuning
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.rows import ResultsFile

TRIAL_SECONDS, SHARE = 60, 0.1
CLOSE, STEPS = 0.01, 0.4
SEARCHES = {"hyperband": {"factor": 4, "trials": 8}, "bayesian": {"trials": 3}}


def measure_overhead(quick):
    """Prints and writes how long the same trainings take with a search around them, and without."""
    task, depths = RotationTask("digits" if quick else "mnist"), [2, 3] if quick else [2, 4, 6]
    times = {"search": [], "alone": []}

    def alone():
        for depth in depths:
            recipe = paper_recipe(task, depth=depth, epochs=1)
            model = build_model(task, "hyper", recipe)
            fit(model, task, recipe, progress=False)
            evaluate(model, task, "validation")

    def searched():
        with tempfile.TemporaryDirectory() as folder:
            tuning.search(task, "hyper", depth=depths, epochs=1, directory=folder, progress=False)

    for _ in range(2 if quick else 6):  # the first warms up
        for name, run in (("alone", alone), ("search", searched)):
            started = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - started) / len(depths))
    times = {name: values[1:] for name, values in times.items()}
    added = sorted(search - alone for search, alone in zip(times["search"], times["alone"], strict=True))
    share = added[len(added) // 2] / TRIAL_SECONDS
    rows = [[name, *values] for name, values in times.items()] + [["added", *added]]
    columns = ["seconds of a trial", *(f"round {number}" for number in range(1, len(added) + 1))]
    title = f"A trial of one epoch, {task}, by a search and alone"
    name = "tuning_overhead_quick" if quick else "tuning_overhead"
    report(name, title, columns, rows, share_of_a_minute=share, goal=SHARE, reached=share < SHARE)
    print(f"A search adds {100 * share:.1f}% to a trial of {TRIAL_SECONDS} s (goal: less than {100 * SHARE:.0f}%).")


def measure_budget(quick, results):
    """Prints and writes how close searches come to the grid's best, and at which part of its steps."""
    task = RotationTask("digits" if quick else "mnist")
    options = {"epochs": 3} if quick else {}
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
    report(name, f"{task}, depth 2 to 9", columns, rows, close=CLOSE, share_of_steps=STEPS, searches=SEARCHES)
    for oracle in SEARCHES:
        mine = [row for row in rows if row[0] == oracle]
        print(
            f"{oracle}: {sum(row[-1] == 'True' for row in mine)} of {len(mine)} seeds within {CLOSE} of the grid's best"
        )


def _grid(task, seed, options, results):
    """Best depth, its validation error, and the training steps of the grid of a seed."""
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
