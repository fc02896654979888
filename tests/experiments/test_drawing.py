"""Figures of synthetic rows: lost runs, broken lines, missing rows; the same rows make the same files."""

import csv
import dataclasses
import re
import sys

import pytest

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.drawing import draw
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.rows import ResultsFile

DIVERGED = {"status": "diverged", "message": "The loss became nan."}


def _write(folder, name, result, **grid):
    """Writes a row for each run for which `result` returns something; returns the file."""
    file = ResultsFile(folder / f"{name}.jsonl")
    for config in get_experiment(name).runs(**grid):
        if measured := result(config):
            file.append(make_row(config, measured))
    return file


def _drawn(folder, name):
    """Draws; returns the points of the table, the texts in the figure, and the sentences."""
    paths, sentences = draw(get_experiment(name), folder)
    assert paths == [folder / f"{name}.{suffix}" for suffix in ("png", "svg", "csv")]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    # Letters are paths; a comment holds the text.
    texts = re.findall("<!-- (.*?) -->", paths[1].read_text())
    return list(csv.DictReader(paths[2].read_text().splitlines())), texts, sentences


def _points(table, panel, series):
    return [
        (int(row["x"]), row["mean"], row["lost"]) for row in table if (row["panel"], row["series"]) == (panel, series)
    ]


def test_panels_that_lack_a_series_or_all_of_their_runs(tmp_path):
    def result(config):
        if (config["panel"], config["method"]) == ("inner", "embed"):
            return None
        if config["panel"] == "hadamard" or (config["depth"], config["seed"]) == (3, 1):
            return DIVERGED
        return {"test": (config["depth"] + config["seed"]) / 8}

    file = _write(tmp_path, "synthetic_depth", result, values=(2, 3), seeds=2)
    with file.path.open("a") as written:
        written.write("{}\n")
    table, texts, sentences = _drawn(tmp_path, "synthetic_depth")
    assert list(dict.fromkeys(row["panel"] for row in table)) == ["inner", "hadamard", "concat"]
    assert _points(table, "inner", "hypernetwork") == [(2, "0.3125", "0"), (3, "0.375", "1")]
    assert _points(table, "inner", "embedding method") == []
    assert _points(table, "hadamard", "embedding method") == [(2, "", "2"), (3, "", "2")]
    assert _points(table, "concat", "embedding method") == _points(table, "inner", "hypernetwork")
    assert {"inner", "hadamard", "concat", "test MSE"} <= set(texts)
    # The legend is in the first panel, and names the lines of all panels.
    assert {"hypernetwork", "embedding method"} <= set(texts)
    assert (texts.count("1 lost"), texts.count("2 lost")) == (3, 4)
    assert "2" in texts  # a depth, also where no run has ended
    (sentence,) = sentences
    assert sentence.startswith(f"Line 21 of {file.path} is not a row (it has no 'experiment'")


def test_a_logarithmic_axis(tmp_path):
    rates = get_experiment("learning_rate").values

    def result(config):
        return DIVERGED if config["learning_rate"] == rates[-1] else {"test": 0.5}

    _write(tmp_path, "learning_rate", result, seeds=1)
    table, texts, sentences = _drawn(tmp_path, "learning_rate")
    assert sentences == []
    extra = {rate for values in get_experiment("learning_rate").extra_values.values() for rate in values}
    assert {float(row["x"]) for row in table if row["mean"]} == {*rates[:-1], *extra}
    assert {float(row["x"]) for row in table if row["lost"] == "1"} == {rates[-1]}
    assert {r"$\mathdefault{10^{-3}}$", r"$\mathdefault{10^{-2}}$", "learning rate", "test error"} <= set(texts)


def test_curves(tmp_path):
    def result(config):
        curve = {name: [1 / epoch for epoch in range(1, 1 + config["epochs"])] for name in ("f1_f2", "f1_y", "f2_y")}
        return {"test": 0.02, "curve": curve, "test_f1_f2": 0.02, "test_f2_y": 0.02, "variance_of_y": 0.1}

    _write(tmp_path, "assumption_1", result, seeds=2)
    table, texts, _ = _drawn(tmp_path, "assumption_1")
    for panel, epochs in {"cifar10": 50, "mnist": 50, "uniform": 150}.items():
        assert [x for x, _, _ in _points(table, panel, "between f1 and y")] == list(range(1, epochs + 1))
    assert {"between f1 and f2", "between f1 and y", "between f2 and y", "epoch"} <= set(texts)


