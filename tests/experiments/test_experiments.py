"""The grids of the experiments against the paper's set-up, and the committed results."""

import json
import math
import re
import statistics

import pytest
from helpers import ROOT

from keras_hypernet.experiments import NAMES, get_experiment
from keras_hypernet.experiments.drawing import draw, points, read_rows, write_csv
from keras_hypernet.experiments.experiment import FIELDS, make_row, run_key
from keras_hypernet.experiments.explanations import read_explanations
from keras_hypernet.experiments.paper_claims import CLAIMS
from keras_hypernet.experiments.report import findings, write_report
from keras_hypernet.experiments.rotation import LEARNING_RATES
from keras_hypernet.experiments.rows import ResultsFile, own_rows, results_of
from keras_hypernet.tasks import get_task
from keras_hypernet.training.recipe import Recipe

RESULTS = ROOT / "results"
every = pytest.mark.parametrize("name", NAMES)

_CENTRED = ("d100_h10", "d100_h30", "d300_h10")
# Values, panels and the least number of seeds, as the paper's experiments have them.
GRIDS = {
    "synthetic_depth": (range(2, 10), ("inner", "hadamard", "concat"), 5),
    "synthetic_embedding_dim": (range(1, 9), ("inner", "inner_deeper"), 5),
    "assumption_1": ((50,), ("cifar10", "mnist", "uniform"), 5),
    "rotation_depth": (range(2, 12), ("mnist", "mnist_width_100", "cifar10"), 5),
    "rotation_embedding_dim": ((1, 2, 4), ("mnist", "mnist_depth_5", "cifar10", "cifar10_depth_5"), 3),
    "colorization_depth": (range(2, 10), ("cifar10",), 3),
    "colorization_embedding_dim": (range(1, 9), ("cifar10",), 3),
    "assumption_2": (range(1, 30), ("mnist", "cifar10"), 3),
    "modularity_depth": (
        range(2, 10),
        (
            *_CENTRED,
            *("hadamard_d20", "hadamard_d20_gain_10", "concat_d20", "concat_d20_gain_10"),
        ),
        5,
    ),
    "modularity_embedding_dim": ((1, 2, 4, 8), _CENTRED, 5),
    "modularity_units": (
        *((10, 30, 100, 300), (*_CENTRED, *(f"{target}_best_depths" for target in _CENTRED))),
        5,
    ),
    "modularity_learning_rate": (
        *((0.003, 0.01, 0.03), ("d100_h10", "d100_h10_depth_6", "d100_h30", "d300_h10")),
        5,
    ),
    "initialization": (range(2, 12), ("mnist", "cifar10"), 5),
    "colorization_sensitivity": ((3, 6), ("points_256", "dimension_1000", "epochs_30", "rate_0.03162"), 3),
}


@every
def test_the_setup_says_what_the_experiment_shows_and_how_long_it_takes(name):
    experiment = get_experiment(name)
    assert experiment.name == name
    text = " ".join(experiment.setup.__doc__.split())
    assert re.search(r"Takes about .* on two cores\.", text)
    assert ("Expected:" if experiment.figure == "ours" else "The paper:") in text


@pytest.mark.parametrize("name", GRIDS)
def test_grid_is_the_papers(name):
    values, panels, seeds = GRIDS[name]
    experiment = get_experiment(name)
    assert experiment.values == tuple(values)
    assert experiment.panels == panels
    assert experiment.seeds >= seeds


def test_learning_rates_are_the_papers():
    experiment = get_experiment("learning_rate")
    for panel in ("mnist", "cifar10"):
        rates = sorted({run["learning_rate"] for run in experiment.runs(panels=[panel])})
        assert rates == pytest.approx([10 ** (-4 + j / 4) for j in range(2, 10)], rel=1e-3)


@every
def test_runs_are_distinct_and_come_seed_by_seed(name):
    experiment = get_experiment(name)
    runs = experiment.runs()
    values = [*experiment.values * len(experiment.panels), *sum(experiment.extra_values.values(), ())]
    size = sum(len(experiment.methods_at(value)) for value in values)
    assert set(experiment.extra_values) <= set(experiment.panels)
    assert len(runs) == size * experiment.seeds == len({run_key(run) for run in runs})
    assert [run["seed"] for run in runs] == sorted(run["seed"] for run in runs)
    assert runs[:size] == experiment.runs(seeds=1)
    assert json.loads(json.dumps(runs)) == runs


