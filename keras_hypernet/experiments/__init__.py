"""The experiments, one module for each subject; `runner.run` runs any of them.

    keras-hypernet experiment rotation_depth --workers 2 --resume

The docstring of an experiment's `setup` says what the experiment shows, what the paper states, and how long it takes.
"""

import sys

from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.experiments import (
    assumptions,
    baseline,
    colorization,
    continual,
    gaussian_process,
    hypernetworks_static,
    hyperparameter_response,
    modularity,
    pareto,
    rotation,
    synthetic,
)
from keras_hypernet.experiments.experiment import Drawing, Experiment, Measurement
from keras_hypernet.runs.sources import load_source, loaded_modules, source_of

__all__ = ["NAMES", "Drawing", "Experiment", "Measurement", "find_experiment", "find_source", "get_experiment"]

# In the order of results/README.md.
MODULES = (
    *(synthetic, modularity, assumptions, rotation, colorization, baseline, pareto, gaussian_process),
    *(hypernetworks_static, hyperparameter_response, continual),
)
_EXPERIMENTS = [each for module in MODULES for each in vars(module).values() if isinstance(each, Experiment)]
NAMES = tuple(experiment.name for experiment in _EXPERIMENTS)


def get_experiment(name: str) -> Experiment:
    """Returns the `Experiment` with this name, or the `EXPERIMENT` of a Python file, such as `./mine.py`.

    Raises ValueError, with the closest names, if there is none; or if the file cannot be imported, has no `EXPERIMENT`,
    or its experiment has the name of an experiment of this package.

    >>> get_experiment("rotation_depth").figure
    'Fig. 3'
    """
    if not name.endswith(".py"):
        if experiment := find_experiment(name):
            return experiment
        raise ValueError(f"There is no experiment {name!r}; {suggestion(name, NAMES)}")
    experiment = getattr(load_source(name), "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        expected = "EXPERIMENT = keras_hypernet.experiments.Experiment(...)"
        raise ValueError(f"{name} must hold an experiment: {expected}. Received: {experiment!r}")
    if experiment.name in NAMES:
        reason = f"{experiment.name!r} is an experiment of this package"
        raise ValueError(f"The experiment of {name} needs a new name: {reason}.")
    return experiment


def find_experiment(name: str) -> Experiment | None:
    """Returns the `Experiment` of this name, of this package or of a file that this process has loaded, or None."""
    experiments = [*_EXPERIMENTS, *(getattr(module, "EXPERIMENT", None) for module in loaded_modules())]
    return next((each for each in experiments if isinstance(each, Experiment) and each.name == name), None)


def find_source(experiment: Experiment) -> str | None:
    """Returns the source from which another process loads a user's experiment; None if it is in no file."""
    for module in (*loaded_modules(), sys.modules.get(getattr(experiment.setup, "__module__", None))):
        if getattr(module, "EXPERIMENT", None) is experiment and module.__name__ != "__main__":
            return source_of(module)
    return None
