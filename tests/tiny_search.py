"""A search whose trials take a second, and helpers to run searches and to compare their rows."""

import functools
import pathlib
import sys
import time

import keras

from keras_hypernet import paper_recipe, tuning
from keras_hypernet.tasks import SyntheticTask

TASK = SyntheticTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
RECIPE = paper_recipe(TASK, width=4, epochs=2)

# Searches the tiny task; by default a grid over the depths 2 to 4.
tiny_search = functools.partial(tuning.search, TASK, depth=(2, 4), recipe=RECIPE, progress=False)


def plain(rows):
    """Returns rows without the columns that differ between executions."""
    varying = ("seconds", "worker", "epochs", "steps")
    return [{name: value for name, value in row.items() if name not in varying} for row in rows]


def column(result, name):
    """Returns a column of the table of a search."""
    return [row[name] for row in result.trials]


def logged_hparams(directory, trial):
    """Returns the HParams of a trial in the TensorBoard logs of a search, by name, and a reader of its other events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(directory / "tensorboard" / f"{trial:04}"))
    events.Reload()
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    return HParamsPluginData.FromString(content).session_start_info.hparams, events


def hold_trials(names, file):
    """Makes this process wait in trials after their first checkpoint.

    Args:
        names: Names of the trials' folders.
        file: Path. `FILE.held.NAME` exists while the process waits in the trial NAME; `FILE.go.NAME` ends the wait.
    """

    def hold(event, arguments):
        if event != "os.rename" or pathlib.Path(arguments[1]).name != "state.json":
            return
        state = pathlib.Path(arguments[1])
        trial = state.parents[1].name
        if trial in names and state.exists():
            pathlib.Path(f"{file}.held.{trial}").touch()
            while not pathlib.Path(f"{file}.go.{trial}").exists():
                time.sleep(0.02)

    sys.addaudithook(hold)


def own_model(depth, hp):
    """Builds a user's own model; the depth 4 fails."""
    if depth == 4:
        raise RuntimeError("Four is too much.")
    inputs = {name: keras.Input((4,), name=name) for name in ("x", "condition")}
    hidden = keras.layers.Concatenate()(list(inputs.values()))
    for _ in range(depth - 1):
        hidden = keras.layers.Dense(hp.Choice("units", [4, 8]), activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("sgd", loss="mse")
    return model