@every
def test_quick_runs_need_no_network(name):
    runs = get_experiment(name).runs(quick=True)
    assert {run["task"].get("data") for run in runs} <= {"digits", "patches", "uniform", None}
    assert not any(get_task(**run["task"]).arrays_sha256 for run in runs)
    assert len(runs) <= 8


@pytest.mark.regression
@every
def test_the_figure_of_a_quick_grid_has_all_of_its_rows(name, tmp_path):
    """Also where one run, such as that of a constant, has the recipe of the full grid."""
    experiment = get_experiment(name)
    measured = {"test": 1.0, **dict.fromkeys(experiment.measure.also, 1.0)}
    measured["curve"] = {name: [1.0] for name in experiment.drawing.curves}
    rows = [make_row(config, measured) for config in experiment.runs(quick=True)]
    for row in rows:
        results_of(name, tmp_path).append(row)
    assert own_rows(experiment, tmp_path) == (rows, [])


# Some fields of recipe and task that the paper or this project fixed.
@pytest.mark.parametrize(
    ("name", "panel", "method", "value", "recipe", "task"),
    [
        ("rotation_depth", "mnist", "hyper", 7, {"depth": 7, "width": 50, "epochs": 10, "learning_rate": 0.01}, {}),
        ("rotation_depth", "cifar10", "embed", 2, {"depth": 2, "width": 100, "activation": "elu"}, {}),
        ("rotation_depth", "mnist_width_100", "embed", 11, {"depth": 11, "width": 100, "activation": "relu"}, {}),
        ("rotation_embedding_dim", "cifar10_depth_5", "embed", 2, {"depth": 5, "embedding_dim": 20_000}, {}),
        ("rotation_embedding_dim", "mnist", "hyper", 3, {"depth": 3, "rank": 300, "embedding_dim": None}, {}),
        ("rotation_embedding_dim", "mnist", "embed", 3, {"rank": None, "embedding_dim": 30_000}, {}),
        ("synthetic_depth", "inner", "embed", 9, {"embedding_dim": 10_000, "batch_size": 200}, {"dim": 1000}),
        ("synthetic_embedding_dim", "inner", "hyper", 8, {"rank": 800, "width": 100, "depth": 3}, {"dim": 100}),
        ("synthetic_embedding_dim", "inner", "embed", 8, {"embedding_dim": 8000, "epochs": 30}, {"num_train": 30_000}),
        ("synthetic_embedding_dim", "inner_deeper", "hyper", 8, {"rank": None, "depth": 10}, {"dim": 100}),
        ("synthetic_embedding_dim", "inner_deeper", "embed", 8, {"embedding_dim": 8000, "depth": 3}, {"dim": 100}),
        ("modularity_depth", "concat_d20_gain_10", "hyper", 4, {}, {"family": "concat_odd", "gain": 10.0, "dim": 20}),
        ("modularity_depth", "hadamard_d20", "embed", 3, {"depth": 3}, {"hidden_units": 10, "gain": 1.0}),
        ("modularity_depth", "d300_h10", "embed", 7, {"depth": 7, "embedding_dim": 3000, "epochs": 30}, {"dim": 300}),
        ("modularity_depth", "d100_h30", "hyper", 2, {"primary_units": 10, "batch_size": 200}, {"hidden_units": 30}),
        ("modularity_embedding_dim", "d100_h10", "hyper", 8, {"rank": 800, "depth": 3}, {"family": "centred"}),
        ("modularity_units", "d100_h10", "hyper", 10, {"depth": 4, "primary_units": 10}, {"hidden_units": 10}),
        ("modularity_units", "d100_h10", "embed", 300, {"depth": 3, "primary_units": 300}, {"dim": 100}),
        ("modularity_learning_rate", "d100_h30", "embed", 0.03, {"depth": 3, "learning_rate": 0.03}, {}),
        ("modularity_learning_rate", "d100_h10_depth_6", "hyper", 0.003, {"depth": 6}, {"num_train": 30_000}),
        ("assumption_1", "uniform", "network", 50, {"momentum": 0.5, "epochs": 50, "width": 100}, {}),
        ("assumption_2", "mnist", "network", 13, {"width": 13, "optimizer": "adadelta", "learning_rate": 1.0}, {}),
        ("learning_rate", "mnist_hyperfan", "hyper", 0.01, {"initialization": "hyperfan_in", "depth": 4}, {}),
        ("learning_rate", "cifar10_depth_6", "hyper", 0.01, {"depth": 6, "initialization": "fan_in_uniform"}, {}),
        ("learning_rate", "cifar10_depth_6", "embed", 0.01, {"depth": 5, "embedding_dim": 50_000}, {}),
        ("gradient_clipping", "cifar10", "embed", 5.0, {"depth": 4, "gradient_clipnorm": 5.0}, {}),
        ("initialization", "cifar10", "embed", 5, {"initialization": "hyperfan_in", "learning_rate": 0.003162}, {}),
        ("neural_process", "mnist", "process", 4, {"initialization": "fan_in_uniform", "depth": 2}, {"members": 4}),
        ("neural_process", "mnist_hyperfan", "process", 1, {"learning_rate": 0.01778, "depth": 2}, {"members": 1}),
        ("colorization_sensitivity", "points_256", "hyper", 3, {"epochs": 10, "depth": 3}, {"num_points": 256}),
        ("colorization_sensitivity", "dimension_1000", "embed", 3, {"embedding_dim": 1000}, {"num_points": 64}),
        ("colorization_sensitivity", "epochs_30", "embed", 6, {"epochs": 30, "embedding_dim": 63}, {"data": "cifar10"}),
        ("colorization_sensitivity", "rate_0.03162", "hyper", 6, {"learning_rate": 0.03162, "epochs": 10}, {}),
    ],
)
def test_setup(name, panel, method, value, recipe, task):
    received_task, received = get_experiment(name).setup(panel, method, value, 2, False)
    assert {field: getattr(received, field) for field in recipe} == recipe
    assert {field: getattr(received_task, field) for field in task} == task
    assert received.seed == (4 if name == "assumption_1" else 2)


