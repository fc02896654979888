"""What Hyperband, Bayesian optimization and random search make of few configurations and of trials that diverge."""

import dataclasses
import itertools
import math

import pytest
from tiny_search import RECIPE, TASK, column, tiny_search

from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.tuning.result import SearchResult


def test_hyperband_continues_the_best_of_a_round(tmp_path):
    found = tiny_search("both", "hyperband", epochs=4, factor=2, trials=7, directory=tmp_path)
    for row in found.trials[4:]:
        recipe = dataclasses.replace(RECIPE, depth=row["depth"], epochs=row["total_epochs"])
        assert abs(row["validation_mse"] - train_and_measure(TASK, row["method"], recipe)["validation"]) <= 1e-6
    first = [row for row in found.trials if row["total_epochs"] == 1]
    second = [row for row in found.trials if (row["total_epochs"], row["epochs"]) == (2, 1)]
    third = [row for row in found.trials if (row["total_epochs"], row["epochs"]) == (4, 2)]
    assert (len(first), len(second), len(third)) == (4, 2, 1)

    def best(rows, number):
        chosen = sorted(rows, key=lambda row: row["validation_mse"])[:number]
        return {(row["method"], row["depth"]) for row in chosen}

    assert {(row["method"], row["depth"]) for row in second} <= best(first, 3)
    assert {(row["method"], row["depth"]) for row in third} == best(second, 1)


def test_bayesian_optimization_does_not_repeat_itself(tmp_path):
    found = tiny_search("both", "bayesian", trials=20, directory=tmp_path)
    tried = [(row["method"], row["depth"]) for row in found.trials]
    assert sorted(tried) == sorted(itertools.product(("embed", "hyper"), (2, 3, 4)))


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_diverged_trials_are_rows_and_the_search_goes_on(oracle, tmp_path):
    found = tiny_search("hyper", oracle, depth=[2, 3], learning_rate=[1e-3, 1e-2, 1e9], trials=6, directory=tmp_path)
    diverged = [row for row in found.trials if row["status"] == "diverged"]
    assert {(row["learning_rate"], row["validation_mse"]) for row in diverged} == {(1e9, None)}
    assert (len(diverged), len(found.trials)) == (2, 6)
    assert "Lower the learning rate" in diverged[0]["message"]
    assert math.isfinite(found.best_trial["validation_mse"])
    assert SearchResult.read(tmp_path) == found


def test_a_search_of_diverged_trials_has_no_best_one(tmp_path):
    found = tiny_search(learning_rate=[1e9], depth=[2, 3], directory=tmp_path)
    assert column(found, "status") == ["diverged", "diverged"]
    with pytest.raises(ValueError, match="None of 2 trials is finished, .*The loss became"):
        found.best  # noqa: B018
