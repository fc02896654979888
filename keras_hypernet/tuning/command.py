"""The command line that makes a search, or where there is none the call in Python."""

import dataclasses
import shlex

from keras_hypernet.recipe import Recipe, paper_recipe
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.names import get_search_task, search_name
from keras_hypernet.tuning.space import has_embedding

_OPTIONS = {
    "depth": "--depths",
    "width": "--width",
    "initialization": "--initialization",
    "learning_rate": "--learning-rate",
    "embedding_dim": "--embedding-dim",
}


def command_of(config):
    """Returns what makes a search of this configuration, and an entry of its best trial.

    Args:
        config: As in `search.json`.

    Returns:
        A command line; or, if the task or something of the recipe cannot be told to it, the same in Python.
    """
    task, recipe = get_task(**config["task"]), Recipe(**config["recipe"])
    name = search_name(task)
    expected = paper_recipe(task, seed=recipe.seed, epochs=recipe.epochs, gradient_clipnorm=recipe.gradient_clipnorm)
    fixed = _fixed(config, recipe, expected)
    expected = dataclasses.replace(expected, **fixed)
    if name is None or get_search_task(name, recipe.seed) != task or recipe != expected:
        return _in_python(config, task, recipe)
    words = ["keras-hypernet", "tune", name, "--method", ",".join(config["method"]), "--oracle", config["oracle"]]
    for field, option in _OPTIONS.items():
        if config["space"][field] is not None:
            words += [option, written(config["space"][field])]
        elif field in fixed:
            words += [option, str(fixed[field])]
    for option in ("trials", "factor"):
        words += [f"--{option}", str(config[option])] if config[option] is not None else []
    words += ["--epochs", str(recipe.epochs), "--executions-per-trial", str(config["executions_per_trial"])]
    if recipe.gradient_clipnorm is not None:
        words += ["--gradient-clipnorm", str(recipe.gradient_clipnorm)]
    words += ["--seed", str(recipe.seed), "--objective", config["objective"], "--retrain"]
    return shlex.join(words)


def _fixed(config, recipe, expected):
    """What is not searched and not the paper's, and can be told to the command line as a single choice."""
    fields = [field for field in _OPTIONS if field != "depth" and config["space"][field] is None]
    if not any(map(has_embedding, config["method"])):
        fields.remove("embedding_dim")
    values = {field: getattr(recipe, field) for field in fields}
    return {field: value for field, value in values.items() if value not in (None, getattr(expected, field))}


def _in_python(config, task, recipe):
    """The call that makes a search; what has its default is left out of the recipe."""
    usual = Recipe(width=recipe.width)
    changes = {name: value for name, value in recipe.to_dict().items() if value != getattr(usual, name)}
    arguments = {"method": tuple(config["method"]), "oracle": config["oracle"], "seed": recipe.seed}
    for name, values in config["space"].items():
        if values is not None:
            arguments[name] = tuple(values.values()) if isinstance(values, dict) else values
    for name in ("trials", "factor"):
        if config[name] is not None:
            arguments[name] = config[name]
    arguments |= {name: config[name] for name in ("executions_per_trial", "objective")}
    recipe = f"keras_hypernet.Recipe({_arguments({'width': recipe.width, **changes})})"
    arguments = f"keras_hypernet.tasks.{task!r}, {_arguments(arguments)}, recipe={recipe}"
    return f"keras_hypernet.tuning.search({arguments}).retrain()"


def _arguments(values):
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


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
