"""A search: the trainings of the experiments, its table, its logs, and the unread test split."""

import csv
import dataclasses
import itertools
import json
import math
import sys

import numpy as np
import pytest
from tiny_grid import GRID
from tiny_search import RECIPE, TASK, column, tiny_search

import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import execute, train_and_measure
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.result import SearchResult


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The result of a grid over depth and method."""
    return tiny_search("both", depth=(2, 3), directory=tmp_path_factory.mktemp("grid"))


@pytest.mark.parametrize(
    ("experiment", "method", "depths"),
    [
        (GRID, "hyper", [3]),
        pytest.param(get_experiment("rotation_depth"), "embed", [3], marks=pytest.mark.full),
        pytest.param(get_experiment("rotation_depth"), "hyper", [2, 4], marks=pytest.mark.full),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_grid_has_the_validation_errors_of_the_experiment_runner(tmp_path, experiment, method, depths):
    """With the same best depth; on tiny data, or on digits for three epochs."""
    runs = experiment.runs(values=depths, seeds=2, quick=experiment is not GRID)
    rows = [execute(run, experiment) for run in runs if (run["seed"], run["method"]) == (1, method)]
    task, recipe = get_task(**rows[0]["config"]["task"]), kh.Recipe(**rows[0]["config"]["recipe"])
    result = kh.tuning.search(task, method, depth=depths, recipe=recipe, directory=tmp_path, progress=False)
    trials = sorted(result.trials, key=lambda row: row["depth"])
    assert [row["depth"] for row in trials] == [row["depth"] for row in rows] == depths
    name = f"validation_{task.metric}"
    for trial, row in zip(trials, rows, strict=True):
        assert abs(trial[name] - row["validation"]) <= 1e-6
        if "validation_loss" in trial:
            loss = row["curve"]["validation_loss"][-1]  # six digits
            assert math.isclose(trial["validation_loss"], loss, rel_tol=1e-5)
    best = min(rows, key=lambda row: row["validation"])
    assert result.best == kh.Recipe(**best["config"]["recipe"])
    assert (result.best_method, result.objective) == (method, name)


def test_a_grid_tries_every_configuration_once(grid):
    tried = [(row["method"], row["depth"]) for row in grid.trials]
    assert sorted(tried) == sorted(itertools.product(("embed", "hyper"), (2, 3)))
    assert set(column(grid, "status")) == {"finished"}
    assert set(column(grid, "epochs")) == {RECIPE.epochs}
    assert set(column(grid, "steps")) == {RECIPE.epochs}  # an epoch is one batch


def test_the_table_is_written_and_read(grid, tmp_path):
    assert SearchResult.read(grid.directory) == grid
    rows = list(csv.DictReader(grid.to_csv(tmp_path / "trials.csv").read_text().splitlines()))
    assert [float(row["validation_mse"]) for row in rows] == column(grid, "validation_mse")
    assert list(grid.to_pandas()["depth"]) == column(grid, "depth")


def test_missing_pandas_is_named(grid, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tuning\]'"):
        grid.to_pandas()


def test_missing_keras_tuner_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("keras_hypernet.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tuning\]'"):
        kh.tuning.search  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'searchh'"):
        kh.tuning.searchh  # noqa: B018


def test_logs_of_hparams_have_each_trial_with_its_metrics(grid):
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    for row in grid.trials:
        events = EventAccumulator(str(grid.directory / "tensorboard" / f"{row['trial']:04}"))
        events.Reload()
        content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
        logged = HParamsPluginData.FromString(content).session_start_info.hparams
        assert set(logged) == {"method", "depth"}
        assert (logged["method"].string_value, logged["depth"].number_value) == (row["method"], row["depth"])
        (event,) = events.Tensors("validation_mse")
        assert math.isclose(tf.make_ndarray(event.tensor_proto), row["validation_mse"], rel_tol=1e-6)


@pytest.mark.full
def test_several_seeds_are_averaged(tmp_path):
    result = tiny_search(depth=[2], executions_per_trial=2, seed=5, directory=tmp_path)
    results = [
        train_and_measure(TASK, "hyper", dataclasses.replace(RECIPE, depth=2, seed=seed))["validation"]
        for seed in (5, 6)
    ]
    (row,) = result.trials
    assert abs(row["validation_mse"] - np.mean(results)) <= 1e-6
    assert (row["epochs"], result.best.seed) == (2 * RECIPE.epochs, 5)


def test_a_search_does_not_read_test_data(tmp_path, monkeypatch):
    asked, load = set(), type(TASK).load

    def watched(self, split):
        asked.add(split)
        return load(self, split)

    monkeypatch.setattr(type(TASK), "load", watched)
    tiny_search(depth=[2], directory=tmp_path)
    assert asked == {"train", "validation"}


def test_a_configuration_is_json(grid):
    assert json.loads((grid.directory / "search.json").read_text()) == grid.config
