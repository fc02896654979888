"""The registered tasks, and their names."""

import re
from typing import Any

from keras_hypernet.tasks.base import Task

# Registered classes, by the names of their tasks.
TASKS: dict[str, type[Task]] = {}


def register(task_class: Any) -> Any:
    """Class decorator of a subclass of `Task`: makes its `name` known, so that `get_task` finds it.

    Raises TypeError if the class is not a subclass of `Task`, and ValueError unless the name consists of lower-case
    words and is new.

    >>> @register
    ... class Later(keras_hypernet.RotationTask):
    ...     name = "rotation_later"
    >>> keras_hypernet.tasks.get_task("rotation_later", data="digits")
    Later(data='digits')
    """
    if not (isinstance(task_class, type) and issubclass(task_class, Task)):
        raise TypeError(f"`register` decorates a subclass of keras_hypernet.Task. Received: {task_class!r}")
    check_name(getattr(task_class, "name", None), task_class)
    TASKS[task_class.name] = task_class
    return task_class


def check_name(name: Any, task_class: Any) -> None:
    """Raises ValueError if a task cannot have this name, or if the name is that of another class."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
        raise ValueError(
            f"The name of a task must be lower-case words such as 'my_task'. Received for {_path(task_class)}: {name!r}"
        )
    if _path(TASKS.get(name, task_class)) != _path(task_class):  # a class that is defined again has the same path
        raise ValueError(
            f"Your own task needs a new name: {name!r} is the name of {_path(TASKS[name])}. Received: "
            f"{_path(task_class)}. Give it another `name`."
        )


def _path(task_class):
    return f"{task_class.__module__}.{task_class.__qualname__}"
