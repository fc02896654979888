"""The experiments of the paper, one module each; `runner.run` runs any of them."""

import difflib
import importlib

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
    if name not in NAMES:
        closest = difflib.get_close_matches(name, NAMES, cutoff=0.5)
        advice = f"did you mean {' or '.join(closest)}?" if closest else f"there are {', '.join(NAMES)}."
        raise ValueError(f"There is no experiment {name!r}; {advice}")
    return importlib.import_module(f"keras_hypernet.experiments.{name}").EXPERIMENT
