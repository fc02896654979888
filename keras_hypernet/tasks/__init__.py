"""Tasks as `tf.data` pipelines: which x, condition and target a model is trained on."""

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
    "rotate_images",
]

TASKS = {
    task.name: task
    for task in (
        ApproximationTask,
        ClassificationTask,
        ColorizationTask,
        RotationSetTask,
        RotationTask,
        SyntheticTask,
    )
}


def get_task(name, **arguments):
    """Returns the task that `Task.config` describes.

    Raises:
        ValueError: If there is no task of this name, or it takes other arguments.

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
