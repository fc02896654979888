"""Continual learning: what a run measures."""

import dataclasses

import numpy as np
import pytest

import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.entries import get_blueprint, train_entry
from keras_hypernet.experiments.runner import execute


@pytest.mark.parametrize(
    ("name", "method"),
    [pytest.param("continual_digits", "hyper", marks=pytest.mark.full), ("continual_polynomials", "ewc")],
)
def test_a_row_follows_from_the_errors_of_its_tasks(name, method):
    experiment = get_experiment(name)
    config = experiment.config(experiment.quick_panels[0], method, experiment.quick_values[0], 0, quick=True)
    row = execute(config, experiment)
    assert row["status"] == "finished", row["message"]
    assert experiment.owns(row, quick=True)
    number = 2 if name == "continual_digits" else 3
    assert len(row["known"]) == len(row["learned"]) == len(row["curve"]["first_task"]) == number
    assert row["forgotten"] == pytest.approx(max(0, np.mean(np.subtract(row["known"], row["learned"])[:-1])), abs=1e-5)
    assert row["curve"]["first_task"][0] == row["learned"][0]
    if name == "continual_digits":
        assert min(row["known"]) <= row["test"] <= max(row["known"])
        assert row["test"] <= row["inferred"] <= 1
    else:
        assert row["test"] == pytest.approx(np.mean(row["known"]), rel=1e-4)
        assert [row[field] for field in ("first", "second", "third")] == row["known"]


def test_an_entry_is_trained_loaded_and_evaluated(tmp_path):
    blueprint = dataclasses.replace(get_blueprint("continual_polynomials_hyper"), value=20)  # steps
    card = train_entry(blueprint, tmp_path, [0], "command", progress=False)
    model, task = kh.load(str(tmp_path / "entry")), blueprint.setup(0)[0]
    assert kh.evaluate(model, task) == pytest.approx(card.metrics["test"])
    assert model.loss.beta == task.strength
