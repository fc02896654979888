"""search: keras-tuner looks for the depth of f or of e with the lowest validation error."""

import os
import pathlib

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.runs.engines import check_engine
from keras_hypernet.runs.worker import importable_name
from keras_hypernet.tasks import Task, is_registered
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.hypermodel import DepthSearch, qualified_name
from keras_hypernet.tuning.metrics import metrics_of, unreported
from keras_hypernet.tuning.oracles import ORACLES
from keras_hypernet.tuning.running import run_search

_TRIALS = 20


def search(
    task,
    method=None,
    oracle="grid",
    trials=None,
    epochs=None,
    executions_per_trial=1,
    directory=None,
    seed=None,
    overwrite=False,
    *,
    resume=True,
    objective=None,
    factor=3,
    workers=1,
    engine="local",
    address=None,
    progress=True,
    **space,
):
    """Searches for the configuration with the lowest validation error. The test split stays unread.

    A trial is a training as in the experiments: `build_model`, `fit` and `evaluate` on the validation split. After a
    kill, the same call keeps the trials that have ended, and continues the others after their last whole epoch.

    Args:
        task: A `Task` with a condition, also a task of your own.
        method: See `DepthSearch`; by default `"hyper"`.
        oracle: `"grid"`, `"random"`, `"bayesian"` or `"hyperband"`.
        trials: Maximum number of trials. Default: the whole grid, which has ten values and the default of a range of
            real numbers; one iteration of Hyperband; else 20.
        epochs: Passes over the training split, in Hyperband's longest trainings; by default the recipe's.
        executions_per_trial: Number of consecutive seeds of each trial. The objective is their mean.
        directory: Folder of the search; by default `runs/tuning/<task>`.
        seed: First seed of the trainings, and seed of the oracle; by default the recipe's.
        overwrite: Whether to delete a search in the directory, except for `entry`, a model made from that search.
        resume: Whether to continue the same search in the directory.
        objective: The metric to minimize, of `metrics_of(task)`: by default `"validation_error"` for classes, else
            `"validation_mse"`.
        factor: Hyperband multiplies the epochs and divides the trials by this factor from round to round.
        workers: Number of parallel trials. A single worker is this process, unless the engine is Ray; several
            workers are processes that share the processor's threads.
        engine: `"local"`, or `"ray"` for a cluster whose nodes have this package, the data and best also `directory`.
        address: Address of the Ray cluster; by default Ray starts on this machine.
        progress: Whether to show the progress on standard error.
        **space: Further arguments of `DepthSearch`: build, depth, width, initialization, learning_rate, embedding_dim,
            recipe and strategy.

    Returns:
        A `SearchResult`.

    Raises:
        ValueError: If an argument is not valid, or the directory holds another search, which is kept.
        ConnectionError, ChildProcessError: If no trial can run: see `LocalWorkers.run` and `run_on_ray`.
        ImportError: If keras-tuner or Ray is not installed.
        DataUnavailableError: If the task's data are not available.
        RuntimeError: If Keras's backend is not TensorFlow.

    Example:

    >>> import tempfile
    >>> task = keras_hypernet.tasks.SyntheticTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
    >>> folder = tempfile.mkdtemp()
    >>> result = search(task, "hyper", depth=(2, 3), width=[4], epochs=1, directory=folder, progress=False)
    >>> [(row["depth"], row["status"]) for row in result.trials], result.best.depth in (2, 3)
    ([(3, 'finished'), (2, 'finished')], True)
    """
    require_tensorflow("A search")
    if not isinstance(task, Task):
        raise TypeError(f"`task` must be a keras_hypernet Task. Received: {task!r}")
    is_registered(task)  # raises for a task of one's own without a name of its own
    hypermodel = DepthSearch(task, method, **space)
    hypermodel.set_recipe(seed=seed, epochs=epochs)
    config = {
        "task": task.config(),
        "method": list(hypermodel.methods),
        "build": hypermodel.function and qualified_name(hypermodel.function),
        "space": hypermodel.space,
        "recipe": hypermodel.recipe.to_dict(),
        "oracle": oracle,
        "trials": _TRIALS if trials is None and oracle in ("random", "bayesian") else trials,
        "executions_per_trial": executions_per_trial,
        "objective": objective or metrics_of(task)[0],
        "factor": factor if oracle == "hyperband" else None,
        "replicas": hypermodel.strategy.num_replicas_in_sync if hypermodel.strategy else 1,
    }
    _check(config, hypermodel, factor, workers)
    _check_workers(hypermodel, workers, engine, address)
    folder = SearchDirectory(directory or pathlib.Path("runs") / "tuning" / task.name)
    if overwrite or folder.config() is None:
        for split in ("train", "validation"):
            task.load(split)  # without data, no folder is claimed and nothing deleted
    with folder.locked():
        return run_search(config, hypermodel, folder, resume, overwrite, (workers, engine, address), progress)


def _check(config, hypermodel, factor, workers):
    oracle, reported = config["oracle"], metrics_of(hypermodel.task)
    if oracle not in ORACLES:
        raise ValueError(f"`oracle` must be one of {tuple(ORACLES)}. Received: {oracle!r}")
    numbers = {name: (config[name], 1) for name in ("trials", "executions_per_trial")}
    for name, (value, least) in {**numbers, "factor": (factor, 2), "workers": (workers, 1)}.items():
        if not (type(value) is int and value >= least) and (name, value) != ("trials", None):
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
    epochs = hypermodel.recipe.epochs
    if oracle == "hyperband" and epochs < factor:
        raise ValueError(
            "`epochs` must be at least `factor`, or Hyperband has a single round, which stops no training early. "
            f"Received: {epochs} epochs and the factor {factor}"
        )
    if config["objective"] not in reported:
        raise ValueError(unreported(config["objective"], reported, hypermodel.task))
    for name in ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"):
        if name in os.environ:
            raise ValueError(
                f"keras-tuner would take orders from the environment variable {name}: unset {name}, and let `workers` "
                "or a Ray cluster (engine='ray') share the trials."
            )


def _check_workers(hypermodel, workers, engine, address):
    """Raises ValueError unless the workers can execute the trials."""
    check_engine(engine, address)
    if engine == "local" and workers == 1:
        return
    obstacles = []
    if hypermodel.function is not None and importable_name(hypermodel.function) is None:
        obstacles.append("`build`: define the function at the top of a module")
    if not is_registered(hypermodel.task):
        obstacles.append("`task`: choose a task of this package")
    if hypermodel.strategy is not None:
        obstacles.append("`strategy`: omit the strategy")
    if obstacles:
        raise ValueError(
            f"Trials in other processes need importable arguments. Received: {engine!r} with {workers} workers, and "
            f"without a name to import, {'; '.join(obstacles)}. Or train in this process with workers=1."
        )
