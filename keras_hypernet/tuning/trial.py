"""run_trial: a trial as a run, from its configuration to its row."""

import math
import os
import pathlib
import pkgutil
import platform
import shutil
import statistics
import time

import keras
import keras_tuner

from keras_hypernet.common.files import NotWritableError, replacing_folder
from keras_hypernet.common.locks import BusyError
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.tasks import get_task
from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.tuning.hypermodel import DepthSearch
from keras_hypernet.tuning.names import is_internal, metrics_of, searched


def run_trial(config, hypermodel=None):
    """Trains and measures the models of a trial, a model for each seed.

    The trial's folder keeps its trainings: an interrupted training continues after its last whole epoch, and a later
    trial of Hyperband continues a training that has ended. Missing data, packages or disk space are errors, not rows.

    `config` is a dict for JSON: `search`, the configuration of the search; `directory`, its folder; `asked`, the number
    of the trial; `values`, its hyperparameters. So is the answer: `row`, and `hyperparameters`, keras-tuner's
    configuration for a user's own function, or None. By default, `config` also determines the `DepthSearch`.
    """
    search = config["search"]
    if hypermodel is None:
        build = search["build"] and pkgutil.resolve_name(search["build"])
        task, method = get_task(**search["task"]), None if build else tuple(search["method"])
        hypermodel = DepthSearch(task, method, build, **search["space"], recipe=Recipe(**search["recipe"]))
    hp = keras_tuner.HyperParameters()
    hp.values = dict(config["values"])
    trials = pathlib.Path(config["directory"]) / "trials"
    epochs, earlier = hp.values.get("tuner/epochs"), hp.values.get("tuner/trial_id")
    outcomes = []
    for seed in range(hypermodel.recipe.seed, hypermodel.recipe.seed + search["executions_per_trial"]):
        training = trials / f"trial_{config['asked']:04}" / f"seed-{seed}"
        source = None if earlier is None else trials / f"trial_{int(earlier):04}" / training.name
        outcomes.append(_train(hypermodel, hp, seed, epochs or hypermodel.recipe.epochs, training, source))
        if epochs is None:  # no trial of Hyperband, so no later trial continues the training
            shutil.rmtree(training, ignore_errors=True)
    row = _make_row({**config, "values": hp.values}, metrics_of(hypermodel.task), outcomes)
    return {"row": row, "hyperparameters": hp.get_config() if hypermodel.function else None}


def _train(hypermodel, hp, seed, epochs, training, source):
    """Trains a model in a folder, which starts as a copy of the folder `source`, and returns the outcome."""
    begun, started, outcome = [], time.perf_counter(), {"status": "finished", "message": None}
    # Also counts the epoch of a divergence.
    counter = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    try:
        if source is not None and source.exists() and not training.exists():  # without a copy, epochs are repeated
            with replacing_folder(training) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)
        try:
            outcome |= hypermodel.train(hp, seed, epochs, [counter], training)
        except BusyError:  # a slow process that was taken for dead trains there; the result is the same
            outcome |= hypermodel.train(hp, seed, epochs, [counter])
        if not all(math.isfinite(outcome[name]) for name in metrics_of(hypermodel.task)):
            outcome = {"status": "diverged", "message": "The losses are finite, but a validation metric is not finite."}
    except TrainingDivergedError as error:
        outcome = {"status": "diverged", "message": str(error)}
    except (keras_tuner.errors.FatalError, DataUnavailableError, ImportError, NotWritableError):
        raise
    except Exception as error:  # a row of the table, not the end of the search
        outcome = {"status": "failed", "message": f"{type(error).__name__}: {error}"}
    steps = len(begun) * math.ceil(hypermodel.task.num_examples("train") / hypermodel.recipe.batch_size)
    return {**outcome, "epochs": len(begun), "steps": steps, "seconds": time.perf_counter() - started}


def _make_row(config, metrics, outcomes):
    search, values = config["search"], config["values"]
    status = min((outcome["status"] for outcome in outcomes), key=("failed", "diverged", "finished").index)
    messages = dict.fromkeys(outcome["message"] for outcome in outcomes if outcome["message"])
    row = {
        "trial": config["asked"],
        "status": status,
        "method": search["method"][0],
        **dict.fromkeys(searched(search["method"], search["space"])),
        **{name: value for name, value in values.items() if not is_internal(name)},
        "total_epochs": values.get("tuner/epochs", search["recipe"]["epochs"]),
        **{name: sum(outcome[name] for outcome in outcomes) for name in ("epochs", "steps")},
        "seconds": round(sum(outcome["seconds"] for outcome in outcomes), 2),
    }
    for name in metrics:
        row[name] = statistics.fmean(outcome[name] for outcome in outcomes) if status == "finished" else None
    return {**row, "worker": f"{platform.node()}-{os.getpid()}", "message": " ".join(messages) or None}


def make_lost_row(config, message, seconds, machine):
    """Returns the answer for a trial whose process was lost: `Job.failed`."""
    outcome = {"status": "failed", "message": message, "epochs": 0, "steps": 0, "seconds": seconds or 0.0}
    row = _make_row(config, metrics_of(get_task(**config["search"]["task"])), [outcome])
    return {"row": {**row, "worker": None}, "hyperparameters": None}