@every
def test_every_panel_has_a_small_setup(name):
    """The quick set-up distinguishes rows of the quick grid."""
    experiment = get_experiment(name)
    for panel in {*experiment.panels, *experiment.quick_panels}:
        for method in experiment.methods:
            _, recipe = experiment.setup(panel, method, experiment.quick_values[0], 0, True)
            assert recipe.epochs <= 3


def _committed(name):
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not in this checkout")
    return ResultsFile(path).read()


@every
def test_committed_rows_are_whole_distinct_and_of_the_grid(name):
    rows, broken = _committed(name)
    assert broken == []
    experiment = get_experiment(name)
    keys = [run_key(row["config"]) for row in rows]
    grid = experiment.runs()
    assert set(keys) <= {run_key(config) for config in grid}
    # Values and seeds may be missing, methods may not.
    done = {(row["panel"], row[experiment.varies], row["seed"]) for row in rows}
    whole = [config for config in grid if (config["panel"], config[experiment.varies], config["seed"]) in done]
    assert set(keys) == set(map(run_key, whole))
    for row in rows:
        assert set(FIELDS) | {experiment.varies} <= set(row)
        assert Recipe(**row["config"]["recipe"]).epochs > 0
        if row["status"] == "finished":
            assert row["test"] >= 0
            assert len(next(iter(row["curve"].values()))) == row["config"]["recipe"]["epochs"]
        else:
            assert row["status"] == "diverged", row["message"]
            assert row["test"] is None


@pytest.fixture
def copied(request, tmp_path):
    """A folder with the committed rows of an experiment's figure, and those of the trivial predictors."""
    for source in {request.param, get_experiment(request.param).drawing.also, "baseline"} - {None}:
        _committed(source)
        (tmp_path / f"{source}.jsonl").write_bytes((RESULTS / f"{source}.jsonl").read_bytes())
    return request.param, tmp_path


every_copied = pytest.mark.parametrize("copied", NAMES, indirect=True)


