"""search: the depth of f or of e that has the lowest validation error, found by keras-tuner."""

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
from keras_hypernet.tuning.strategy import get_strategy

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
    build=None,
    depth=(2, 9),
    width=None,
    initialization=None,
    learning_rate=None,
    embedding_dim=None,
    recipe=None,
    objective=None,
    factor=3,
    strategy=None,
    workers=1,
    engine="local",
    address=None,
    progress=True,
):
    """Searches for the configuration of the lowest validation error. The test split is not touched.

    A trial is a training as in the experiments: `build_model`, `fit` and `evaluate` on the validation split. Its result
    depends on its configuration and its seed alone. A search can be killed at any time and called again: trials that
    have ended are kept, and those that were running go on after their last whole epoch.

    Args:
        task: A `Task` with a condition, which may be your own.
        method: `"hyper"`, `"embed"`, `"process"` for conditions that are sets, or several, as a tuple; by default
            `"hyper"`.
        oracle: `"grid"`, `"random"`, `"bayesian"` or `"hyperband"`.
        trials: Largest number of trials; by default all of a grid, which takes ten values of a range of real numbers
            and the default, that of the recipe for the learning rate; one iteration of Hyperband; otherwise 20.
        epochs: Passes over the training split; by default the recipe's. Those of Hyperband's longest trainings.
        executions_per_trial: Number of seeds of each trial: the first, the one after it and so on. The objective is
            their mean.
        directory: Folder of the search; by default `runs/tuning/<task>`.
        seed: The first seed of the trainings, and that of the oracle; by default the recipe's.
        overwrite: Whether to delete a search that the directory holds; its `entry`, a model that was made of it, stays.
        resume: Whether to go on if the directory holds the same search.
        build, depth, width, initialization, learning_rate, embedding_dim, recipe: See `DepthSearch`.
        objective: What is minimized, one of `metrics_of(task)`: by default `"validation_error"` for classes,
            otherwise `"validation_mse"`.
        factor: By which Hyperband multiplies the epochs and divides the trials from round to round.
        strategy: A `tf.distribute.Strategy`, or `"mirrored"` for the GPUs of this machine, or without any for the
            logical CPUs that TensorFlow has been told of.
        workers: Number of trials that run at the same time. One runs in this process, unless the engine is Ray; several
            run in processes of their own, each with its share of the processor's threads.
        engine: `"local"` or `"ray"`, for a cluster whose nodes have this package and the data. Trainings are kept in
            `directory`, so it is best a folder that all nodes share.
        address: Address of the Ray cluster; by default one is started on this machine.
        progress: Whether to show the progress on standard error.

    Returns:
        A `SearchResult`.

    Raises:
        ValueError: If an argument is not valid, or the directory holds another search; nothing is deleted then.
        ConnectionError, ChildProcessError: If trials cannot be executed: see `LocalWorkers.run` and `run_on_ray`.
        ImportError: If keras-tuner or Ray is not installed.
        DataUnavailableError: If the task's data are not available.
        RuntimeError: If Keras's backend is not TensorFlow.

    Example:

    >>> import tempfile
    >>> task = keras_hypernet.tasks.SyntheticTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
    >>> folder = tempfile.mkdtemp()
    >>> found = search(task, "hyper", depth=(2, 3), width=[4], epochs=1, directory=folder, progress=False)
    >>> [(row["depth"], row["status"]) for row in found.trials], found.best.depth in (2, 3)
    ([(3, 'finished'), (2, 'finished')], True)
    """
    require_tensorflow("A search")
    if not isinstance(task, Task):
        raise TypeError(f"`task` must be a keras_hypernet Task. Received: {task!r}")
    is_registered(task)  # or has a name of its own
    strategy = get_strategy(strategy)
    hypermodel = DepthSearch(
        task, method, build, depth, width, initialization, learning_rate, embedding_dim, recipe, strategy
    )
    hypermodel.set_recipe(seed=seed, epochs=epochs)
    config = {
        "task": task.config(),
        "method": list(hypermodel.space.methods),
        "build": build and qualified_name(build),
        "space": hypermodel.space.to_dict(),
        "recipe": hypermodel.recipe.to_dict(),
        "oracle": oracle,
        "trials": _TRIALS if trials is None and oracle in ("random", "bayesian") else trials,
        "executions_per_trial": executions_per_trial,
        "objective": objective or metrics_of(task)[0],
        "factor": factor if oracle == "hyperband" else None,
        "replicas": strategy.num_replicas_in_sync if strategy else 1,
    }
    _check(config, hypermodel, factor)
    _check_environment()
    _check_workers(hypermodel, workers, engine, address)
    place = SearchDirectory(directory or pathlib.Path("runs") / "tuning" / task.name)
    if overwrite or place.config() is None:
        for split in ("train", "validation"):
            task.load(split)  # if they are not available, no folder is claimed, and nothing deleted
    with place.locked():
        return run_search(
            config, hypermodel, place, {"resume": resume, "overwrite": overwrite}, (workers, engine, address), progress
        )


def _check(config, hypermodel, factor):
    oracle, task = config["oracle"], hypermodel.task
    if oracle not in ORACLES:
        raise ValueError(f"`oracle` must be one of {ORACLES}. Received: {oracle!r}")
    numbers = {"executions_per_trial": (config["executions_per_trial"], 1), "factor": (factor, 2)}
    if config["trials"] is not None:
        numbers["trials"] = (config["trials"], 1)
    for name, (value, least) in numbers.items():
        if not (type(value) is int and value >= least):
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
    epochs = hypermodel.recipe.epochs
    if oracle == "hyperband" and epochs < factor:
        raise ValueError(
            f"`epochs` must be at least `factor`, or Hyperband has one round only, and stops no training early. "
            f"Received: {epochs} epochs and the factor {factor}"
        )
    if config["objective"] not in metrics_of(task):
        raise ValueError(unreported(config["objective"], metrics_of(task), task))


def _check_environment():
    for name in ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"):
        if name in os.environ:
            raise ValueError(
                f"keras-tuner would take its orders from {name}, which is set: unset it, and let `workers` or a Ray "
                "cluster (engine='ray') share the trials."
            )


def _check_workers(hypermodel, workers, engine, address):
    """Raises ValueError unless the trials can be executed as asked for."""
    check_engine(engine, address)
    if not (type(workers) is int and workers >= 1):
        raise ValueError(f"`workers` must be an integer of at least 1. Received: {workers!r}")
    if engine == "local" and workers == 1:
        return
    cannot = []
    if hypermodel.function is not None and importable_name(hypermodel.function) is None:
        cannot.append("`build`: define it at the top of a module of its own")
    if not is_registered(hypermodel.task):
        cannot.append("`task`: choose one of this package's")
    if hypermodel.strategy is not None:
        cannot.append("`strategy`: leave it out")
    if cannot:
        raise ValueError(
            f"Trials in other processes need everything to be importable there. Received: {engine!r} with {workers} "
            f"workers, and what is not, {'; '.join(cannot)}. Or let workers=1 train in this process."
        )
