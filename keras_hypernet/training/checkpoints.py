"""Training: the files of a training, which stay valid after a kill at any time; and divergence."""

import contextlib
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_hypernet.common.files import check_writable, locked_folder, replacing, sha256, write_json, write_table
from keras_hypernet.common.parsing import parse_json, read_json
from keras_hypernet.common.versions import today, versions

_MODEL = "model.json"
# The fields that `Training` and `save_training` read.
_EPOCH = {"type": "object", "required": ["epoch", "loss", "seconds"], "additionalProperties": {"type": "number"}}
_STATE = {
    "type": "object",
    "required": ["recipe", "history", "versions", "date"],
    "properties": {
        "recipe": {"type": "object", "required": ["epochs"], "properties": {"epochs": {"type": "integer"}}},
        "history": {"type": "array", "items": _EPOCH},
        "versions": {"type": "object"},
        "date": {"type": "string"},
        "diverged": {"type": "string"},
    },
}


class TrainingDivergedError(RuntimeError):
    """The loss became NaN or infinite. `history` holds the epochs before, as `fit` returns them."""

    def __init__(self, message: str, history: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.history = tuple(history)


class Training:
    """A training's history, and its files: `state.json`, `model.json`, the last checkpoint, `history.csv`."""

    def __init__(self, directory, identity, csv_log):
        self.directory = None if directory is None else pathlib.Path(directory)
        self._advice = f"Restore the file from a copy, or delete the folder {directory} to train from the beginning."
        self.identity, self.csv_log = identity, csv_log
        self.history, self._checksum = [], None

    def locked(self):
        """Creates the folder if needed, and locks it against trainings in other processes; see `locked_folder`."""
        if self.directory is None:
            return contextlib.nullcontext()
        return locked_folder(self.directory, "training in", "another directory (--out)")

    def restore(self, model, resume):
        """Loads the history and the weights of the last checkpoint, if a checkpoint exists."""
        if self.directory is None or not self._state_file.exists():
            return
        if not resume:
            raise ValueError(
                f"{self.directory} already holds a training: resume it (--resume), or choose another directory (--out)."
            )
        state = self._read_state()
        self._check_identity(state)
        if "diverged" in state:
            raise TrainingDivergedError(state["diverged"], state["history"])
        self.history = state["history"]
        path, checksum = self._last_checkpoint, state.get("sha256")  # an earlier release wrote no checksum
        if not path.is_file():
            raise ValueError(f"{path} is missing. {self._advice}")
        if checksum not in (None, sha256(path)):
            raise ValueError(f"{path} is damaged: its sha256 is not that in {self._state_file.name}. {self._advice}")
        self._checksum = checksum
        self._write_csv()
        self._remove_other_checkpoints()
        build_optimizer(model)
        model.load_weights(path)

    def begin(self, model):
        """Writes the configuration of the model for `read_training`; nothing if the model has none.

        Raises NotWritableError unless there is space for two checkpoints, because the new one replaces the old.
        """
        if self.directory is not None:
            build_optimizer(model)
            check_writable(self.directory, 2 * _size(model))
            with contextlib.suppress(NotImplementedError, TypeError, ValueError):
                write_json(self.directory / _MODEL, keras.saving.serialize_keras_object(model))

    def _read_state(self):
        return read_json(self._state_file, _STATE, "the state of a training, as `fit` writes it", self._advice)

    def _check_identity(self, state):
        """Raises ValueError if the state belongs to another training. The same training may get more epochs."""
        held, asked = (
            {"splits": ["train"], "primary_units": 10, **of, **of["recipe"], "recipe": None}
            for of in (state, self.identity)
        )
        differences = [name for name in asked if held.get(name) != asked[name]]
        if held["epochs"] < asked["epochs"]:
            differences.remove("epochs")
        if differences:
            raise ValueError(
                f"{self.directory} holds another training: { ({name: held.get(name) for name in differences}) }. "
                f"Asked for: { ({name: asked[name] for name in differences}) }"
            )

    def save(self, model):
        """Saves weights, optimizer and history; a kill at any point leaves the old or the new state."""
        if self.directory is None:
            return
        # On a full disk, HDF5 cannot close its file and ends the process with a segmentation fault.
        check_writable(self.directory, _size(model))
        with replacing(self._last_checkpoint) as temporary:
            model.save_weights(temporary)  # includes the optimizer's state
            self._checksum = sha256(temporary)
        # The order: the complete checkpoint, the state that names it, the removal of the old checkpoint.
        self._write_state()
        self._remove_other_checkpoints()
        self._write_csv()

    def diverge(self, model, loss):
        """Records that the loss is not finite, and raises TrainingDivergedError."""
        message = (
            f"The loss became {loss} in epoch {len(self.history) + 1} at the learning rate "
            f"{float(model.optimizer.learning_rate):g}. Lower the learning rate, clip the gradients, or change the "
            "initialization."
        )
        if self.directory is not None:
            self._write_state(diverged=message)
        raise TrainingDivergedError(message, self.history)

    def _remove_other_checkpoints(self):
        for path in self.directory.iterdir():
            if re.fullmatch(r"epoch-\d+\.weights\.h5", path.name) and path != self._last_checkpoint:
                path.unlink()

    def _write_csv(self):
        if self.csv_log:
            write_table(self.directory / "history.csv", self.history)

    def _write_state(self, **more):
        state = {**self.identity, "versions": versions(), "date": today(), "history": self.history}
        write_json(self._state_file, {**state, "sha256": self._checksum, **more})

    @property
    def _state_file(self):
        return self.directory / "state.json"

    @property
    def _last_checkpoint(self):
        return self.directory / f"epoch-{len(self.history)}.weights.h5"


def read_training(directory):
    """Returns the state of the training in a folder, a dict, and the compiled model with the weights of the last epoch.

    Raises ValueError if the folder holds no training, or if files of the training are missing, damaged or unsafe; and
    TrainingDivergedError if the training diverged.
    """
    training = Training(directory, {}, False)
    if not training._state_file.is_file():
        raise ValueError(f"{directory} holds no training: give the `directory` of `keras_hypernet.fit`.")
    state = training._read_state()
    if "task" not in state or not state["history"]:
        raise ValueError(f"{training._state_file} names no task, or no epoch has ended. {training._advice}")
    path = training.directory / _MODEL
    if not path.is_file():
        raise ValueError(
            f"{directory} has no {_MODEL}, because Keras cannot write the configuration of the model, or because an "
            "earlier release trained it. Load the weights into the model, and call `keras_hypernet.save_entry`."
        )
    try:
        model = keras.saving.deserialize_keras_object(parse_json(path.read_text(encoding="utf-8")), safe_mode=True)
    except Exception as error:  # any failure of a damaged file
        raise ValueError(f"{path} cannot be loaded: {error or type(error).__name__}") from error
    training.identity = {name: state[name] for name in ("recipe", "splits") if name in state}
    with training.locked():  # `restore` removes checkpoints that a killed process left
        training.restore(model, resume=True)
    return state, model


def build_optimizer(model):
    """Creates the variables of a compiled model's optimizer, unless they exist."""
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)


def _size(model):
    return num_bytes([*model.weights, *model.optimizer.variables])


def num_bytes(variables):
    """Returns the number of bytes in the values of Keras variables."""
    return sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in variables)
