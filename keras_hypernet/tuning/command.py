"""The command line that makes a search."""

import shlex

from keras_hypernet.recipe import Recipe, paper_recipe
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.names import get_search_task, search_name

_OPTIONS = {
    "depth": "--depths",
    "width": "--width",
    "initialization": "--initialization",
    "learning_rate": "--learning-rate",
    "embedding_dim": "--embedding-dim",
}


def command_of(config):
    """Returns the command line that makes a search of this configuration, and an entry of its best trial.

    Args:
        config: As in `search.json`.

    Raises:
        ValueError: If there is none: the task, or something of the recipe, cannot be told to the command line.
    """
    task, recipe = get_task(**config["task"]), Recipe(**config["recipe"])
    name = search_name(task)
    expected = paper_recipe(task, seed=recipe.seed, epochs=recipe.epochs, gradient_clipnorm=recipe.gradient_clipnorm)
    if name is None or get_search_task(name, recipe.seed) != task or recipe != expected or config["build"]:
        raise ValueError(
            f"No command line makes this search, of the task {task} by {recipe}: say how it was made (`command`), "
            "beginning with 'keras-hypernet tune'."
        )
    words = ["keras-hypernet", "tune", name, "--method", ",".join(config["method"]), "--oracle", config["oracle"]]
    for field, option in _OPTIONS.items():
        if config["space"][field] is not None:
            words += [option, written(config["space"][field])]
    for option in ("trials", "factor"):
        words += [f"--{option}", str(config[option])] if config[option] is not None else []
    words += ["--epochs", str(recipe.epochs), "--executions-per-trial", str(config["executions_per_trial"])]
    if recipe.gradient_clipnorm is not None:
        words += ["--gradient-clipnorm", str(recipe.gradient_clipnorm)]
    words += ["--seed", str(recipe.seed), "--objective", config["objective"], "--retrain"]
    return shlex.join(words)


def written(values):
    """A range or choices as the command line takes them.

    Example:

    >>> written({"low": 2, "high": 9}), written([0.01, 0.1])
    ('2:9', '0.01,0.1')
    """
    if isinstance(values, dict):
        return f"{values['low']}:{values['high']}"
    return ",".join(map(str, values))


def parse_range(name, text, kind=int):
    """The range or the choices that `2:9` (both ends) or `2,4,8` stand for; None for None.

    Raises:
        ValueError: If it is neither.

    Example:

    >>> parse_range("depth", "2:9"), parse_range("learning_rate", "0.001:0.1", float), parse_range("depth", "2,4")
    ((2, 9), (0.001, 0.1), [2, 4])
    """
    if text is None:
        return None
    if text == "search":
        return True
    try:
        if ":" in text:
            low, high = text.split(":")
            return kind(low), kind(high)
        return [kind(one.strip()) for one in text.split(",")]
    except ValueError as error:
        raise ValueError(
            f"`{name}` is given as a range, 2:9 (both ends), as choices, 2,4,8, or as search, for the usual ones. "
            f"Received: {text!r}"
        ) from error