def test_the_last_value_of_a_curve_is_a_line_beside_the_test_error(tmp_path):
    def result(config):
        return {"test": 0.5, "curve": {"validation_loss": [1.0, config["width"] / 4]}}

    _write(tmp_path, "assumption_2", result, seeds=1, values=(1, 2))
    table, _, _ = _drawn(tmp_path, "assumption_2")
    assert _points(table, "mnist", "test error") == [(1, "0.5", "0"), (2, "0.5", "0")]
    assert _points(table, "mnist", "squared error on validation data") == [(1, "0.25", "0"), (2, "0.5", "0")]


def test_the_figure_of_responses_shows_validation_losses(tmp_path):
    measured = {"test": 0.5, "validation": 0.75, "training_seconds": 1.0, "curve": {}}
    _write(tmp_path, "hyperparameter_response", lambda config: measured, seeds=1)
    table, _, _ = _drawn(tmp_path, "hyperparameter_response")
    assert _points(table, "mnist_linear", "constant") == [(-4, "0.75", "0")]


def test_the_same_rows_make_the_same_files(tmp_path):
    _write(tmp_path, "assumption_2", lambda config: {"test": 1 / config["width"]}, values=(1, 2), seeds=2)
    paths, _ = draw(get_experiment("assumption_2"), tmp_path)
    before = [path.read_bytes() for path in paths]
    draw(get_experiment("assumption_2"), tmp_path)
    assert [path.read_bytes() for path in paths] == before


def test_rows_of_another_experiment_are_drawn_for_comparison(tmp_path):
    _write(tmp_path, "initialization", lambda config: {"test": 0.25}, values=(2,), seeds=1)
    _write(tmp_path, "rotation_depth", lambda config: {"test": 0.5}, values=(2,), seeds=1)
    table, texts, sentences = _drawn(tmp_path, "initialization")
    assert sentences == []
    assert {row["mean"] for row in table if row["panel"] == "mnist"} == {"0.25", "0.5"}
    assert {row["series"] for row in table} <= set(texts)


@pytest.mark.regression
@pytest.mark.parametrize(
    ("varies", "values", "ticks"),
    [
        ("learning_rate", (0.125, 0.25, 0.375), {"0.2", "0.3"}),
        ("rank_of_f", (2, 4, 6), {"2", "4", "6"}),
        ("activation", ("relu", "elu"), {"relu", "elu"}),
    ],
)
def test_an_experiment_of_ones_own(tmp_path, varies, values, ticks):
    """An experiment outside the paper has its own varied quantity and methods."""
    methods = ("hyper", "mine", "yours", "his", "hers")
    changes = {"name": "own", "figure": None, "title": "My results", "methods": methods}
    base = get_experiment("synthetic_depth")
    own = dataclasses.replace(
        base,
        **changes,
        varies=varies,
        values=values,
        panels=("inner",),
        seeds=1,
        setup=lambda panel, method, value, seed, quick: base.setup(panel, method, 3, seed, quick),
    )
    file = ResultsFile(tmp_path / "own.jsonl")
    for config in own.runs():
        file.append(make_row(config, {"test": 0.5}))
    paths, sentences = draw(own, tmp_path)
    assert sentences == []
    texts = re.findall("<!-- (.*?) -->", paths[1].read_text())
    # There are fewer styles than methods.
    assert {"My results", varies.replace("_", " "), "hypernetwork", *methods[1:], *ticks} <= set(texts)
    table = list(csv.DictReader(paths[2].read_text().splitlines()))
    assert {row["x"] for row in table} == set(map(str, values))


@pytest.mark.parametrize(
    "result", [None, lambda config: None, lambda config: DIVERGED], ids=["no file", "none", "lost"]
)
def test_without_a_finished_run_there_is_nothing_to_draw(tmp_path, result):
    if result:
        _write(tmp_path, "rotation_depth", result, values=(2,), seeds=1).path.touch()
    message = f"There are no results of rotation_depth in {re.escape(str(tmp_path))}. Run `keras-hypernet experiment"
    with pytest.raises(ValueError, match=message):
        draw(get_experiment("rotation_depth"), tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".jsonl"}


def test_missing_matplotlib_is_named(monkeypatch, tmp_path):
    _write(tmp_path, "rotation_depth", lambda config: {"test": 0.5}, values=(2,), seeds=1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Figures need optional dependencies: pip install 'keras_hypernet\[plot\]'"):
        draw(get_experiment("rotation_depth"), tmp_path)
