"""run: executes the runs of an experiment and appends their rows to its results."""

import contextlib
import functools
import json
import random
import time

import keras

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.checks import integer
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.experiments import NAMES, find_experiment, find_source
from keras_hypernet.experiments.experiment import Measurement, curve, make_row, run_key
from keras_hypernet.experiments.rows import results_of
from keras_hypernet.runs.engines import Job, LocalWorkers, check_engine, run_on_ray
from keras_hypernet.runs.machine import machine, peak_memory, reset_peak_memory
from keras_hypernet.runs.progress import RunsProgress
from keras_hypernet.tasks import TASKS, get_task, is_of_package
from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.recipe import Recipe


def run(experiment, out, *, workers=1, engine="local", address=None, resume=False, progress=True, **grid):
    """Executes the runs that the results lack, appends the row of each run as it ends, and returns the requested rows.

    `resume` continues a killed call: each row is appended in one step, and depends only on the run's configuration.
    A diverged or failed run has a row, too, and is repeated only after its line is removed from the file. The returned
    rows include those of earlier calls, in the order of the grid.

    Args:
        experiment: An `Experiment`. If it has tasks or a `measure` of your own, other processes load it from its file,
            where its name must be `EXPERIMENT`; without such a file, it runs in this process.
        out: Folder of the results, `<experiment>.jsonl`.
        workers: Number of processes on this machine, or `LocalWorkers`, whose processes stay for another experiment;
            on a Ray cluster, the cluster's processors decide.
        engine: `"local"` or `"ray"`.
        address: Address of the Ray cluster; by default one is started on this machine.
        resume: Whether to add to existing results. Runs with a row are not repeated.
        progress: Whether to show the progress on standard error.
        **grid: The requested runs, as of `Experiment.runs`: `values`, `seeds`, `quick`, `panels`.

    Raises:
        ValueError: If results exist and `resume` is False, another process adds to them, or an argument is not valid.
        OSError: If a row cannot be written, or no run can be executed: see `LocalWorkers.run` and `run_on_ray`.
        ImportError, RuntimeError: If the engine is not installed, or Keras's backend is not TensorFlow.
    """
    require_tensorflow("An experiment")
    configs = {run_key(config): config for config in experiment.runs(**grid)}
    job = _make_job(experiment, configs.values())
    _check_workers(job, experiment, workers, engine, address)
    local = workers if isinstance(workers, LocalWorkers) else LocalWorkers(workers)
    results = results_of(experiment.name, out)
    with results.locked():
        if results.path.stat().st_size and not resume:
            raise ValueError(
                f"{results.path} holds results already: go on with them (--resume), or choose another folder (--out)."
            )
        warnings = results.mend()
        rows, more = results.read()
        done = {key: row for row in rows if (key := run_key(row["config"])) in configs}
        missing = [config for key, config in configs.items() if key not in done]
        with contextlib.ExitStack() as stack:
            shown = stack.enter_context(
                RunsProgress(experiment.name, len(configs), done.values(), describe_best, visible=progress)
            )
            for sentence in [*warnings, *more]:
                shown.console.warn(sentence)
            if local is not workers:
                stack.enter_context(local)
            ended = run_on_ray(job, missing, address) if engine == "ray" else _rows(job, missing, local)
            for row in stack.enter_context(contextlib.closing(ended)):
                results.append(row)
                done[run_key(row["config"])] = row
                shown.add(row)
    return [done[key] for key in configs]


def verify(experiments, folder, number):
    """Runs random rows of results again, each with the threads of its row; yields each row, and its repetition.

    Failed rows do not count. Another kind of processor, or other versions, may round differently: see `difference`.

    Args:
        experiments: Experiments of this package, or of files of your own.
        folder: Folder of the results.
        number: Number of rows; all rows, if there are fewer.

    Raises ValueError if there are no rows, and the errors of `run`.
    """
    require_tensorflow("An experiment")
    rows = []
    for experiment in experiments:
        read, _ = results_of(experiment.name, folder).read()
        rows += [(experiment, row) for row in read if experiment.owns(row) and row["status"] != "failed"]
    if not rows:
        raise ValueError(f"There are no rows to verify in {folder}. Run an experiment, or give the folder (--out).")
    for experiment, row in random.sample(rows, min(integer("number", number), len(rows))):
        job = _make_job(experiment, [row["config"]])
        with LocalWorkers(1, threads=(row["machine"] or {}).get("threads")) as workers:
            (again,) = _rows(job, [row["config"]], workers)
        yield row, again


def _rows(job, configs, workers):
    """Yields the row of each run as it ends; the runs are in this process if the job's function has no name."""
    return (job.execute(config) for config in configs) if callable(job.execute) else workers.run(job, configs)