@every_copied
def test_committed_tables_are_those_of_the_rows(copied):
    name, folder = copied
    rows, _ = _committed(name)
    drawn, broken = read_rows(get_experiment(name), folder)
    assert (drawn[: len(rows)], broken) == (rows, [])
    write_csv(points(get_experiment(name), drawn), folder / "points.csv")
    assert (folder / "points.csv").read_bytes() == (RESULTS / f"{name}.csv").read_bytes(), "run keras-hypernet plot all"
    assert (RESULTS / f"{name}.png").is_file()


@pytest.mark.full
@every_copied
def test_committed_figures_are_those_of_the_rows(copied):
    name, folder = copied
    paths, broken = draw(get_experiment(name), folder)
    assert broken == []
    assert paths[2].read_bytes() == (RESULTS / f"{name}.csv").read_bytes()
    # Texts do not depend on the version of Matplotlib; coordinates do, in the last digit.
    words = [re.findall(r"<!-- (.*) -->", path.read_text()) for path in (paths[1], RESULTS / f"{name}.svg")]
    assert words[0] == words[1] != []


def test_committed_report_is_that_of_the_rows(tmp_path):
    if not (RESULTS / "README.md").exists():
        pytest.skip("results/ is not in this checkout")
    for path in [*RESULTS.glob("*.jsonl"), RESULTS / "explanations.json", RESULTS / "summary.json"]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert text == (RESULTS / "README.md").read_text(encoding="utf-8"), "run keras-hypernet plot all"


def _rows(name):
    """The committed rows of an experiment, of which some may not have been run yet."""
    return ResultsFile(RESULTS / f"{name}.jsonl").read()[0]


def test_explanations_are_those_of_the_verdicts_on_the_committed_rows():
    judged = {
        (claim.text, panel, finding.verdict, finding.seeds)
        for claim in CLAIMS
        for panel, finding in findings(claim, _rows(claim.experiment), _rows("baseline")).items()
        if finding is not None and finding.verdict != "open"
    }
    assert set(read_explanations(RESULTS)) == judged


def test_learning_rates_of_the_principled_initialization_are_those_of_lowest_validation_error():
    """In the mean over the seeds; a run without a result is infinitely bad."""
    results = {}
    for row in _committed("learning_rate")[0]:
        data, _, hyperfan = row["panel"].partition("_")
        if hyperfan == "hyperfan":
            rates = results.setdefault((data, row["method"]), {})
            rates.setdefault(row["learning_rate"], []).append(
                math.inf if row["validation"] is None else row["validation"]
            )
    chosen = {key: min(rates, key=lambda rate: statistics.fmean(rates[rate])) for key, rates in results.items()}
    assert chosen == {key: rate for key, rate in LEARNING_RATES.items() if key[0] != "digits"}


def test_a_method_at_one_value_is_compared_at_all_values():
    """The hypernetwork of `modularity_units` runs at 10 units alone."""
    experiment = get_experiment("modularity_units")
    runs = experiment.runs(panels=["d100_h10"])
    assert [run["units"] for run in runs if run["method"] == "hyper"] == [10] * 5
    tests = {"hyper": {10: 1.0}, "embed": {10: 4.0, 30: 3.0, 100: 2.0, 300: 0.5}}
    rows = [make_row(run, {"test": tests[run["method"]][run["units"]]}) for run in runs]
    assert all(map(experiment.owns, rows))
    assert not experiment.owns({**rows[0], "units": 30})
    verdicts = {
        claim.text.partition(", ")[2]: findings(claim, rows)["d100_h10"]
        for claim in CLAIMS
        if claim.experiment == "modularity_units"
    }
    better, improves = verdicts.values()
    assert "lower at 3 of 4 values of units, not at 300" in better.measured
    assert (better.verdict, improves.verdict) == ("partly", "reproduced")


def test_every_prediction_is_of_a_claim_and_its_panels():
    predicted = [claim for claim in CLAIMS if claim.predicted]
    assert predicted
    for claim in predicted:
        assert tuple(claim.predicted) == (claim.rule.panels or get_experiment(claim.experiment).panels)
        assert set(claim.predicted.values()) <= {"reproduced", "partly", "not"}


def test_claims_are_of_the_experiments():
    for claim in CLAIMS:
        assert set(claim.rule.panels) <= set(get_experiment(claim.experiment).panels)
