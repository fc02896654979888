"""search: the depth of f or of e that has the lowest validation error, found by keras-tuner."""

import contextlib
import math
import pathlib

from keras_hypernet.backends import require_tensorflow
from keras_hypernet.tasks import Task, is_registered
from keras_hypernet.tuning import distributed as roles
from keras_hypernet.tuning.connection import wait_for_chief
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.hypermodel import DepthSearch, qualified_name
from keras_hypernet.tuning.metrics import metrics_of, unreported
from keras_hypernet.tuning.oracles import ORACLES
from keras_hypernet.tuning.running import SearchRun
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
    distributed=None,
    address=None,
    worker_id=None,
    wait=8.0,
    worker_timeout=60.0,
    progress=True,
):
    """Searches for the configuration of the lowest validation error. The test split is not touched.

    A trial is a training as the experiments have it: `build_model`, `fit` and `evaluate` on the validation split. What
    it comes to depends on its configuration and its seed alone. It can be killed at any time and called again: trials
    that have ended are kept, and the one that was running goes on after its last whole epoch.

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
        seed: The first seed of the trainings, and that of the oracle; by default the recipe's, which is 0 if it has
            not been said.
        overwrite: Whether to delete a search that the directory holds; its `entry`, a model that was made of it, stays.
            A worker deletes none that is its chief's.
        resume: Whether to go on if the directory holds the same search.
        build, depth, width, initialization, learning_rate, embedding_dim, recipe: See `DepthSearch`.
        objective: What is minimized, one of `metrics_of(task)`: by default `"validation_error"` for classes,
            otherwise `"validation_mse"`.
        factor: By which Hyperband multiplies the epochs and divides the trials from round to round.
        strategy: A `tf.distribute.Strategy`, or `"mirrored"` for the GPUs of this machine, or without any for the
            logical CPUs that TensorFlow has been told of.
        distributed: `"chief"` or `"worker"`, for a search by several processes; they need the same arguments, and a
            directory that they share if workers are to continue trainings of others.
        address: `HOST:PORT` of the chief.
        worker_id: Name of a worker; by default its host and process.
        wait: For how many seconds a worker looks for its chief when it starts. One that is gone later is asked for ten
            minutes more, in which it can be started again.
        worker_timeout: After how many seconds of silence the trial of a worker is given to another one.
        progress: Whether to show the progress on standard error.

    Returns:
        A `SearchResult`; that of a worker has the trials that it ran.

    Raises:
        ValueError: If an argument is not valid, or the directory holds another search; nothing is deleted then.
        ConnectionError: If there is no chief at the address, or it is gone, has failed, or has begun another search;
            or if it cannot be one.
        ImportError: If keras-tuner is not installed.
        DataUnavailableError: If the task's data are not to be had.
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
    roles.check_role(distributed, address, worker_id)
    _check_seconds("wait", wait, zero=True)
    _check_seconds("worker_timeout", worker_timeout)
    if not isinstance(task, Task):
        raise TypeError(f"`task` must be a keras_hypernet Task. Received: {task!r}")
    is_registered(task)  # or has a name of its own
    strategy = get_strategy(strategy)
    hypermodel = DepthSearch(
        task, method, build, depth, width, initialization, learning_rate, embedding_dim, recipe, strategy
    )
    hypermodel.set_recipe(seed=seed, epochs=epochs)
    objective = objective or metrics_of(task)[0]
    _check(hypermodel, oracle, trials, executions_per_trial, objective, factor)
    if trials is None and oracle in ("random", "bayesian"):
        trials = _TRIALS
    config = {
        "task": task.config(),
        "method": list(hypermodel.space.methods),
        "build": build and qualified_name(build),
        "space": hypermodel.space.to_dict(),
        "recipe": hypermodel.recipe.to_dict(),
        "oracle": oracle,
        "trials": trials,
        "executions_per_trial": executions_per_trial,
        "objective": objective,
        "factor": factor if oracle == "hyperband" else None,
        "replicas": strategy.num_replicas_in_sync if strategy else 1,
    }
    place = SearchDirectory(directory or pathlib.Path("runs") / "tuning" / task.name)
    worker = distributed == "worker"
    if worker:
        place.join(config, overwrite, wait_for_chief(address, wait))
    elif distributed is None and (overwrite or place.config() is None):
        for split in ("train", "validation"):
            task.load(split)  # if they are not to be had, no folder is claimed, and nothing deleted

    with contextlib.ExitStack() as stack:
        if not worker:
            if distributed == "chief":
                roles.check_free(address)  # before a folder is claimed
            stack.enter_context(place.locked())
            place.claim(config, resume, overwrite)
        stack.enter_context(roles.environment(distributed, address, worker_id))
        run = SearchRun(config, hypermodel, place, address if worker else None, worker_timeout, progress)
        return run.run(distributed, address)


def _check_seconds(name, value, zero=False):
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not (number and (value > 0 or (zero and value == 0))):
        least = "at least 0" if zero else "more than 0"
        raise ValueError(f"`{name}` must be a finite number of seconds, {least}. Received: {value!r}")


def _check(hypermodel, oracle, trials, executions_per_trial, objective, factor):
    if oracle not in ORACLES:
        raise ValueError(f"`oracle` must be one of {ORACLES}. Received: {oracle!r}")
    numbers = {"executions_per_trial": (executions_per_trial, 1), "factor": (factor, 2)}
    if trials is not None:
        numbers["trials"] = (trials, 1)
    for name, (value, least) in numbers.items():
        if not (type(value) is int and value >= least):
            raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
    epochs = hypermodel.recipe.epochs
    if oracle == "hyperband" and epochs < factor:
        raise ValueError(
            f"`epochs` must be at least `factor`, or Hyperband has one round only, and stops no training early. "
            f"Received: {epochs} epochs and the factor {factor}"
        )
    if objective not in metrics_of(hypermodel.task):
        raise ValueError(unreported(objective, metrics_of(hypermodel.task), hypermodel.task))
