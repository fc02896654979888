"""Tasks: x, condition and target of a training, as `tf.data` pipelines."""

from typing import Any

from keras_hypernet.tasks.approximation import ApproximationTask
from keras_hypernet.tasks.arrays import ArrayTask
from keras_hypernet.tasks.base import Task, is_of_package
from keras_hypernet.tasks.classification import ClassificationTask
from keras_hypernet.tasks.colorization import ColorizationTask
from keras_hypernet.tasks.decay_response import DecayResponseTask
from keras_hypernet.tasks.gaussian_process import GaussianProcessTask
from keras_hypernet.tasks.noisy_views import NoisyViewsTask
from keras_hypernet.tasks.overlaid_digits import OverlaidDigitsTask
from keras_hypernet.tasks.pareto import ParetoTask
from keras_hypernet.tasks.registry import TASKS, check_name, register
from keras_hypernet.tasks.rotation import RotationTask, angle_labels, evaluation_angles, rotate_images
from keras_hypernet.tasks.rotation_set import RotationSetTask
from keras_hypernet.tasks.static_kernel import StaticKernelTask
from keras_hypernet.tasks.synthetic import SyntheticTask

__all__ = [
    "ApproximationTask",
    "ArrayTask",
    "ClassificationTask",
    "ColorizationTask",
    "DecayResponseTask",
    "GaussianProcessTask",
    "NoisyViewsTask",
    "OverlaidDigitsTask",
    "ParetoTask",
    "RotationSetTask",
    "RotationTask",
    "StaticKernelTask",
    "SyntheticTask",
    "Task",
    "angle_labels",
    "evaluation_angles",
    "get_task",
    "is_of_package",
    "is_registered",
    "register",
    "rotate_images",
]

for _task_class in (
    *(ApproximationTask, ClassificationTask, ColorizationTask),
    *(GaussianProcessTask, NoisyViewsTask, OverlaidDigitsTask, ParetoTask),
    *(RotationSetTask, RotationTask, SyntheticTask),
    *(DecayResponseTask, StaticKernelTask),
):
    register(_task_class)


def get_task(name: str, **arguments: Any) -> Task:
    """Returns the task that `Task.config` describes.

    Raises ValueError if the task does not exist, or takes other arguments; or if this process lacks the arrays of an
    `ArrayTask`.

    >>> get_task(**RotationTask("digits").config())
    RotationTask(data='digits')
    """
    if name not in TASKS and set(arguments) == {"sha256"}:
        return ArrayTask.find(name, **arguments)
    if name not in TASKS:
        raise ValueError(
            f"There is no task {name!r}; choose one of {sorted(TASKS)}. Or import the module of your own task, whose "
            "class needs the decorator keras_hypernet.tasks.register."
        )
    try:
        return TASKS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"The task {name!r} does not take these arguments: {error}.") from error


def is_registered(task: Task) -> bool:
    """Whether `get_task` recreates this task from its configuration; ValueError if another task has the same name.

    >>> is_registered(RotationTask("digits"))
    True
    """
    if not isinstance(task, ArrayTask):
        check_name(task.name, type(task))
    return isinstance(task, ArrayTask) or task.name in TASKS
