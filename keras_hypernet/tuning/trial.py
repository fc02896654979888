"""run_trial: a trial as a run, from its configuration to its row."""

import os
import pathlib
import platform
import shutil
import statistics
import time

import keras_tuner

from keras_hypernet.common.files import NotWritableError, replacing_folder
from keras_hypernet.common.locks import BusyError
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.runs.cluster import MAX_ATTEMPTS
from keras_hypernet.runs.engines import Job
from keras_hypernet.runs.worker import get_function
from keras_hypernet.tasks import get_task
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.tuning.hypermodel import DepthSearch
from keras_hypernet.tuning.metrics import is_of_the_tuner, metrics_of


def run_trial(config, hypermodel=None):
    """Trains and measures the models of a trial, one for each seed.

    A training is kept in the trial's folder: if it is interrupted it goes on after its last whole epoch, and Hyperband
    continues it in a later trial.

    Args:
        config: A dict that JSON can hold: `search`, the configuration of the search; `directory`, its folder; `asked`,
            the number of the trial, and its `values`; `build`, the importable name of a user's own function, or None.
        hypermodel: The `DepthSearch`; by default that of the configuration.

    Returns:
        A dict that JSON can hold: `row`, of `make_row`, and `hyperparameters`, keras-tuner's configuration of what a
        user's own function asked for, or None.

    Raises:
        DataUnavailableError, ImportError, NotWritableError: If the data, a package or room for the training is not
            there, which says nothing of the trial.
        keras_tuner.errors.FatalError: If the models are not what the search needs.
    """
    search = config["search"]
    hypermodel = hypermodel or _rebuild(config)
    hp = keras_tuner.HyperParameters()
    hp.values = dict(config["values"])
    trials = pathlib.Path(config["directory"]) / "trials"
    epochs, earlier = hp.values.get("tuner/epochs"), hp.values.get("tuner/trial_id")
    outcomes = []
    for seed in range(hypermodel.recipe.seed, hypermodel.recipe.seed + search["executions_per_trial"]):
        training = trials / f"trial_{config['asked']:04}" / f"seed-{seed}"
        started = time.perf_counter()
        try:
            if earlier is not None:
                _continue(trials / f"trial_{int(earlier):04}" / f"seed-{seed}", training)
            outcomes.append(_train(hypermodel, hp, seed, epochs or hypermodel.recipe.epochs, training))
        except (keras_tuner.errors.FatalError, DataUnavailableError, ImportError, NotWritableError):
            raise
        except Exception as error:
            # Whatever went wrong is a row of the table, and not the end of all other trials.
            cost = {"epochs": 0, "steps": 0, "seconds": time.perf_counter() - started}
            outcomes.append({"status": "failed", **cost, "message": f"{type(error).__name__}: {error}"})
        if epochs is None:  # otherwise the training may be continued
            shutil.rmtree(training, ignore_errors=True)
    row = make_row({**config, "values": hp.values}, metrics_of(hypermodel.task), outcomes)
    return {"row": row, "hyperparameters": hp.get_config() if hypermodel.function else None}


def _rebuild(config):
    """The `DepthSearch` of a search, in another process."""
    search, build = config["search"], config["build"] and get_function(config["build"])
    ranges = {name: tuple(part.values()) if isinstance(part, dict) else part for name, part in search["space"].items()}
    method = None if build else tuple(search["method"])
    return DepthSearch(get_task(**search["task"]), method, build, **ranges, recipe=Recipe(**search["recipe"]))


def _train(hypermodel, *arguments):
    try:
        return hypermodel.train(*arguments)
    except BusyError:  # a process that is slow, and not lost, still trains there; elsewhere it comes to the same
        return hypermodel.train(*arguments[:-1])


def _continue(source, training):
    """Copies the training of an earlier trial; one that is on another machine is trained again, to the same result."""
    if source.exists() and not training.exists():
        with replacing_folder(training) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)


def make_row(config, metrics, outcomes):
    """Returns the row of a trial in the table of a search.

    Args:
        config: The trial, as of `run_trial`.
        metrics: Names of what is measured.
        outcomes: Dicts, of `DepthSearch.train`, one for each seed.
    """
    search, values = config["search"], config["values"]
    statuses = [outcome["status"] for outcome in outcomes]
    status = next((name for name in ("failed", "diverged") if name in statuses), "finished")
    finished = status == "finished"
    messages = dict.fromkeys(outcome["message"] for outcome in outcomes if outcome["message"])
    asked = {name: value for name, value in values.items() if name != "method" and not is_of_the_tuner(name)}
    return {
        "trial": config["asked"],
        "status": status,
        "method": values.get("method", search["method"][0]),
        **{name: values.get(name) for name in searched(search) if name != "method"},
        **asked,
        "total_epochs": values.get("tuner/epochs", search["recipe"]["epochs"]),
        **{name: sum(outcome[name] for outcome in outcomes) for name in ("epochs", "steps")},
        "seconds": round(sum(outcome["seconds"] for outcome in outcomes), 2),
        **{name: statistics.fmean(one[name] for one in outcomes) if finished else None for name in metrics},
        "worker": f"{platform.node()}-{os.getpid()}",
        "message": " ".join(messages) or None,
    }


def searched(search):
    """Names of what a search varies."""
    names = [name for name, values in search["space"].items() if values is not None]
    return (["method"] if len(search["method"]) > 1 else []) + names


def _make_lost_row(config, message, seconds, machine):
    outcome = {"status": "failed", "epochs": 0, "steps": 0, "seconds": seconds or 0.0, "message": message}
    row = make_row(config, metrics_of(get_task(**config["search"]["task"])), [outcome])
    return {"row": {**row, "worker": None}, "hyperparameters": None}


# A training goes on after its last whole epoch, so a trial whose process is lost is worth another attempt.
JOB = Job("keras_hypernet.tuning.trial:run_trial", _make_lost_row, MAX_ATTEMPTS)
