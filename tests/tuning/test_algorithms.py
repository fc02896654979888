"""Hyperband's continued trainings, and searches with diverged trials."""

import dataclasses
import math

import pytest
from tiny_search import RECIPE, TASK, column, tiny_search

from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.tuning.result import SearchResult


def test_hyperband_continues_the_best_of_a_round(tmp_path):
    result = tiny_search("both", "hyperband", epochs=4, factor=2, trials=7, directory=tmp_path)
    rounds = [[row for row in result.trials if row["total_epochs"] == epochs] for epochs in (1, 2, 4)]
    assert [len(rows) for rows in rounds] == [4, 2, 1]
    assert [{row["epochs"] for row in rows} for rows in rounds] == [{1}, {1}, {2}]

    def best(rows, number):
        chosen = sorted(rows, key=lambda row: row["validation_mse"])[:number]
        return {(row["method"], row["depth"]) for row in chosen}

    assert best(rounds[1], 2) <= best(rounds[0], 3)
    assert best(rounds[2], 1) == best(rounds[1], 1)
    (last,) = rounds[2]
    recipe = dataclasses.replace(RECIPE, depth=last["depth"], epochs=4)
    assert abs(last["validation_mse"] - train_and_measure(TASK, last["method"], recipe)["validation"]) <= 1e-6


@pytest.mark.parametrize("oracle", ["bayesian", pytest.param("random", marks=pytest.mark.full)])
def test_diverged_trials_are_rows_and_the_search_continues(oracle, tmp_path):
    result = tiny_search("hyper", oracle, depth=[2], learning_rate=[1e-3, 1e-2, 1e9], trials=3, directory=tmp_path)
    (diverged,) = [row for row in result.trials if row["status"] == "diverged"]
    assert (diverged["learning_rate"], diverged["validation_mse"]) == (1e9, None)
    assert "Lower the learning rate" in diverged["message"]
    assert len(result.trials) == 3
    assert math.isfinite(result.best_trial["validation_mse"])
    assert SearchResult.read(tmp_path) == result


def test_a_search_of_diverged_trials_has_no_best_one(tmp_path):
    result = tiny_search(learning_rate=[1e9], depth=[2], directory=tmp_path)
    assert column(result, "status") == ["diverged"]
    with pytest.raises(ValueError, match="None of 1 trials is finished, .*The loss became"):
        result.best  # noqa: B018
