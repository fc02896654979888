"""A search: the trainings of the experiments, its table, its logs, and the unread test split."""

import csv
import dataclasses
import itertools
import json
import math
import sys

import numpy as np
import pytest
from tiny_search import RECIPE, TASK, column, tiny_search

import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import execute, train_and_measure
from keras_hypernet.tuning.result import SearchResult


@pytest.mark.parametrize(
    ("method", "depths"),
    [
        ("hyper", (3,)),
        pytest.param("embed", (3,), marks=pytest.mark.full),
        pytest.param("hyper", tuple(range(2, 10)), marks=pytest.mark.full),
    ],
)
def test_a_grid_has_the_validation_errors_of_the_experiment_runner(tmp_path, method, depths):
    """With the same best depth; on digits, for three epochs."""
    experiment = get_experiment("rotation_depth")
    runs = [run for run in experiment.runs(values=depths, seeds=2, quick=True) if run["seed"] == 1]
    runs = [run for run in runs if run["method"] == method]
    rows = {run["depth"]: execute(run, experiment) for run in runs}
    task = kh.RotationTask("digits")
    options = {"epochs": runs[0]["recipe"]["epochs"], "seed": 1, "progress": False}
    result = kh.tuning.search(task, method, depth=list(depths), directory=tmp_path, **options)
    assert sorted(column(result, "depth")) == sorted(rows) == list(depths)
    for row in result.trials:
        expected = rows[row["depth"]]
        assert abs(row["validation_error"] - expected["validation"]) <= 1e-6
        loss = expected["curve"]["validation_loss"][-1]  # six digits
        assert math.isclose(row["validation_loss"], loss, rel_tol=1e-5)
    best = min(result.trials, key=lambda row: row["validation_error"])
    assert best["validation_error"] == pytest.approx(min(row["validation"] for row in rows.values()), abs=1e-6)
    assert result.best == kh.Recipe(**rows[best["depth"]]["config"]["recipe"])
    assert (result.best_method, result.objective) == (method, "validation_error")


def test_a_grid_tries_every_configuration_once(grid):
    tried = [(row["method"], row["depth"]) for row in grid.trials]
    assert sorted(tried) == sorted(itertools.product(("embed", "hyper"), (2, 3, 4)))
    assert set(column(grid, "status")) == {"finished"}
    assert set(column(grid, "epochs")) == {3}
    assert set(column(grid, "steps")) == {3}  # an epoch is one batch


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


def test_several_seeds_are_averaged(tmp_path):
    result = tiny_search(depth=[3], executions_per_trial=2, seed=5, directory=tmp_path)
    results = [
        train_and_measure(TASK, "hyper", dataclasses.replace(RECIPE, depth=3, seed=seed))["validation"]
        for seed in (5, 6)
    ]
    (row,) = result.trials
    assert abs(row["validation_mse"] - np.mean(results)) <= 1e-6
    assert (row["epochs"], result.best.seed) == (6, 5)


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
