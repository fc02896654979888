"""The experiments of the paper, a module for each subject; `runner.run` runs any of them.

    keras-hypernet experiment rotation_depth --workers 2 --resume

The function `setup` of an experiment says what it shows, what the paper says, and how long it takes.
"""

import importlib

from keras_hypernet.common.suggestions import suggestion

_MODULES = {
    "synthetic": ("synthetic_depth", "synthetic_embedding_dim", "synthetic_sensitivity", "synthetic_baseline"),
    "assumptions": ("assumption_1", "assumption_2"),
    "rotation": ("rotation_depth", "rotation_embedding_dim", "learning_rate", "initialization", "neural_process"),
    "colorization": ("colorization_depth", "colorization_embedding_dim", "colorization_sensitivity"),
}
NAMES = tuple(name for names in _MODULES.values() for name in names)


def get_experiment(name):
    """Returns the `Experiment` of this name.

    Raises:
        ValueError: If there is none; the message offers the closest names.

    Example:

    >>> get_experiment("rotation_depth").figure
    'Fig. 3'
    """
    experiment = find_experiment(name)
    if experiment is None:
        raise ValueError(f"There is no experiment {name!r}; {suggestion(name, NAMES)}")
    return experiment


def find_experiment(name):
    """Returns the `Experiment` of this name; None if this package has none, as for a user's own experiment."""
    for module, names in _MODULES.items():
        if name in names:
            experiments = importlib.import_module(f"keras_hypernet.experiments.{module}").EXPERIMENTS
            return next(experiment for experiment in experiments if experiment.name == name)
    return None
