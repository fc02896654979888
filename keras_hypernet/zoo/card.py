"""Card: the facts about a pretrained model, in `card.json` beside its weights."""

import dataclasses
import functools
import json
import os
import pathlib

from keras_hypernet.common.files import write_json
from keras_hypernet.common.parsing import check_schema, parse_json, read_json


class EntryError(ValueError):
    """A zoo entry is missing, incomplete, damaged or different from its card."""


@dataclasses.dataclass(frozen=True)
class Card:
    """The facts about a zoo entry; `card.schema.json` in this folder has the values that each field may hold.

    Attributes:
        name: Name of the entry.
        description: Purpose of the model, in one sentence.
        task: `Task.config` of the task: its `name` and its arguments.
        data: The data set: `name`, `origin`, `license`, a `note` on the copy, and the `test_sha256` of the pixels of
            its test split.
        method: `"hyper"`, `"embed"`, `"process"` for a neural process, `"network"` for a network without a condition,
            `"target"` for the function that such networks approximate, or a method of the task's own.
        architecture: The sizes and activations of each part, for people.
        recipe: The fields of the `Recipe` of the training; empty for a target.
        command: The command that reproduces the entry.
        seed: Seed of the model.
        num_parameters: Number of parameters of each part.
        metrics: For each split, `validation` and `test`: `num_examples`, and `error` and `loss`, or `mse` or another
            metric.
        seeds: For each run: seed, learning rate, clipping, `validation` and `test` (error or mean squared error;
            for an f2, validation is None: the result of f1 selects the seed), training time, and the message if it
            diverged.
        selection: How the entry was chosen among the seeds.
        sha256: Checksum of `model.keras`.
        versions: Versions of the software that trained the model.
        date: Day of the training, YYYY-MM-DD.
        provenance: The choices of the paper's `text`, of its published `code`, and of this project (`ours`).
        deviations: Deviations from the paper.
        limits: Unsuitable uses of the model.
        other_runs: Runs by another recipe, for comparison: their `command`, and `runs` as in `seeds`.
        baseline: Test results (error or mean squared error) of trivial predictors of the task, by name, or None: a
            constant, linear models, a network of x alone. A model that is not better has not learned the task.
    """

    name: str
    description: str
    task: dict
    data: dict
    method: str
    architecture: dict
    recipe: dict
    command: str
    seed: int
    num_parameters: dict
    metrics: dict
    seeds: list
    selection: str
    sha256: str
    versions: dict
    date: str
    provenance: dict
    deviations: list
    limits: list
    other_runs: dict | None = None
    baseline: dict | None = None

    def __post_init__(self):
        try:
            check_schema(dataclasses.asdict(self), _schema())
        except ValueError as error:
            raise EntryError(f"The card of {self.name!r} is not valid {error}") from error

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Card":
        """Reads the card of an entry's folder; EntryError if the card is missing or does not match the schema."""
        path = pathlib.Path(folder) / "card.json"
        try:
            return cls(**parse_json(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise EntryError(f"{folder} is not a zoo entry: it has no card.json{_advice(path.parent)}") from error
        except (ValueError, TypeError) as error:  # TypeError names missing and unknown fields
            raise EntryError(f"{path} is not a card: {error}.") from error

    def write(self, folder: str | os.PathLike[str]) -> None:
        write_json(pathlib.Path(folder) / "card.json", dataclasses.asdict(self))


def _advice(folder):
    """The end of the error message about a folder that is not an entry."""
    if (folder / "entry" / "card.json").is_file():
        return f". Give the folder of the entry: {folder / 'entry'}"
    if (folder / "state.json").is_file():
        return f", but the folder of a training. `keras-hypernet entry {folder}` makes an entry of it."
    return ". Give the folder that `train` calls the entry."


def read_other_runs(directory):
    """Reads the runs of an earlier training, for `Card.other_runs`; ValueError if there are none."""
    path, schema = pathlib.Path(directory) / "runs.json", _schema()
    if not path.is_file():
        raise ValueError(f"There are no runs to compare with in {str(directory)!r}: give the --out of a training.")
    runs = {**schema["properties"]["other_runs"], "type": "object", "$defs": schema["$defs"]}
    return read_json(path, runs, "the runs of a training", "Give the --out of a training.")


@functools.cache
def _schema():
    return json.loads((pathlib.Path(__file__).parent / "card.schema.json").read_text(encoding="utf-8"))
