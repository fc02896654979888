"""Pareto fronts and neural processes: what a run measures, and the rules of their verdicts."""

import runpy

import numpy as np
import pytest
from helpers import ROOT

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.claims import better, held, measured_by, reaches
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.pareto import REFERENCE, SEPARATE
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.runner import execute
from keras_hypernet.tasks import get_task
from keras_hypernet.tasks.pareto import front_distance, gaps, hypervolume


def _quick(name, method, value=None):
    experiment = get_experiment(name)
    value = experiment.quick_values[0] if value is None else value
    row = execute(experiment.config(experiment.quick_panels[0], method, value, 0, quick=True), experiment)
    assert row["status"] == "finished", row["message"]
    assert experiment.owns(row, quick=True)
    return row


@pytest.mark.parametrize("method", ["chebyshev", "constant_linear"])
def test_a_row_of_a_front_follows_from_its_objectives(method):
    row = _quick("pareto_toy", method)
    task, objectives = get_task(**row["config"]["task"]), np.array(row["objectives"])
    distances = np.linalg.norm(objectives - task.load("test")["y"][:, 2:], axis=1)
    assert row["test"] == pytest.approx(distances.mean(), abs=1e-4)
    assert row["front"] == pytest.approx(front_distance(objectives, task.front()), abs=1e-5)
    assert row["gaps"] == pytest.approx(gaps(objectives, task.front()), abs=1e-5)
    assert len(row["curve"]["loss"]) == row["config"]["recipe"]["epochs"]
    if method == "constant_linear":
        np.testing.assert_allclose(objectives, np.tile([0.5, 0.25], (50, 1)), atol=1e-4)  # of equal weights


@pytest.mark.parametrize("method", ["linear", pytest.param("separate", marks=pytest.mark.full), "constant"])
def test_a_row_of_digits_follows_from_its_losses(method):
    row = _quick("pareto_digits", method)
    losses = np.array(row["losses"])
    assert losses.shape == (len(SEPARATE), 2)
    assert row["test"] == pytest.approx(4 - hypervolume(losses, REFERENCE), abs=1e-4)
    assert row["metric"] == "missed hypervolume"
    if method != "constant":
        assert 0 < row["test"] <= 4
        assert np.shape(row["accuracies"]) == losses.shape


def test_a_row_of_a_neural_process_has_its_log_likelihood():
    row, prior = _quick("gaussian_process", "film"), _quick("gaussian_process", "prior")
    assert row["exact_log_likelihood"] == prior["exact_log_likelihood"]
    for each in (row, prior):
        assert each["log_likelihood"] == pytest.approx(each["exact_log_likelihood"] - each["test"], abs=2e-5)
    assert row["parameters"] > 0 == prior["parameters"]


def test_the_constant_of_noisy_views_has_the_variance_of_the_target():
    row = _quick("noisy_views", "constant", 1)
    assert row["test"] == pytest.approx(get_task(**row["config"]["task"]).load("test")["y"].var(), rel=0.02)


def _rows(tests, panel="line"):
    """Rows of `pareto_toy` with five seeds: tests by method, at the widths 20 and 100."""
    runs = get_experiment("pareto_toy").runs(panels=[panel])
    noise = {seed: 1 + 0.01 * seed for seed in range(5)}
    return [
        make_row(run, {"test": tests[run["method"]][run["width"]] * noise[run["seed"]], "gaps": 0.1})
        for run in runs
        if run["method"] in tests
    ]


def test_lower_compares_two_methods_seed_by_seed():
    rows = _rows({"linear": {20: 0.2, 100: 0.1}, "chebyshev": {20: 0.1, 100: 0.05}})
    assert better("chebyshev", "linear").judge(rows, "width").verdict == "reproduced"
    assert better("linear", "chebyshev").judge(rows, "width").verdict == "not"
    assert better("chebyshev", "linear", wide=0.4).judge(rows, "width").verdict == "partly"
    assert measured_by(better("chebyshev", "linear"), "gaps").finding(rows, "width").verdict == "not"


def test_lower_everywhere_asks_for_every_value():
    rows = _rows({"linear": {20: 1.0, 100: 0.10}, "chebyshev": {20: 0.1, 100: 0.11}})
    assert better("chebyshev", "linear").judge(rows, "width").verdict == "reproduced"
    assert better("chebyshev", "linear", everywhere=True).judge(rows, "width").verdict == "partly"


def test_reaches_compares_the_last_value_with_the_published_number():
    rows = _rows({"linear": {20: 0.2, 100: 0.1}})
    assert reaches("linear", {"line": 0.11}).judge(rows, "width").verdict == "reproduced"
    assert reaches("linear", {"line": 0.1015}).judge(rows, "width").verdict == "partly"  # two of five seeds
    finding = reaches("linear", {"line": 0.05}).judge(rows, "width")
    assert (finding.verdict, finding.seeds) == ("not", 5)
    assert "mean 0.102 at width 100, published 0.05" in finding.measured


def test_nothing_is_learned_where_a_reference_is_not_beaten():
    tests = {"linear": {20: 0.2, 100: 0.1}, "chebyshev": {20: 0.1, 100: 0.05}}
    for constant, verdict in ((0.04, "nothing learned"), (0.3, "reproduced")):
        rows = _rows({**tests, "constant_linear": {20: constant}})
        finding = held(better("chebyshev", "linear"), "constant_linear").finding(rows, "width")
        assert finding.verdict == verdict
        assert f"best trivial predictor: a constant, {1.02 * constant:.3g}" in finding.measured


def test_a_page_shows_the_results_of_the_rows_and_the_published_numbers(tmp_path):
    tables = runpy.run_path(str(ROOT / "docs" / "result_tables.py"))
    filled, draw_fronts = tables["filled"], tables["draw_fronts"]
    page = "Words.\n<!-- results of pareto_toy -->\nOld.\n<!-- end -->\nMore.\n"
    assert filled(page, tmp_path) == page.replace("Old", "Not run yet")
    assert draw_fronts(tmp_path) == []
    for row in _rows({"linear": {20: 0.2, 100: 0.1}}):
        objectives = np.linspace(0, 1, 50)[:, np.newaxis] * [1, -1] + [0, 1]
        full = {**row, "inner": 0.1, "front": 0.1, "curve": {"loss": [0.1]}, "objectives": objectives.tolist()}
        full |= {"seconds": 60.0, "machine": {"processor": "A", "threads": 1}}
        ResultsFile(tmp_path / "pareto_toy.jsonl").append(full)
    lines = filled(page, tmp_path).splitlines()
    assert lines[4] == "| line | hypernetwork, linear | 20 | 0.204 ± 0.0032 | 0.1 | 0.1 | 0.1 | 0.0042 | 5 | 1.0 |"
    assert lines[7] == "10 runs. The grid takes 0.2 hours of one worker, 1.0 minutes a seed on two cores"
    assert lines[8] == "(A):"
    assert "- Ours: the distance of linear scalarization falls with the width of f. line **not run yet**" in lines
    assert lines[-1] == "More."
    (path,) = draw_fronts(tmp_path)
    assert path.stat().st_size > 10_000
    assert "](../results/pareto_fronts.png)" in filled(page, tmp_path)
