"""run: all runs of an experiment, into the file of its results."""

import contextlib
import pathlib

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.experiments import find_experiment
from keras_hypernet.experiments.experiment import Measurement, execute, make_row, run_key
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.runs.cluster import run_on_ray
from keras_hypernet.runs.engines import Job, LocalWorkers, check_engine
from keras_hypernet.runs.progress import RunsProgress


def run(
    experiment,
    out,
    values=None,
    seeds=None,
    quick=False,
    workers=1,
    engine="local",
    address=None,
    resume=False,
    progress=True,
    panels=None,
):
    """Runs what is not in the results yet, and adds a row for each run as it ends.

    It can be killed at any time and called again with `resume`: rows are added in one step each, and what a run comes
    to depends on its configuration alone. A run that diverged or failed has a row too, so it is not repeated, unless
    its line is removed from the file.

    Args:
        experiment: An `Experiment`, which may be your own, with tasks of this package and without `measure`.
        out: Folder of the results, `<experiment>.jsonl`.
        values: Values of what the experiment varies; by default its own.
        seeds: Number of seeds; by default the experiment's own.
        quick: Whether to run the small grid that ends in under a minute.
        workers: Number of processes on this machine, or `LocalWorkers`, whose processes stay for another experiment;
            on a Ray cluster, its processors decide how many there are.
        engine: `"local"` or `"ray"`.
        address: Address of the Ray cluster; by default one is started on this machine.
        resume: Whether to go on with results that are there already. Runs with a row are not repeated.
        progress: Whether to show the progress on standard error.
        panels: Only these of the experiment's panels, such as one of its data sets; by default all.

    Returns:
        The rows of the runs that were asked for, those of earlier calls included, in the order of the grid.

    Raises:
        ValueError: If there are results already and `resume` is False, another process is adding to them, or an
            argument is not valid.
        OSError: If a row cannot be written; runs that have not ended are given up, and repeated with `resume`. Or if
            runs cannot be executed at all: see `LocalWorkers.run` and `run_on_ray`.
        ImportError: If the engine is not installed.
        RuntimeError: If Keras's backend is not TensorFlow.
    """
    require_tensorflow("An experiment")
    check_engine(engine, address)
    if engine == "ray" and workers != 1:
        raise ValueError(
            "`workers` must be left out with the engine 'ray': the cluster's processors decide how many there are. "
            f"Received: {workers}"
        )
    _check_measure(experiment)
    local = workers if isinstance(workers, LocalWorkers) else LocalWorkers(workers)
    configs = {run_key(config): config for config in experiment.runs(values, seeds, quick, panels)}
    results = ResultsFile(pathlib.Path(out) / f"{experiment.name}.jsonl")
    with results.locked():
        if results.path.stat().st_size and not resume:
            raise ValueError(
                f"{results.path} holds results already: go on with them (--resume), or choose another folder (--out)."
            )
        warnings = results.mend()
        rows, more = results.read()
        done = {run_key(row["config"]): row for row in rows}
        done = {key: done[key] for key in configs if key in done}
        missing = [config for key, config in configs.items() if key not in done]
        with contextlib.ExitStack() as stack:
            shown = stack.enter_context(
                RunsProgress(experiment.name, len(configs), done.values(), summarize, visible=progress)
            )
            for sentence in [*warnings, *more]:
                shown.warn(sentence)
            if local is not workers:
                stack.enter_context(local)
            ended = run_on_ray(JOB, missing, address) if engine == "ray" else local.run(JOB, missing)
            for row in stack.enter_context(contextlib.closing(ended)):
                results.append(row)
                done[run_key(row["config"])] = row
                shown.add(row)
    return [done[key] for key in configs]


def _check_measure(experiment):
    """Raises ValueError if the processes that execute runs do not find an experiment's `measure`."""
    known = find_experiment(experiment.name)
    if experiment.measure != (known.measure if known else Measurement()):
        raise ValueError(
            "`measure` must be left out of an experiment of your own: the processes that execute its runs look for "
            f"it by the experiment's name. Received: {experiment.measure} for {experiment.name!r}. Execute the runs in "
            "this process instead: `[execute(config, experiment) for config in experiment.runs()]`."
        )


def execute_run(config):
    """Executes a run of the experiment that its configuration names; see `execute`."""
    return execute(config, find_experiment(config["experiment"]))


def _make_failed_row(config, message, seconds, machine):
    return make_row(config, {"status": "failed", "message": message}, seconds, machine=machine)


# A process that dies in a run leaves a row: the run itself may be what ends it.
JOB = Job("keras_hypernet.experiments.runner:execute_run", _make_failed_row)


def summarize(rows):
    """Returns the lowest test result of each method, by panel if there are several, and how many runs have none.

    Example:

    >>> summarize(
    ...     [
    ...         {"panel": "mnist", "method": "hyper", "status": "finished", "test": 0.0571},
    ...         {"panel": "mnist", "method": "hyper", "status": "diverged", "test": None},
    ...     ]
    ... )
    'best hyper 0.0571; 1 diverged'
    """
    best, lost = {}, {}
    several = len({row["panel"] for row in rows}) > 1
    for row in rows:
        name = f"{row['panel']} {row['method']}" if several else row["method"]
        if row["test"] is not None:
            best[name] = min(best.get(name, row["test"]), row["test"])
        if row["status"] != "finished":
            lost[row["status"]] = lost.get(row["status"], 0) + 1
    parts = ["best " + ", ".join(f"{name} {value:.4g}" for name, value in best.items())] if best else []
    parts += [", ".join(f"{number} {status}" for status, number in lost.items())] if lost else []
    return "; ".join(parts)
