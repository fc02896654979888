"""A search: the trainings of the experiments, its table, its logs, and the unread test split."""

import csv
import dataclasses
import json
import math
import sys

import numpy as np
import pytest
from tiny_grid import GRID
from tiny_search import RECIPE, TASK, column, logged_hparams, tiny_search

import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.experiments.runner import execute
from keras_hypernet.tasks import get_task


@pytest.mark.parametrize(
    ("experiment", "method", "depths"),
    [
        (GRID, "hyper", [3]),
        pytest.param(get_experiment("rotation_depth"), "embed", [3], marks=pytest.mark.full),
        pytest.param(get_experiment("rotation_depth"), "hyper", [2, 4], marks=pytest.mark.full),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_grid_has_the_validation_errors_of_the_experiment_runner(tmp_path, monkeypatch, experiment, method, depths):
    """With the same best depth, and without the test data; on tiny data, or on digits for three epochs."""
    runs = experiment.runs(values=depths, seeds=2, quick=experiment is not GRID)
    rows = [execute(run, experiment) for run in runs if (run["seed"], run["method"]) == (1, method)]
    task, recipe = get_task(**rows[0]["config"]["task"]), kh.Recipe(**rows[0]["config"]["recipe"])
    asked, load = set(), type(task).load
    monkeypatch.setattr(type(task), "load", lambda self, split: asked.add(split) or load(self, split))
    result = kh.tuning.search(task, method, depth=depths, recipe=recipe, directory=tmp_path, progress=False)
    assert asked == {"train", "validation"}
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


def test_a_trial_counts_its_epochs_and_steps(searched):
    assert column(searched, "status") == ["finished", "finished"]
    assert set(column(searched, "epochs")) == {RECIPE.epochs}
    assert set(column(searched, "steps")) == {RECIPE.epochs}  # an epoch is one batch


def test_the_table_is_written(searched, tmp_path):
    rows = list(csv.DictReader(searched.to_csv(tmp_path / "trials.csv").read_text().splitlines()))
    assert [float(row["validation_mse"]) for row in rows] == column(searched, "validation_mse")
    assert list(searched.to_pandas()["depth"]) == column(searched, "depth")


def test_missing_pandas_is_named(searched, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tuning\]'"):
        searched.to_pandas()


def test_missing_keras_tuner_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("keras_hypernet.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tuning\]'"):
        kh.tuning.search  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'searchh'"):
        kh.tuning.searchh  # noqa: B018


def test_logs_of_hparams_have_each_trial_with_its_metrics(searched):
    import tensorflow as tf

    for row in searched.trials:
        logged, events = logged_hparams(searched.directory, row["trial"])
        assert {name: value.number_value for name, value in logged.items()} == {"depth": row["depth"]}
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


def test_a_configuration_is_json(searched):
    assert json.loads((searched.directory / "search.json").read_text()) == searched.config
