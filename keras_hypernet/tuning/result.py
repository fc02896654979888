"""SearchResult: the trials of a search as a table, the best trial, and a zoo entry of its configuration."""

import dataclasses
import os
import pathlib
from typing import Any

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import write_table
from keras_hypernet.tasks import Task, get_task
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.journal import read_events
from keras_hypernet.tuning.names import COLUMNS, metrics_of
from keras_hypernet.tuning.retrain import retrain
from keras_hypernet.tuning.space import searched


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
        folder = SearchDirectory(directory)
        config = folder.config()
        if config is None:
            raise ValueError(f"{directory} is not the folder of a search: it has no search.json.")
        if task is not None and task.config() != config["task"]:
            raise ValueError(f"The search in {directory} is for the task {config['task']}. Received: {task.config()}")
        rows = [event["row"] for event in read_events(folder.journal) if "row" in event]
        rows.sort(key=lambda row: row["trial"])
        return cls(config, folder.path, rows, task or get_task(**config["task"]))

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

    retrain = retrain
