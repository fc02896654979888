"""search: an oracle of keras-tuner looks for the depth of f or of e with the lowest validation error."""

import contextlib
import math
import os
import pathlib
import tempfile
from typing import Any

from tensorboard.plugins.hparams import api

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.checks import check_choice, integer
from keras_hypernet.common.files import locked_folder
from keras_hypernet.runs.engines import MAX_ATTEMPTS, Job, LocalWorkers, check_engine, run_on_ray
from keras_hypernet.runs.progress import RunsProgress
from keras_hypernet.runs.sources import task_sources
from keras_hypernet.tasks import Task, is_registered
from keras_hypernet.training.loop import expected_retracing
from keras_hypernet.tuning.hypermodel import DepthSearch, is_importable, qualified_name
from keras_hypernet.tuning.journal import JOURNAL, Journal, claim, read_config
from keras_hypernet.tuning.names import metrics_of, search_name
from keras_hypernet.tuning.oracles import ORACLES, count_trials, make_oracle
from keras_hypernet.tuning.result import SearchResult
from keras_hypernet.tuning.trial import make_lost_row, run_trial

_TRIALS = 20
_VARIABLES = {"KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"}


def search(
    task: Task,
    method: Any = None,
    oracle: str = "grid",
    trials: int | None = None,
    epochs: int | None = None,
    executions_per_trial: int = 1,
    directory: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    *,
    resume: bool = True,
    objective: str | None = None,
    factor: int = 3,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    progress: bool = True,
    **space: Any,
) -> SearchResult:
    """Searches for the configuration with the lowest validation error, and returns a `SearchResult`.

    A trial trains as the experiments do, and leaves the test split unread. After a kill, the same call keeps the trials
    that have ended, and continues the others after their last whole epoch.

    Args:
        task: A `Task` with a condition, also a task of your own.
        method, space: Further arguments of `DepthSearch`; by default the method is `"hyper"`.
        oracle: `"grid"`, `"random"`, `"bayesian"` or `"hyperband"`.
        trials: Maximum number of trials. Default: the whole grid, which has ten values and the default of a range of
            real numbers; one iteration of Hyperband; else 20.
        epochs: Passes over the training split, in Hyperband's longest trainings; by default the recipe's.
        executions_per_trial: Number of consecutive seeds of each trial. The objective is their mean.
        directory: Folder of the search; by default `runs/tuning/<task>`.
        seed: First seed of the trainings, and seed of the oracle; by default the recipe's.
        overwrite: Whether to delete a search in the directory, except for `entry`, a model made from that search.
        resume: Whether to continue the same search in the directory.
        objective: The metric of `metrics_of(task)` to minimize; by default the error, or without classes the MSE.
        factor: Hyperband multiplies the epochs and divides the trials by this factor from round to round.
        workers: Number of parallel trials. Several share the processor's threads, in processes of their own.
        engine, address: `"local"`, or `"ray"` and the address of a cluster whose nodes have this package, the data and
            best also `directory`; without an address, Ray starts on this machine.
        progress: Whether to show the progress on standard error.

    Raises:
        ValueError: If an argument is not valid, or the directory holds another search, which is kept.
        ConnectionError, ChildProcessError: If no trial can run: see `LocalWorkers.run` and `run_on_ray`.
        ImportError, DataUnavailableError, RuntimeError: If keras-tuner or Ray, the data or TensorFlow is missing.

    >>> import tempfile
    >>> task = keras_hypernet.tasks.SyntheticTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
    >>> search(task, depth=[3], width=[4], epochs=1, directory=tempfile.mkdtemp(), progress=False).best.depth
    3
    """
    require_tensorflow("A search")
    if not isinstance(task, Task):
        raise TypeError(f"`task` must be a keras_hypernet Task. Received: {task!r}")
    is_registered(task)  # raises if a user's own task has the name of another task
    hypermodel = DepthSearch(task, method, **space)
    hypermodel.set_recipe(seed=seed, epochs=epochs)
    config = _make_config(hypermodel, oracle, trials, executions_per_trial, objective, factor)
    _check_workers(hypermodel, workers, engine, address)
    folder, own = pathlib.Path(directory or f"runs/tuning/{task.name}"), hypermodel.function is not None

    def summary(rows):
        result = SearchResult(config, folder, rows, task)
        if not result.finished:
            return ""
        best, objective = result.best_trial, result.objective
        return f"best {objective} {best[objective]:.4g} ({best['method']}, depth {best['depth']})"

    with contextlib.ExitStack() as stack:
        stack.enter_context(locked_folder(folder, "searching in", "another directory (--directory)"))
        if overwrite or read_config(folder) is None:
            for split in ("train", "validation"):
                task.load(split)  # without data, no folder is claimed and nothing deleted
        register = hypermodel.build if own else hypermodel.configure
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        journal = Journal(folder / JOURNAL, make_oracle(config), register, scratch)
        count_trials(config, journal.oracle)  # raises if Hyperband has too few configurations
        claim(folder, config, resume, overwrite)
        journal.replay()
        name, total, rows = search_name(task), count_trials(config, journal.oracle), journal.rows.values()
        shown = stack.enter_context(RunsProgress(name, total, rows, summary, "trials", progress))
        stack.enter_context(expected_retracing())
        answers = _execute(_trials(journal, config, folder), hypermodel, folder, workers, engine, address)
        for answer in stack.enter_context(contextlib.closing(answers)):
            journal.tell(answer)
            row = answer["row"]
            _write_logs(SearchResult(config, folder, [row], task), row)
            shown.add(row, count_trials(config, journal.oracle) if own else None)  # the function may ask for more
        return SearchResult.read(folder, task)


