"""Continual learning: what a run measures."""

import numpy as np
import pytest

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import execute


@pytest.mark.parametrize(("name", "method"), [("continual_digits", "hyper"), ("continual_polynomials", "ewc")])
def test_a_row_follows_from_the_errors_of_its_tasks(name, method):
    experiment = get_experiment(name)
    config = experiment.config(experiment.quick_panels[0], method, experiment.quick_values[0], 0, quick=True)
    row = execute(config, experiment)
    assert row["status"] == "finished", row["message"]
    assert experiment.owns(row, quick=True)
    assert len(row["known"]) == len(row["learned"]) == len(row["curve"]["first_task"]) == 3
    assert row["forgotten"] == pytest.approx(max(0, np.mean(np.subtract(row["known"], row["learned"])[:2])), abs=1e-5)
    assert row["curve"]["first_task"][0] == row["learned"][0]
    if name == "continual_digits":
        assert min(row["known"]) <= row["test"] <= max(row["known"])
        assert row["test"] <= row["inferred"] <= 1
    else:
        assert row["test"] == pytest.approx(np.mean(row["known"]), rel=1e-4)
        assert [row[field] for field in ("first", "second", "third")] == row["known"]
