"""SearchResult: the trials of a search as a table, the best of them, and the model that is made of it."""

import csv
import dataclasses
import pathlib

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import replacing
from keras_hypernet.tasks import TASKS, Task, get_task
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.journal import read_events
from keras_hypernet.tuning.metrics import COLUMNS, metrics_of
from keras_hypernet.tuning.trial import searched


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What came of a search.

    Attributes:
        config: Its configuration, as in `search.json`.
        directory: Its folder, a path.
        trials: A dict for each trial that has ended, in the order of their numbers: `trial`, its number; `status`,
            `"finished"`, `"diverged"` or `"failed"`; `method`, `depth` and what else was searched; `total_epochs`, the
            epochs after which it was measured; `epochs`, `steps` and `seconds`, what it took, all seeds together; what
            was measured, None if it is not finite; `worker`, which process ran it; and a `message` if it has no result.
        task: The `Task` of the search.
    """

    config: dict
    directory: pathlib.Path
    trials: list
    task: Task

    @classmethod
    def read(cls, directory, task=None):
        """Reads the result of a search from its folder, as far as it has come.

        Args:
            directory: The folder.
            task: The task of the search, which only one of your own needs.

        Raises:
            ValueError: If the folder holds no search, a file of it is damaged, or the search is for another task.
        """
        directory = pathlib.Path(directory)
        config = SearchDirectory(directory).config()
        if config is None:
            raise ValueError(f"{directory} is not the folder of a search: it has no search.json.")
        task = _task_of(config, task, directory)
        rows = [event["row"] for event in read_events(SearchDirectory(directory).journal) if "row" in event]
        return cls(config, directory, sorted(rows, key=lambda row: row["trial"]), task)

    @property
    def space(self):
        """Names of what was searched."""
        return searched(self.config)

    @property
    def hyperparameters(self):
        """Names of what was searched, and of what else a user's own function asked for, but for the method."""
        metrics = metrics_of(self.task)
        names = dict.fromkeys([*self.space, *(name for row in self.trials for name in row)])
        return [name for name in names if name not in (*COLUMNS, *metrics)]

    @property
    def objective(self):
        """Name of what was minimized."""
        return self.config["objective"]

    @property
    def best_trial(self):
        """The finished trial with the lowest objective; of equal ones the first.

        Raises:
            ValueError: If none is finished.
        """
        finished = [row for row in self.trials if row["status"] == "finished"]
        if not finished:
            messages = [row["message"] for row in self.trials if row["message"]]
            raise ValueError(
                f"None of {len(self.trials)} trials is finished, so there is no best one. The first says: "
                f"{messages[0] if messages else 'nothing'}"
            )
        return min(finished, key=lambda row: row[self.objective])

    @property
    def best_method(self):
        """Method of the best trial; `"own"` for a user's own models."""
        return self.best_trial["method"]

    @property
    def best(self):
        """The best configuration as a `Recipe`, with the first of the seeds."""
        row = self.best_trial
        changes = {name: row[name] for name in self.space if name != "method" and row[name] is not None}
        recipe = Recipe(**self.config["recipe"])
        return dataclasses.replace(recipe, **changes, epochs=row["total_epochs"])

    def to_csv(self, path):
        """Writes the table of all trials, in one step, and returns the path."""
        names = dict.fromkeys(name for row in self.trials for name in row)
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(names))
            writer.writeheader()
            writer.writerows(self.trials)
        return pathlib.Path(path)

    def to_pandas(self):
        """Returns the table of all trials as a `pandas.DataFrame`.

        Raises:
            ImportError: If pandas is not installed.
        """
        with needs_extra("A table needs", "tuning"):
            import pandas
        return pandas.DataFrame(self.trials)

    def retrain(self, folder=None, name=None, command=None, data_note=None, progress=True):
        """Trains the best configuration on the training and the validation split, and makes a zoo entry of it.

        Args:
            folder: Folder of the entry; by default `entry` in that of the search. One that stands there is replaced.
            name: Name of the entry; by default that of task and method, and `tuned`.
            command: The command that makes it, for the card; by default the calls in Python.
            data_note: What the card is to say of the copy of the data set, if that is not the usual one.
            progress: Whether to show a progress bar on standard error.

        Returns:
            The `Card` of the entry, which `keras_hypernet.load(folder)` opens.

        Raises:
            ValueError: If no trial is finished, or the task or the models are your own, which no card can describe.
            TrainingDivergedError: If this training diverges.
        """
        from keras_hypernet.tuning.retrain import retrain

        return retrain(self, folder, name, command, data_note, progress)


def _task_of(config, task, directory):
    """The task of a search, which is given if it is a user's own."""
    if task is None:
        if config["task"]["name"] not in TASKS:
            raise ValueError(
                f"The search in {directory} is for a task of your own, {config['task']['name']!r}: give that task too, "
                "`SearchResult.read(directory, task)`."
            )
        return get_task(**config["task"])
    if task.config() != config["task"]:
        raise ValueError(f"The search in {directory} is for the task {config['task']}. Received: {task.config()}")
    return task
