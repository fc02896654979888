"""Static hypernetworks and responses to the weight decay: what a run measures; the rule that two methods are equal."""

import dataclasses
import runpy

import numpy as np
import pytest
from helpers import ROOT

import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.baseline import target_of
from keras_hypernet.experiments.claims import matches
from keras_hypernet.experiments.entries import get_blueprint, train_entry
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.runner import execute
from keras_hypernet.tasks import ClassificationTask, get_task

filled = runpy.run_path(str(ROOT / "docs" / "result_tables.py"))["filled"]


def _quick(name, method, value):
    experiment = get_experiment(name)
    row = execute(experiment.config(experiment.quick_panels[0], method, value, 0, quick=True), experiment)
    assert row["status"] == "finished", row["message"]
    assert experiment.owns(row, quick=True)
    return row


def test_a_row_of_a_response_has_the_time_of_its_training():
    row = _quick("hyperparameter_response", "separate", -2)
    assert 0 < row["training_seconds"] <= row["seconds"]
    assert row["metric"] == "cross_entropy"
    assert row["test"] < np.log(10)


def test_a_response_is_trained_once_and_measured_at_each_decay():
    first, second = (_quick("hyperparameter_response", "hyper", value) for value in (-4, -2))
    assert 0 < first["training_seconds"] == second["training_seconds"]
    assert first["curve"] == second["curve"]
    assert first["test"] != second["test"]
    task, recipe = get_task(**second["config"]["task"]), kh.Recipe(**second["config"]["recipe"])
    model = kh.build_model(task, "hyper", recipe)
    kh.fit(model, task, recipe, progress=False)
    assert kh.evaluate(model, task)["cross_entropy"] == second["test"] < np.log(10)


def test_runs_of_a_response_differ_in_the_decay_of_the_evaluation_alone():
    experiment = get_experiment("hyperparameter_response")
    first, second = (experiment.config("mnist_hidden", "hyper", value, 1) for value in (-6, -1))
    assert first["recipe"] == second["recipe"]
    assert {**first["task"], "log_decay": -1.0} == second["task"]
    assert [*map(len, ({*experiment.methods_at(-4)}, {*experiment.methods_at(-6)}))] == [3, 2]


def test_the_constant_has_the_loss_of_the_frequencies():
    row = _quick("hyperparameter_response", "constant", -4)
    task = get_task(**row["config"]["task"])
    shares = (np.bincount(task.load("train")[1]) + 1) / 210
    assert row["test"] == pytest.approx(-np.log(shares)[task.load("test")[1]].mean())


def test_a_static_kernel_has_the_trivial_predictors_of_its_images():
    task = get_experiment("hypernetworks_static").config("mnist", "hyper", 4, 0)["task"]
    assert target_of(task) == target_of(ClassificationTask("mnist").config())


def _rows(ratios, validation=None):
    """Rows of two methods, of which one has the ratios `[seeds, values]` to the other."""
    rows = []
    for seed, of_seed in enumerate(ratios):
        for value, ratio in enumerate(of_seed):
            chosen = 1.0 if validation is None else validation[value]
            parts = {"panel": "mnist", "seed": seed, "log_decay": value, "validation": chosen}
            rows += [{**parts, "method": "hyper", "test": 0.3 * ratio}, {**parts, "method": "separate", "test": 0.3}]
    return rows


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([[1.02, 0.97]] * 3, "reproduced"),
        ([[1.02, 0.97]] * 2, "open"),
        ([[1.02, 1.03, 1.15]] * 5, "partly"),
        ([[1.05], [1.08], [1.13], [1.02], [1.11]], "partly"),  # equal on the mean, and not in all resamples
        ([[1.2, 1.01]] * 5, "not"),
        ([[0.8]] * 5, "not"),  # better is not equal
        ([[1.0, np.inf]] * 5, "not"),
    ],
)
def test_two_methods_are_equal_if_their_ratio_is_near_one_in_the_resamples(ratios, verdict):
    assert matches("hyper", "separate").judge(_rows(ratios), "log_decay").verdict == verdict


def test_two_methods_may_be_compared_where_validation_is_lowest():
    rows, rule = _rows([[1.5, 1.01]] * 5, validation=[0.5, 0.4]), matches("hyper", "separate", at_best=True)
    finding = rule.judge(rows, "log_decay")
    assert (finding.verdict, finding.p) == ("reproduced", pytest.approx(1 / 3126))
    assert "1.01 each at the value of lowest validation" in finding.measured


def test_a_page_shows_the_published_error_at_the_published_dimension(tmp_path):
    experiment, page = get_experiment("hypernetworks_static"), "<!-- results of hypernetworks_static -->\n<!-- end -->"
    for value in (2, 4):
        config = experiment.config("mnist", "hyper", value, 0)
        row = make_row(config, {"test": 0.01, "validation": 0.01}, seconds=60.0)
        ResultsFile(tmp_path / "hypernetworks_static.jsonl").append(row)
    lines = filled(page, tmp_path).splitlines()
    assert lines[3:5] == [
        "| mnist | generated kernel | 2 | 0.01 |  | 1 | 1.0 |",
        "| mnist | generated kernel | 4 | 0.01 | 0.0076 | 1 | 1.0 |",
    ]


def test_a_page_shows_the_seconds_and_the_figure(tmp_path):
    experiment, page = (
        get_experiment("hyperparameter_response"),
        "<!-- results of hyperparameter_response -->\n<!-- end -->",
    )
    row = execute(experiment.config("digits_linear", "constant", -4, 0, quick=True), experiment)
    ResultsFile(tmp_path / "hyperparameter_response.jsonl").append({**row, "training_seconds": 2.5})
    lines = filled(page, tmp_path).splitlines()
    assert "| validation | seconds of a training | seeds |" in lines[1]
    assert "| 2.5 | 1 |" in lines[3]
    assert not [line for line in lines if line.startswith("![")]
    (tmp_path / "hyperparameter_response.png").write_bytes(b"")
    assert "(../results/hyperparameter_response.png)" in filled(page, tmp_path)


@pytest.mark.parametrize(
    ("name", "panel", "parts"),
    [
        ("static_kernel_mnist_hyper", "digits", ["network"]),
        ("response_mnist_linear", "digits_linear", ["generator", "primary"]),
    ],
)
def test_an_entry_is_loaded_and_evaluated(tmp_path, name, panel, parts):
    blueprint = dataclasses.replace(get_blueprint(name), panel=panel, changes={"epochs": 1})
    card = train_entry(blueprint, tmp_path, [0], f"keras-hypernet train {name}", progress=False)
    model, task = kh.load(str(tmp_path / "entry")), get_task(**card.task)
    assert card.metrics["test"] == pytest.approx(kh.evaluate(model, task))
    assert [*card.architecture] == parts
    assert card.description.endswith(f"{task.methods['hyper']}.")
    assert not any("width of f" in sentence for sentence in card.provenance["ours"])  # the task has networks of its own
