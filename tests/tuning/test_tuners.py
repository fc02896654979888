"""keras-tuner's own tuners with DepthSearch."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from helpers import TESTS
from tiny_search import RECIPE, TASK

from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.tuning.hypermodel import DepthSearch


@pytest.mark.full
def test_the_search_space_works_with_tuners_of_keras_tuner(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(2, 32, 4)).astype("float32")

    def build(depth, hp):
        hidden = [keras.layers.Dense(hp.Int("units", 2, 3), activation="relu") for _ in range(depth - 1)]
        model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(4)])
        model.compile("sgd", loss="mse")
        return model

    own = keras_tuner.RandomSearch(
        DepthSearch(build=build, depth=(2, 3)), "val_loss", max_trials=2, directory=tmp_path, project_name="own"
    )
    own.search(x, y, validation_data=(x, y), verbose=0)
    assert own.get_best_hyperparameters()[0]["depth"] in (2, 3)

    objective = keras_tuner.Objective("validation_mse", "min")
    tuner = keras_tuner.GridSearch(
        DepthSearch(TASK, "hyper", depth=[2], recipe=RECIPE), objective, directory=tmp_path, project_name="task"
    )
    tuner.search(verbose=0)
    (trial,) = tuner.oracle.get_best_trials()
    expected = train_and_measure(TASK, "hyper", dataclasses.replace(RECIPE, depth=2))["validation"]
    assert abs(trial.score - expected) <= 1e-6


@pytest.mark.parametrize("own", [True, pytest.param(False, marks=pytest.mark.full)])
def test_executions_of_a_trial_of_keras_tuner_have_different_seeds(tmp_path, monkeypatch, own):
    def build(depth, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        model.compile(keras.optimizers.SGD(1e-12), loss="mse")
        return model

    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    data = {"x": x, "y": x, "validation_data": (x, x)} if own else {}
    model = DepthSearch(build=build, depth=[2]) if own else DepthSearch(TASK, "hyper", depth=[2], recipe=RECIPE)
    results, trained = [], model.fit

    def fit(hp, *args, **kwargs):
        returned = trained(hp, *args, **kwargs)
        results.append((hp["depth"], returned.history["val_loss"][-1] if own else returned["validation_mse"]))
        return returned

    monkeypatch.setattr(model, "fit", fit)
    tuner = keras_tuner.GridSearch(
        model,
        keras_tuner.Objective("val_loss" if own else "validation_mse", "min"),
        executions_per_trial=2,
        directory=tmp_path,
        project_name="search",
    )
    tuner.search(verbose=0, **data)
    assert [depth for depth, _ in results] == [2, 2]
    assert len({round(value, 5) for _, value in results}) == 2
    if not own:
        for (depth, result), seed in zip(results, (0, 1), strict=True):
            recipe = dataclasses.replace(RECIPE, depth=depth, seed=seed)
            assert result == pytest.approx(train_and_measure(TASK, "hyper", recipe)["validation"], abs=1e-6)


# One of keras-tuner's own tuners, whose part in a search by several processes environment variables say.
TUNER = """
import sys
import keras_tuner
from tiny_search import RECIPE, TASK
from keras_hypernet.tuning import DepthSearch
search = DepthSearch(TASK, "hyper", depth=(2, 4), recipe=RECIPE)
objective = keras_tuner.Objective("validation_mse", "min")
keras_tuner.RandomSearch(search, objective, 2, directory=sys.argv[1], project_name="search").search(verbose=0)
"""


@pytest.mark.full
def test_chief_and_worker_of_keras_tuner_run_the_search_space(tmp_path):
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(probe.getsockname()[1])}
    parts = []
    for name in ("chief", "worker-1"):
        variables = {**os.environ, **address, "KERASTUNER_TUNER_ID": name}
        command = [sys.executable, "-W", "ignore", "-c", TUNER, str(tmp_path)]
        parts.append(subprocess.Popen(command, env=variables, cwd=TESTS))
    assert [part.wait() for part in parts] == [0, 0]
    trials = [json.loads(path.read_text()) for path in tmp_path.glob("search/trial_*/trial.json")]
    assert [trial["status"] for trial in trials] == ["COMPLETED", "COMPLETED"]
    for trial in trials:
        recipe = dataclasses.replace(RECIPE, depth=trial["hyperparameters"]["values"]["depth"])
        expected = train_and_measure(TASK, "hyper", recipe)["validation"]
        assert trial["score"] == pytest.approx(expected, abs=1e-6)
