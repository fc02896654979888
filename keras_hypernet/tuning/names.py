"""Names: of the tasks whose models have a depth to search; of columns, metrics and searched hyperparameters."""

from typing import Any

from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.tasks import SyntheticTask, Task, get_task

_DATA = {"mnist": "mnist", "cifar": "cifar10", "digits": "digits", "patches": "patches"}
# Similar images that come with a package.
_OFFLINE = {"mnist": "digits", "cifar10": "patches"}
_SMALL = {"dim": 50, "num_train": 2000, "num_validation": 500, "num_test": 500}

# Columns of every table, besides hyperparameters and metrics.
COLUMNS = ("trial", "status", "method", "total_epochs", "epochs", "steps", "seconds", "worker", "message")

SEARCH_TASKS = {
    **{f"rotation_{short}": {"name": "rotation", "data": data} for short, data in _DATA.items()},
    **{f"synthetic_{family}": {"name": "synthetic", "family": family} for family in ("inner", "hadamard", "concat")},
    **{f"colorization_{short}": {"name": "colorization", "data": _DATA[short]} for short in ("cifar", "patches")},
    **{f"rotation_set_{short}": {"name": "rotation_set", "data": _DATA[short]} for short in ("mnist", "digits")},
}


def get_search_task(name: str, seed: int = 0, quick: bool = False) -> Task:
    """Returns the task of a name, such as `rotation_mnist` or `synthetic_inner`; ValueError if the name is unknown.

    `seed` is that of a synthetic task; a `quick` task is similar, needs no network, and trains an epoch in a second or
    two.

    >>> get_search_task("rotation_cifar"), get_search_task("rotation_cifar", quick=True)
    (RotationTask(data='cifar10'), RotationTask(data='patches'))
    """
    if name not in SEARCH_TASKS:
        raise ValueError(f"There is no task {name!r} to search the depth for; {suggestion(name, SEARCH_TASKS)}")
    config: dict[str, Any] = dict(SEARCH_TASKS[name])
    if config["name"] == "synthetic":
        config |= {"seed": seed, **(_SMALL if quick else {})}
    elif quick:
        config["data"] = _OFFLINE.get(config["data"], config["data"])
    return get_task(**config)


def search_name(task):
    """Returns the name by which `get_search_task` finds a task, whatever its seed, or else the name of its class."""
    seed = task.seed if isinstance(task, SyntheticTask) else 0
    return next((name for name in SEARCH_TASKS if get_search_task(name, seed) == task), task.name)


def metrics_of(task):
    """Returns the names of the metrics on the validation split; a search can minimize any of these.

    >>> metrics_of(keras_hypernet.RotationTask("digits"))
    ('validation_error', 'validation_loss')
    """
    return ("validation_error", "validation_loss") if task.metric == "error" else (f"validation_{task.metric}",)


def searched(methods, space):
    """Returns the names of the searched hyperparameters."""
    return ["method"] * (len(methods) > 1) + [name for name, field in space.items() if field is not None]


def is_internal(name):
    """Whether keras-tuner sets a hyperparameter for itself, such as `tuner/epochs` of Hyperband."""
    return name.startswith("tuner/")
