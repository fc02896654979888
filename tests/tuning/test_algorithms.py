"""Hyperband's continued trainings, and searches with diverged trials."""

import dataclasses
import itertools
import math

import pytest
from tiny_search import RECIPE, TASK, tiny_search

from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.tuning.result import SearchResult


def _best(rows, number):
    chosen = sorted(rows, key=lambda row: row["validation_mse"])[:number]
    return {(row["method"], row["depth"]) for row in chosen}


@pytest.mark.parametrize(
    ("factor", "total_epochs", "sizes"),
    [(2, [1, 2], [2, 1]), pytest.param(2, [1, 2, 4], [4, 2, 1], marks=pytest.mark.full)],
)
def test_hyperband_continues_the_best_of_a_round(tmp_path, factor, total_epochs, sizes):
    options = {"depth": (2, 3), "epochs": total_epochs[-1], "factor": factor, "trials": sum(sizes)}
    result = tiny_search("both", "hyperband", directory=tmp_path, **options)
    rounds = [[row for row in result.trials if row["total_epochs"] == epochs] for epochs in total_epochs]
    assert [len(rows) for rows in rounds] == sizes
    more = [after - before for before, after in itertools.pairwise([0, *total_epochs])]
    assert [{row["epochs"] for row in rows} for rows in rounds] == [{epochs} for epochs in more]
    for earlier, later in itertools.pairwise(rounds):
        assert _best(later, len(later)) <= _best(earlier, len(later) + (len(later) > 1))
    (last,) = rounds[-1]
    recipe = dataclasses.replace(RECIPE, depth=last["depth"], epochs=total_epochs[-1])
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
    with pytest.raises(ValueError, match="None of 1 trials is finished, .*The loss became"):
        dataclasses.replace(result, trials=[diverged]).best  # noqa: B018
