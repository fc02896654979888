"""retrain: the best configuration of a search, trained on the training and the validation split, as a zoo entry."""

import importlib.metadata
import pathlib
import time

from keras_hypernet.common.versions import today, versions
from keras_hypernet.experiments.entries import Blueprint
from keras_hypernet.tasks import is_registered
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe, paper_recipe
from keras_hypernet.tuning.names import depth_experiment, panel, search_name
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.descriptions import describe
from keras_hypernet.zoo.store import save_entry

_SPLITS = ("train", "validation")


def retrain(result, folder=None, name=None, command=None, data_note=None, progress=True):
    """See `SearchResult.retrain`."""
    task, method, recipe, trial = result.task, result.best_method, result.best, result.best_trial
    if not is_registered(task):
        raise ValueError(
            "An entry is for a task of this package, which its card can describe. Received: the task "
            f"{task.name!r}; train your own by `keras_hypernet.fit(..., splits=('train', 'validation'))`."
        )
    if result.config["build"] is not None:
        raise ValueError(
            "An entry is a model of this package, which its card can describe. Received: the models of "
            f"{result.config['build']}; train your own by `keras_hypernet.fit(..., splits=('train', 'validation'))`."
        )
    name = name or f"{search_name(task) or task.name}_{method}_tuned"
    started = time.perf_counter()
    model = build_model(task, method, recipe)
    fit(model, task, recipe, progress=progress, splits=_SPLITS)
    seconds = time.perf_counter() - started
    metrics = {split: evaluate(model, task, split) for split in ("validation", "test")}
    experiment, value = depth_experiment(task), recipe.depth
    if experiment is None:  # of sets; theirs varies the members
        experiment, value = "neural_process", task.members
    blueprint = Blueprint(name, experiment, panel(task), method, value, _changes(recipe, paper_recipe(task)))
    described = describe(blueprint, task, recipe, data_note, None)
    number = sum(task.num_examples(split) for split in _SPLITS)
    described["deviations"] = [
        *(one for one in described["deviations"] if "are the validation split" not in one),
        f"Trained on {number:,} examples, the validation split among them, once the search had chosen by it: the "
        f"validation result under metrics is of examples that it was trained on. The one under seeds is not: it is "
        f"that of the best trial, trained without them{_of_seeds(result)}.",
    ]
    facts = {
        **described,
        "command": command or _call(result.config, task, recipe),
        "seed": recipe.seed,
        "metrics": metrics,
        "seeds": [
            {
                "seed": recipe.seed,
                "learning_rate": recipe.learning_rate,
                "gradient_clipnorm": recipe.gradient_clipnorm,
                "validation": trial[f"validation_{task.metric}"],
                "test": metrics["test"][task.metric],
                "seconds": round(seconds, 1),
                "diverged": None,
            }
        ],
        "selection": _selection(result),
        "versions": {**versions(), "keras-tuner": importlib.metadata.version("keras-tuner")},
        "date": today(),
    }
    return save_entry(model, facts, folder or pathlib.Path(result.directory) / "entry")


def _call(config, task, recipe):
    """The call in Python that makes the search and the entry; what has its default is left out of the recipe."""
    usual = Recipe(width=config["recipe"]["width"])
    changes = {name: value for name, value in config["recipe"].items() if value != getattr(usual, name)}
    arguments = {"method": tuple(config["method"]), "oracle": config["oracle"], "seed": recipe.seed}
    for name, values in config["space"].items():
        arguments[name] = tuple(values.values()) if isinstance(values, dict) else values
    names = ("trials", "factor", "executions_per_trial", "objective")
    arguments = {**arguments, **{name: config[name] for name in names}}
    arguments = _written({name: value for name, value in arguments.items() if value is not None})
    recipe = f"keras_hypernet.Recipe({_written({'width': usual.width, **changes})})"
    return f"keras_hypernet.tuning.search(keras_hypernet.tasks.{task!r}, {arguments}, recipe={recipe}).retrain()"


def _written(values):
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _changes(recipe, paper):
    """What the search and its recipe have made otherwise than the paper's, but for depth and seed."""
    differs = {name: value for name, value in recipe.to_dict().items() if value != getattr(paper, name)}
    return {name: value for name, value in differs.items() if name not in ("depth", "seed")}


def _of_seeds(result):
    executions = result.config["executions_per_trial"]
    return f", the mean of {executions} seeds" if executions > 1 else ""


def _selection(result):
    config = result.config
    statuses = [row["status"] for row in result.trials]
    lost = len(statuses) - statuses.count("finished")
    mean = f"{_of_seeds(result)}," if _of_seeds(result) else ""
    return (
        f"the lowest {config['objective'].replace('_', ' ')}{mean} of {len(statuses)} trials of a {config['oracle']} "
        f"search over {', '.join(result.space)}" + (f", of which {lost} diverged or failed" if lost else "")
    )
