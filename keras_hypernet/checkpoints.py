"""Run: the state of a training, kept in a folder so that it can be killed at any time; and what says it diverged."""

import csv
import json
import pathlib
import re

from keras_hypernet.files import replacing, write_json
from keras_hypernet.versions import today, versions


class TrainingDivergedError(RuntimeError):
    """The loss is no longer a finite number. `history` holds the epochs before that, as `fit` returns them."""

    def __init__(self, message, history=()):
        super().__init__(message)
        self.history = tuple(history)


class Run:
    """A training's history, and the files that keep it: `state.json`, the last checkpoint, `history.csv`."""

    def __init__(self, directory, identity, csv_log):
        self.directory = None if directory is None else pathlib.Path(directory)
        self.identity, self.csv_log = identity, csv_log
        self.history = []

    def restore(self, model, resume):
        """Loads the weights of the last checkpoint and the history up to it, if there is one."""
        if self.directory is None or not self._state_file.exists():
            return
        if not resume:
            raise ValueError(
                f"{self.directory} holds a training already: resume it (--resume), or choose another directory (--out)."
            )
        state = json.loads(self._state_file.read_text(encoding="utf-8"))
        held, asked = (
            {"splits": ["train"], **what, **what["recipe"], "recipe": None} for what in (state, self.identity)
        )
        differences = [name for name in asked if held.get(name) != asked[name]]
        if held["epochs"] < asked["epochs"]:
            differences.remove("epochs")
        if differences:
            raise ValueError(
                f"{self.directory} holds another training: { ({name: held.get(name) for name in differences}) }. "
                f"Asked for: { ({name: asked[name] for name in differences}) }"
            )
        if "diverged" in state:
            raise TrainingDivergedError(state["diverged"], state["history"])
        self.history = state["history"]
        self._write_csv()
        self._remove_other_checkpoints()
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._last_checkpoint)

    def save(self, model):
        """Saves weights, optimizer and history; a kill at any point leaves the last state or this one."""
        if self.directory is None:
            return
        with replacing(self._last_checkpoint) as temporary:
            model.save_weights(temporary)  # the optimizer's state included
        # The checkpoint is complete before the state names it, and the one before it goes after that.
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
        """Removes the one before the last, and what a kill has left of one that was being written."""
        for path in self.directory.iterdir():
            if re.fullmatch(r"(\.\d+\.)?epoch-\d+\.weights\.h5", path.name) and path != self._last_checkpoint:
                path.unlink()

    def _write_csv(self):
        if self.csv_log:
            with replacing(self.directory / "history.csv") as temporary, temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(self.history[0]))
                writer.writeheader()
                writer.writerows(self.history)

    def _write_state(self, **more):
        state = {**self.identity, "versions": versions(), "date": today(), "history": self.history, **more}
        write_json(self._state_file, state)

    @property
    def _state_file(self):
        return self.directory / "state.json"

    @property
    def _last_checkpoint(self):
        return self.directory / f"epoch-{len(self.history)}.weights.h5"
