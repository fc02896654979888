"""The experiments of the paper, one module each; `runner.run` runs any of them."""

import importlib

from keras_hypernet.common.suggestions import suggestion

NAMES = (
    "synthetic_depth",
    "synthetic_embedding_dim",
    "synthetic_sensitivity",
    "synthetic_baseline",
    "assumption_1",
    "rotation_depth",
    "rotation_embedding_dim",
    "colorization_depth",
    "colorization_embedding_dim",
    "colorization_sensitivity",
    "learning_rate",
    "assumption_2",
    "initialization",
    "neural_process",
)


def get_experiment(name):
    """Returns the `Experiment` of this name.

    Raises:
        ValueError: If there is none; the closest names are offered.

    Example:

    >>> get_experiment("rotation_depth").figure
    'Fig. 3'
    """
    found = find_experiment(name)
    if found is None:
        raise ValueError(f"There is no experiment {name!r}; {suggestion(name, NAMES)}")
    return found


def find_experiment(name):
    """Returns the `Experiment` of this name; None if this package has none, as for one of a user's own."""
    return importlib.import_module(f"keras_hypernet.experiments.{name}").EXPERIMENT if name in NAMES else None