def difference(row, again):
    """The largest relative difference of the numbers that two rows of a run hold; infinite if only one has a number.

    Times and memory are not compared, nor are numbers that older rows lack.

    >>> difference({"test": 0.5, "validation": 0.4, "curve": {}}, {"test": 0.5, "validation": 0.2, "curve": {}})
    0.5
    """
    measured = {name for name in row.keys() & again.keys() if isinstance(row[name], (int, float))}
    names = sorted({"test", "validation"} | measured - {"seconds", "training_seconds", "peak_memory_mib"})

    def numbers(row):
        return [*map(row.get, names), *(value for values in row["curve"].values() for value in values)]

    first, second = numbers(row), numbers(again)
    if len(first) != len(second) or [each is None for each in first] != [each is None for each in second]:
        return float("inf")
    pairs = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    return max((abs(old - new) / max(old, new) for old, new in pairs), default=0.0)


def _check_workers(job, experiment, workers, engine, address):
    check_engine(engine, address)
    if engine == "ray" and workers != 1:
        raise ValueError(f"`workers` must be left out with the engine 'ray': the cluster decides. Received: {workers}")
    if callable(job.execute) and (engine == "ray" or workers != 1):
        raise ValueError(
            "Other processes must find the experiment. Received: an experiment of your own, "
            f"{experiment.name!r}, that is not the EXPERIMENT of an imported file. Put it into a file of its own, and "
            "import it; or leave out `workers` and `engine`."
        )


def _make_job(experiment, configs):
    """Returns the job of an experiment; its `execute` is a function if other processes cannot find the experiment."""
    measure = find_experiment(experiment.name).measure if experiment.name in NAMES else Measurement()

    def failed(config, message, seconds, machine):
        result = {"status": "failed", "message": message}
        return make_row(config, result, seconds, machine=machine, task=task_of(config, experiment))

    if experiment.measure == measure and all(_is_everywhere(config["task"]) for config in configs):
        return Job(_EXECUTE, failed)
    if experiment.name in NAMES:
        raise ValueError(f"An experiment of your own needs a name of its own. Received: {experiment.name!r}")
    source = find_source(experiment)
    if source is not None and find_experiment(experiment.name) not in (None, experiment):
        raise ValueError(f"Another file that was loaded has an experiment of this name. Received: {experiment.name!r}")
    if source is None:
        return Job(functools.partial(execute, experiment=experiment), failed)
    return Job(_EXECUTE, failed, sources=(source,))


def _is_everywhere(config):
    """Whether every process makes the task of a configuration: a task of this package, without a user's arrays."""
    task = config["name"] in TASKS and get_task(**config)
    return task and is_of_package(task) and not task.arrays_sha256


def execute(config, experiment=None):
    """Executes one run and returns its row, also if the run diverges or fails.

    `config` is one of `Experiment.runs()`. By default the experiment is found by its name, in this package or in a file
    that this process has loaded. Raises DataUnavailableError or ImportError if this machine lacks the data of the run
    or a package.
    """
    experiment = experiment or find_experiment(config["experiment"])
    keras.backend.clear_session()
    reset_peak_memory()
    started = time.perf_counter()
    task, recipe = task_of(config, experiment), Recipe(**config["recipe"])
    measure = experiment.measure if experiment else Measurement()
    try:
        measured = measure.function(task, config[measure.label], recipe)
        measured["data_sha256"] = task.fingerprint()
        not_finite = []  # collects such numbers, which become None
        result = json.loads(json.dumps(measured), parse_constant=not_finite.append)
        if not_finite:
            message = f"Training ended with finite losses, but a measured number is {not_finite[0]}."
            result |= {"status": "diverged", "message": message, "test": None, "validation": None}
    except TrainingDivergedError as error:
        result = {"status": "diverged", "message": str(error), "curve": curve(error.history)}
    except (DataUnavailableError, ImportError):
        raise
    except Exception as error:  # a failed run is a row, and does not stop the other runs
        result = {"status": "failed", "message": f"{type(error).__name__}: {error}"}
    return make_row(config, result, time.perf_counter() - started, peak_memory(), machine(), task)


def task_of(config, experiment=None):
    """Returns the task of a run, which the experiment's `setup` makes if `get_task` does not."""
    try:
        return get_task(**config["task"])
    except ValueError:  # a class that is not registered, or arrays that this process lacks
        if experiment is None:
            raise
    point = [config[name] for name in ("panel", "method", experiment.varies, "seed")]
    for quick in (False, True):
        task, _ = experiment.setup(*point, quick)
        if task.config() == config["task"]:
            return task
    raise ValueError(
        f"`setup` of the experiment {experiment.name!r} must make the task {config['task']}. Received: {task}"
    )


# A run whose process dies is a failed row and not repeated: the run itself may be the cause.
_EXECUTE = "keras_hypernet.experiments.runner:execute"


def describe_best(rows):
    """Returns the lowest test result of each method, by panel if there are several; an empty text without results."""
    several, best = len({row["panel"] for row in rows}) > 1, {}
    for row in rows:
        name = f"{row['panel']} {row['method']}" if several else row["method"]
        if row["test"] is not None:
            best[name] = min(best.get(name, row["test"]), row["test"])
    return "best " + ", ".join(f"{name} {value:.4g}" for name, value in best.items()) if best else ""
