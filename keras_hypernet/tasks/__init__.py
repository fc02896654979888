"""Tasks as `tf.data` pipelines: x, condition and target of a training."""

from keras_hypernet.tasks.approximation import ApproximationTask
from keras_hypernet.tasks.base import Task
from keras_hypernet.tasks.classification import ClassificationTask
from keras_hypernet.tasks.colorization import ColorizationTask
from keras_hypernet.tasks.rotation import RotationTask, angle_labels, evaluation_angles, rotate_images
from keras_hypernet.tasks.rotation_set import RotationSetTask
from keras_hypernet.tasks.synthetic import SyntheticTask

__all__ = [
    "ApproximationTask",
    "ClassificationTask",
    "ColorizationTask",
    "RotationSetTask",
    "RotationTask",
    "SyntheticTask",
    "Task",
    "angle_labels",
    "evaluation_angles",
    "get_task",
    "is_registered",
    "rotate_images",
]

_CLASSES = ApproximationTask, ClassificationTask, ColorizationTask, RotationSetTask, RotationTask, SyntheticTask
TASKS = {task.name: task for task in _CLASSES}


def get_task(name, **arguments):
    """Returns the task that `Task.config` describes.

    Raises:
        ValueError: If the task does not exist, or takes other arguments.

    Example:

    >>> get_task(**RotationTask("digits").config())
    RotationTask(data='digits')
    """
    if name not in TASKS:
        raise ValueError(f"There is no task {name!r}; choose one of {sorted(TASKS)}.")
    try:
        return TASKS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"The task {name!r} does not take these arguments: {error}.") from error


def is_registered(task):
    """Whether `get_task` makes this task from its configuration; a user's own task is not registered.

    Raises:
        ValueError: If `get_task` makes another task of the same name.

    Example:

    >>> is_registered(RotationTask("digits"))
    True
    """
    if task.name not in TASKS:
        return False
    if type(task) is not TASKS[task.name]:
        raise ValueError(
            f"A task of your own needs a name of its own: {task.name!r} is that of {TASKS[task.name].__name__}. "
            f"Received: {task!r}. Set `name` in the body of {type(task).__name__}."
        )
    return True