def _make_config(hypermodel, oracle, trials, executions_per_trial, objective, factor):
    """Returns the configuration of a search for JSON; ValueError if an argument is not valid."""
    task, recipe = hypermodel.task, hypermodel.recipe
    check_choice("oracle", oracle, tuple(ORACLES))
    if trials is None and oracle in ("random", "bayesian"):
        trials = _TRIALS
    if integer("factor", factor, least=2) > recipe.epochs and oracle == "hyperband":
        raise ValueError(
            "`epochs` must be at least `factor`, or Hyperband has a single round, which stops no training early. "
            f"Received: {recipe.epochs} epochs and the factor {factor}"
        )
    objective = objective or metrics_of(task)[0]
    if objective not in metrics_of(task):
        raise ValueError(f"`objective` must be one of {metrics_of(task)} for {task.name!r}. Received: {objective!r}")
    return {
        "task": task.config(),
        "method": list(hypermodel.methods),
        "build": hypermodel.function and qualified_name(hypermodel.function),
        "space": hypermodel.space,
        "recipe": recipe.to_dict(),
        "oracle": oracle,
        "trials": None if trials is None else integer("trials", trials),
        "executions_per_trial": integer("executions_per_trial", executions_per_trial),
        "objective": objective,
        "factor": factor if oracle == "hyperband" else None,
        "replicas": hypermodel.strategy.num_replicas_in_sync if hypermodel.strategy else 1,
    }


def _check_workers(hypermodel, workers, engine, address):
    check_engine(engine, address)
    for name in os.environ.keys() & _VARIABLES:
        raise ValueError(
            f"keras-tuner would take orders from the environment variable {name}: unset {name}, and let `workers` "
            "or a Ray cluster (engine='ray') share the trials."
        )
    if integer("workers", workers) == 1 and engine == "local":
        return
    obstacles = []
    if hypermodel.function is not None and not is_importable(hypermodel.function):
        obstacles.append("`build`: define the function at the top of a module")
    if not (is_registered(hypermodel.task) and is_importable(type(hypermodel.task))):
        obstacles.append("`task`: import its class, with @keras_hypernet.tasks.register, from a file of its own")
    if hypermodel.strategy is not None:
        obstacles.append("`strategy`: omit the strategy")
    if obstacles:
        raise ValueError(
            f"Trials in other processes need importable arguments. Received: {engine!r} with {workers} workers, and "
            f"without a name to import, {'; '.join(obstacles)}. Or train in this process with workers=1."
        )


def _trials(journal, config, folder):
    """Yields interrupted trials, then new trials; None if no trial can start before another ends."""
    shared = {"search": config, "directory": str(folder.absolute())}
    for number in [number for number in journal.asked if number not in journal.rows]:
        yield {**shared, "asked": number, "values": journal.asked[number]}
    while len(journal.asked) < (config["trials"] or math.inf) and (question := journal.ask()) is not None:
        yield {**shared, **question} if question["asked"] is not None else None


def _execute(trials, hypermodel, folder, workers, engine, address):
    if engine == "local" and workers == 1:
        yield from (run_trial(trial, hypermodel) for trial in trials)
        return
    sources = task_sources(hypermodel.task, folder / "trials")
    # A training continues after its last whole epoch, so another attempt of a lost trial is cheap.
    job = Job("keras_hypernet.tuning.trial:run_trial", make_lost_row, MAX_ATTEMPTS, sources)
    if engine == "ray":
        yield from run_on_ray(job, trials, address, limit=workers)
    else:
        with LocalWorkers(workers) as local:
            yield from local.run(job, trials)


def _write_logs(result, row):
    import tensorflow as tf

    folder, metrics, trial = result.directory / "tensorboard", metrics_of(result.task), f"{row['trial']:04}"
    # The hyperparameters of a user's own function are known after its first call.
    names = dict.fromkeys([*result.space, *result.hyperparameters])
    if not (folder / "hparams").exists():
        with tf.summary.create_file_writer(str(folder / "hparams")).as_default():
            api.hparams_config([api.HParam(name) for name in names], [api.Metric(name) for name in metrics])
    with tf.summary.create_file_writer(str(folder / trial)).as_default():
        api.hparams({name: row[name] for name in names if row[name] is not None}, trial_id=trial)
        for name in (*metrics, "seconds"):
            if row[name] is not None:
                tf.summary.scalar(name, row[name], step=row["epochs"])
