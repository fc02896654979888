"""retrain: trains the best configuration of a search on the training and the validation split, as a zoo entry."""

import importlib.metadata
import pathlib
import time

from keras_hypernet.tasks import TASKS, is_of_package
from keras_hypernet.training.loop import fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.tuning.names import search_name
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.descriptions import describe_model
from keras_hypernet.zoo.store import save_entry

_SPLITS = ("train", "validation")


def retrain(result, folder=None, name=None, command=None, data_note=None, progress=True):
    """Trains the best configuration on the training and the validation split; writes an entry and returns its `Card`.

    `keras_hypernet.load(folder)` opens the entry.

    Args:
        result: The `SearchResult`.
        folder: Folder of the entry, which replaces an entry there; by default `entry` in the folder of the search.
        name: Name of the entry; by default `<task>_<method>_tuned`.
        command: The command in the card; by default the calls in Python.
        data_note: A note in the card about an unusual copy of the data set.
        progress: Whether to show a progress bar on standard error.

    Raises ValueError if no trial is finished, or the models are your own, which no card can describe, and
    TrainingDivergedError if this training diverges.
    """
    task, method, recipe, trial = result.task, result.best_method, result.best, result.best_trial
    if result.config["build"] is not None:
        raise ValueError(
            "An entry is a model of this package that a card can describe. Received: the models of "
            f"{result.config['build']}. Train with `keras_hypernet.fit(..., splits=('train', 'validation'))` instead."
        )
    started = time.perf_counter()
    model = build_model(task, method, recipe)
    fit(model, task, recipe, progress=progress, splits=_SPLITS)
    seconds = time.perf_counter() - started
    name = name or f"{search_name(task) or task.name}_{method}_tuned"
    facts = describe_model(model, name, task, recipe, recipe.seed, architecture=None, data_note=data_note)
    facts["seeds"][0] |= {"validation": trial[f"validation_{task.metric}"], "seconds": round(seconds, 1)}
    number = sum(task.num_examples(split) for split in _SPLITS)
    facts["deviations"] = [
        *(sentence for sentence in facts["deviations"] if "are the validation split" not in sentence),
        f"Trained on {number:,} examples, including the validation split, after the search. The validation result "
        f"under metrics is therefore on training examples. The validation result under seeds is that of the best "
        f"trial, trained without the validation split{_mean(result)}.",
    ]
    facts["versions"]["keras-tuner"] = importlib.metadata.version("keras-tuner")
    facts |= {"command": command or _call(result.config, task, recipe), "selection": _selection(result)}
    return save_entry(model, folder or pathlib.Path(result.directory) / "entry", **facts)


def _call(config, task, recipe):
    """Returns the call in Python that repeats the search and writes the entry."""
    arguments = {"method": tuple(config["method"]), "oracle": config["oracle"], "seed": recipe.seed}
    for name, field in config["space"].items():
        arguments[name] = tuple(field.values()) if isinstance(field, dict) else field
    arguments |= {name: config[name] for name in ("trials", "factor", "executions_per_trial", "objective")}
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)
    recipe = f"keras_hypernet.{Recipe(**config['recipe'])!r}"
    task = f"{task!r}" if is_of_package(task) and task.name in TASKS else f"get_task(**{task.config()!r})"
    return f"keras_hypernet.tuning.search(keras_hypernet.tasks.{task}, {written}, recipe={recipe}).retrain()"


def _mean(result):
    executions = result.config["executions_per_trial"]
    return f", the mean of {executions} seeds" if executions > 1 else ""


def _selection(result):
    config, number = result.config, len(result.trials)
    lost = sum(row["status"] != "finished" for row in result.trials)
    mean = f"{_mean(result)}," if _mean(result) else ""
    return (
        f"the lowest {config['objective'].replace('_', ' ')}{mean} of {number} trials of a {config['oracle']} search "
        f"over {', '.join(result.space)}" + (f", of which {lost} diverged or failed" if lost else "")
    )
