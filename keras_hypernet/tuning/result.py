"""SearchResult: the trials of a search as a table, the best trial, and a zoo entry of its configuration."""

import dataclasses
import importlib.metadata
import os
import pathlib
import time
from typing import Any

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import write_table
from keras_hypernet.tasks import TASKS, Task, get_task, is_of_package
from keras_hypernet.training.loop import fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.tuning.journal import JOURNAL, read_config, read_events
from keras_hypernet.tuning.names import COLUMNS, metrics_of, search_name, searched
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.card import Card
from keras_hypernet.zoo.descriptions import describe_model
from keras_hypernet.zoo.store import save_entry

_SPLITS = ("train", "validation")  # of the training of an entry


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        config: Its configuration, as in `search.json`.
        directory: Path of its folder.
        trials: A dict for each trial that has ended, by number: `trial`, the number; `status`, `"finished"`,
            `"diverged"` or `"failed"`; `method`, `depth` and other hyperparameters; `total_epochs` of its trainings;
            `epochs`, `steps` and `seconds` of this trial, summed over its seeds; the metrics, None without a result;
            `worker`, the process; and `message`, the reason of a missing result.
        task: Its `Task`.
    """

    config: dict
    directory: pathlib.Path
    trials: list
    task: Task

    @classmethod
    def read(cls, directory: str | os.PathLike[str], task: Task | None = None) -> "SearchResult":
        """Reads the result of a search, also of an unfinished search, from its folder.

        A search for a task that is not registered needs that task. Raises ValueError if the folder holds no search or a
        damaged file, or if the search is for another task.
        """
        directory = pathlib.Path(directory)
        config = read_config(directory)
        if config is None:
            raise ValueError(f"{directory} is not the folder of a search: it has no search.json.")
        if task is not None and task.config() != config["task"]:
            raise ValueError(f"The search in {directory} is for the task {config['task']}. Received: {task.config()}")
        rows = [event["row"] for event in read_events(directory / JOURNAL) if "row" in event]
        rows.sort(key=lambda row: row["trial"])
        return cls(config, directory, rows, task or get_task(**config["task"]))

    @property
    def space(self) -> list[str]:
        """Names of the searched hyperparameters."""
        return searched(self.config["method"], self.config["space"])

    @property
    def hyperparameters(self) -> list[str]:
        """Names of all hyperparameters except the method, including those of a user's own function."""
        names = dict.fromkeys([*self.space, *(name for row in self.trials for name in row)])
        return [name for name in names if name not in (*COLUMNS, *metrics_of(self.task))]

    @property
    def objective(self) -> str:
        """Name of the minimized metric."""
        return self.config["objective"]

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The trials with a result."""
        return [row for row in self.trials if row["status"] == "finished"]

    @property
    def best_trial(self) -> dict[str, Any]:
        """The first finished trial with the lowest objective; ValueError if no trial is finished."""
        if not self.finished:
            first = next((row["message"] for row in self.trials if row["message"]), "nothing")
            raise ValueError(
                f"None of {len(self.trials)} trials is finished, so there is no best one. The first says: {first}"
            )
        return min(self.finished, key=lambda row: row[self.objective])

    @property
    def best_method(self) -> str:
        """Method of the best trial; `"own"` for a user's own models."""
        return self.best_trial["method"]

    @property
    def best(self) -> Recipe:
        """The best configuration as a `Recipe`, with the first seed."""
        row = self.best_trial
        changes = {name: row[name] for name in self.space if name != "method" and row[name] is not None}
        return Recipe(**{**self.config["recipe"], **changes, "epochs": row["total_epochs"]})

    def to_csv(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the table of all trials, in one step, and returns the path."""
        write_table(path, self.trials)
        return pathlib.Path(path)

    def to_pandas(self) -> Any:
        """Returns the table of all trials as a `pandas.DataFrame`; ImportError if pandas is not installed."""
        with needs_extra("A table needs", "tuning"):
            import pandas
        return pandas.DataFrame(self.trials)

    def retrain(
        self,
        folder: str | os.PathLike[str] | None = None,
        name: str | None = None,
        command: str | None = None,
        data_note: str | None = None,
        progress: bool = True,
    ) -> Card:
        """Trains the best configuration on the training and the validation split; writes an entry, returns its `Card`.

        `keras_hypernet.load(folder)` opens the entry.

        Args:
            folder: Folder of the entry, which replaces an entry there; by default `entry` in the folder of the search.
            name: Name of the entry; by default `<task>_<method>_tuned`.
            command: The command in the card; by default the calls in Python.
            data_note: A note in the card about an unusual copy of the data set.
            progress: Whether to show a progress bar on standard error.

        Raises ValueError if no trial is finished, or the models are your own, which no card can describe, and
        TrainingDivergedError if this training diverges.
        """
        task, method, recipe, trial = self.task, self.best_method, self.best, self.best_trial
        if self.config["build"] is not None:
            raise ValueError(
                "An entry is a model of this package that a card can describe. Received: the models of "
                f"{self.config['build']}. Train with `keras_hypernet.fit(..., splits=('train', 'validation'))` instead."
            )
        started = time.perf_counter()
        model = build_model(task, method, recipe)
        fit(model, task, recipe, progress=progress, splits=_SPLITS)
        seconds = time.perf_counter() - started
        name = name or f"{search_name(task)}_{method}_tuned"
        facts = describe_model(model, name, task, recipe, recipe.seed, architecture=None, data_note=data_note)
        facts["seeds"][0] |= {"validation": trial[f"validation_{task.metric}"], "seconds": round(seconds, 1)}
        number = sum(task.num_examples(split) for split in _SPLITS)
        executions, lost = self.config["executions_per_trial"], len(self.trials) - len(self.finished)
        mean = f", the mean of {executions} seeds" if executions > 1 else ""
        facts["deviations"] = [
            *(sentence for sentence in facts["deviations"] if "are the validation split" not in sentence),
            f"Trained on {number:,} examples, including the validation split, after the search. The validation result "
            f"under metrics is therefore on training examples. The validation result under seeds is that of the best "
            f"trial, trained without the validation split{mean}.",
        ]
        facts["versions"]["keras-tuner"] = importlib.metadata.version("keras-tuner")
        facts["command"] = command or _call(self.config, task, recipe)
        facts["selection"] = (
            f"the lowest {self.objective.replace('_', ' ')}{mean}{',' if mean else ''} of {len(self.trials)} trials of "
            f"a {self.config['oracle']} search over {', '.join(self.space)}"
            + (f", of which {lost} diverged or failed" if lost else "")
        )
        return save_entry(model, folder or pathlib.Path(self.directory) / "entry", **facts)


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
