"""Trivial predictors against plain NumPy, how rows find theirs, and that no verdict ignores them."""

import numpy as np
import pytest
from helpers import ROOT

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.baseline import (
    PREDICTORS,
    REFERENCES,
    best_trivial,
    by_target,
    measure,
    predictors_of,
    target_of,
)
from keras_hypernet.experiments.claims import Finding, Rule
from keras_hypernet.experiments.drawing import draw
from keras_hypernet.experiments.entries import trivial_predictors, update_baselines
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.paper_claims import CLAIMS
from keras_hypernet.experiments.report import complete_rows, findings
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.tasks import ClassificationTask, ColorizationTask, RotationTask, SyntheticTask, get_task
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.store import list_entries

RESULTS = ROOT / "results"
SMALL = SyntheticTask("concat", dim=5, num_train=400, num_validation=60, num_test=200)


def _measured(task, predictor):
    return measure(task, predictor, paper_recipe(task, epochs=1))


@pytest.mark.parametrize(("predictor", "names"), [("constant", ()), ("linear_x", "x"), ("linear_both", "xI")])
def test_least_squares_is_numpys(predictor, names):
    def columns(split):
        examples = SMALL.load(split)
        parts = [examples[{"x": "x", "I": "condition"}[name]] for name in names]
        return np.hstack([*parts, np.ones((len(examples["y"]), 1))]), examples["y"]

    inputs, y = columns("train")
    weights = np.linalg.lstsq(inputs, y, rcond=None)[0]
    errors = {
        split: np.mean((columns(split)[0] @ weights - columns(split)[1]) ** 2) for split in ("validation", "test")
    }
    measured = _measured(SMALL, predictor)
    assert {split: measured[split] for split in errors} == pytest.approx(errors, rel=1e-4)


def test_the_constant_of_labels_is_the_most_frequent_class():
    task = ClassificationTask("digits")
    (_, train), (_, test) = task.load("train"), task.load("test")
    expected = np.mean(test != np.bincount(train).argmax())
    assert _measured(task, "constant")["test"] == pytest.approx(expected, rel=1e-5)


def test_linear_models_of_images_beat_a_constant_where_x_tells_something():
    task = RotationTask("digits")
    errors = {name: _measured(task, name)["test"] for name in ("constant", "linear_x", "linear_both")}
    assert errors["linear_x"] < errors["constant"] - 0.2
    assert errors["constant"] == pytest.approx(11 / 12, abs=0.06)


def test_least_squares_on_points_is_numpys():
    """Each point has its position and the whole grey image of its example."""
    task = ColorizationTask("patches", num_points=500)

    def columns(split):
        inputs, y = next(iter(task.evaluation_dataset(split, 10_000)))
        x = np.asarray(inputs["x"], "float64").reshape(-1, 2)
        return np.hstack([x, np.ones((len(x), 1))]), np.asarray(y).reshape(-1, 3)

    weights = np.linalg.lstsq(*columns("train"), rcond=None)[0]  # of all points
    inputs, y = columns("test")
    assert _measured(task, "linear_x")["test"] == pytest.approx(np.mean((inputs @ weights - y) ** 2), rel=0.01)


def test_mean_grey_and_mean_image_are_numpys():
    task = ColorizationTask("patches")
    colours = {split: task.load(split) / 127.5 - 1 for split in ("train", "test")}
    weights = np.array([0.299, 0.587, 0.114])
    greys = {split: (images @ weights).mean(axis=(1, 2))[:, None, None, None] for split, images in colours.items()}
    offset = (colours["train"] - greys["train"]).mean(axis=0)
    expected = np.mean((greys["test"] + offset - colours["test"]) ** 2)
    assert _measured(task, "mean_grey")["test"] == pytest.approx(expected, rel=5e-3)


def test_a_bilinear_form_is_found_and_does_not_use_the_test_split():
    """With enough samples the form is least squares on all products of an entry of x and one of I."""
    task = SyntheticTask("centred", dim=6, hidden_units=4, num_train=4000, num_validation=1000, num_test=500)

    def products(split):
        part = task.load(split)
        return (part["x"][:, :, None] * part["condition"][:, None, :]).reshape(len(part["x"]), -1), part["y"][:, 0]

    weights = np.linalg.lstsq(*products("train"), rcond=None)[0]
    inputs, y = products("test")
    assert _measured(task, "bilinear")["test"] == pytest.approx(np.mean((inputs @ weights - y) ** 2), rel=0.05)
    assert _measured(task, "linear_both")["test"] > 0.95 * y.var()


def test_a_network_of_x_alone_has_the_hidden_units_of_g(monkeypatch):
    from keras_hypernet.experiments import baseline

    built = []
    monkeypatch.setattr(
        baseline,
        "train_and_measure",
        lambda task, method, recipe: built.append((task, method, recipe)) or {"test": 1.0},
    )
    for task in (SMALL, RotationTask("digits"), ColorizationTask("patches", num_points=3)):
        assert measure(task, "network_x", paper_recipe(task)) == {"test": 1.0}
        alone, method, recipe = built[-1]
        assert (alone.inputs, method, recipe.width) == (("x",), "network", 10)
        assert alone.config() == task.config()
        whole, batch = (next(iter(each.evaluation_dataset("test", 7))) for each in (task, alone))
        np.testing.assert_array_equal(batch[0], whole[0]["x"])
        np.testing.assert_array_equal(batch[1], whole[1])


def test_a_network_of_x_alone_learns_nothing_of_interaction():
    task = SyntheticTask("centred", dim=4, hidden_units=4, num_train=400, num_validation=50, num_test=400)
    measured = measure(task, "network_x", paper_recipe(task, epochs=2))
    assert measured["test"] == pytest.approx(10, rel=0.4)
    assert len(measured["curve"]["loss"]) == 2


def test_tasks_of_one_target_are_one():
    configs = [
        {"name": "rotation", "data": "mnist"},
        {"name": "rotation_set", "data": "mnist", "members": 4},
        {"name": "rotation_set", "data": "mnist", "members": 1},
    ]
    assert len({target_of(config) for config in configs}) == 1
    assert target_of({"name": "synthetic", "seed": 3}) == target_of(SyntheticTask(seed=0).config())
    assert target_of(SyntheticTask(dim=100).config()) != target_of(SyntheticTask().config())
    assert target_of({"name": "mine", "size": 3}) == target_of({"name": "mine", "size": 3, "seed": 1})


def _rows(experiment, result, **grid):
    return [make_row(config, {"test": result(config)}) for config in get_experiment(experiment).runs(**grid)]


def _baselines(**errors):
    return _rows("baseline", lambda run: errors[run["predictor"]] + run["seed"] / 100, panels=["d100_h10"])


ERRORS = {"constant": 10.0, "linear_x": 9.5, "linear_both": 9.0, "network_x": 9.9, "bilinear": 0.1}


def test_rows_find_the_medians_of_their_predictors():
    baselines = by_target(_baselines(**ERRORS))
    rows = _rows("modularity_depth", lambda run: 1.0, panels=["d100_h10"], seeds=2)
    predictors = predictors_of(rows, baselines)
    assert predictors == pytest.approx({name: error + 0.02 for name, error in ERRORS.items()})
    # And not the bilinear form, which is a reference.
    assert best_trivial(predictors) == ("linear in x and I", pytest.approx(9.02))
    others = _rows("modularity_depth", lambda run: 1.0, panels=["d300_h10"], seeds=1)
    assert predictors_of(others, baselines) == {} == predictors_of([*rows, *others], baselines)
    assert best_trivial({}) is None


@pytest.mark.parametrize(
    ("hyper", "embed", "verdict"),
    [(2.0, 8.0, "reproduced"), (9.5, 20.0, "nothing learned"), (20.0, 9.5, "nothing learned"), (20.0, 8.9, "not")],
)
def test_no_verdict_where_a_trivial_predictor_is_better(hyper, embed, verdict):
    """The trivial predictor's error is 9.02."""
    tests = {"hyper": hyper, "embed": embed}
    rows = _rows("modularity_depth", lambda run: tests[run["method"]], panels=["d100_h10"])
    claim = next(claim for claim in CLAIMS if "from three layers on" in claim.text and "interaction" in claim.text)
    finding = findings(claim, rows, _baselines(**ERRORS))["d100_h10"]
    assert finding.verdict == verdict
    assert finding.measured.endswith("; best trivial predictor: linear in x and I, 9.02")
    assert findings(claim, rows)["d100_h10"].verdict != "nothing learned"


def test_an_open_verdict_stays_open():
    rows = _rows("modularity_depth", lambda run: 20.0, panels=["d100_h10"], seeds=2)
    rule = Rule("text", lambda rows, varies: Finding("m", "t", "open", 2))
    assert rule.finding(rows, "depth", ("constant", 9.0)).verdict == "open"


def test_figures_show_the_predictors(tmp_path):
    for name, rows in {
        "modularity_depth": _rows("modularity_depth", lambda run: 3.0, panels=["d100_h10"], seeds=1),
        "baseline": _baselines(**ERRORS),
    }.items():
        for row in rows:
            ResultsFile(tmp_path / f"{name}.jsonl").append(row)
    paths, sentences = draw(get_experiment("modularity_depth"), tmp_path)
    assert sentences == []
    text = paths[1].read_text()
    for label in ("bilinear form", "above: linear in x and I 9.02", "above: network of x alone, constant 9.92"):
        assert f"<!-- {label} -->" in text
    draw(get_experiment("baseline"), tmp_path)


def _committed(name):
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not in this checkout")
    return ResultsFile(path).read()[0]


# Trivial predictors that are methods of the experiment itself.
OWN = {"constant", "constant_linear", "constant_chebyshev", "prior"}


def test_every_judged_panel_has_trivial_predictors():
    """But for panels whose rows are of several targets, or hold trivial predictors of their own."""
    baseline = get_experiment("baseline")
    known = {target_of(config["task"]) for config in baseline.runs(seeds=1)}
    for claim in CLAIMS:
        experiment = get_experiment(claim.experiment)
        for panel in claim.rule.panels or experiment.panels:
            if OWN & set(experiment.methods):
                continue
            targets = {target_of(config["task"]) for config in experiment.runs(seeds=1, panels=[panel])}
            assert targets <= known, (claim.experiment, panel)
            assert len(targets) == 1


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.text)
def test_no_committed_verdict_ignores_a_trivial_predictor(claim):
    """Computed anew from the rows: the least median of the claim's methods against the least median of a predictor."""
    field, methods = claim.rule.field, claim.rule.methods
    if field == "training_seconds":  # is no error: a constant takes no time
        return

    def number(row):
        found = row[field] if field in row else (row["curve"].get(field) or [None])[-1]
        return np.inf if found is None else found

    experiment = get_experiment(claim.experiment)
    rows, baseline = _committed(claim.experiment), _committed("baseline")
    for panel, finding in findings(claim, rows, baseline).items():
        mine = complete_rows(experiment, panel, rows, claim.rule)
        if finding is None or finding.verdict == "open":
            continue
        tests, trivial = {}, {}
        for row in mine:
            if row["method"] in OWN:
                trivial.setdefault(row["method"], []).append(number(row))
            elif not methods or row["method"] in methods:
                tests.setdefault((row["method"], row[experiment.varies]), []).append(number(row))
        target = target_of(mine[0]["config"]["task"])
        for row in baseline:
            same = target_of(row["config"]["task"]) == target
            if same and row["predictor"] not in REFERENCES and number(row) < np.inf:
                trivial.setdefault(row["predictor"], []).append(number(row))
        if not trivial:  # not run yet
            assert finding.verdict != "nothing learned"
            continue
        best = min(np.median(values) for values in trivial.values())
        learned = min(np.median(values) for values in tests.values()) < best
        assert (finding.verdict == "nothing learned") != learned, (claim.text, panel)


def test_predictors_are_named():
    experiment = get_experiment("baseline")
    values = {*experiment.values, *sum(experiment.extra_values.values(), ())}
    assert values == set(PREDICTORS) > set(REFERENCES)


def test_cards_have_the_predictors_of_their_own_seed_if_it_was_run(tmp_path):
    rows = [row for row in _baselines(**ERRORS) if row["seed"] < 2]
    for row in rows:
        ResultsFile(tmp_path / "baseline.jsonl").append(row)

    def found(seed):
        task = SyntheticTask("centred", dim=100, hidden_units=10, seed=seed)
        return trivial_predictors("mine", task, tmp_path)

    assert found(1) == pytest.approx(
        {
            **{"constant": 10.01, "linear in x": 9.51},
            **{"linear in x and I": 9.01, "network of x alone": 9.91},
        }
    )
    assert found(3) is None  # another seed is another target
    assert trivial_predictors("mine", SyntheticTask(), tmp_path) is None
    update_baselines(tmp_path / "none", tmp_path)  # no cards


@pytest.mark.parametrize("card", list_entries(), ids=lambda card: card.name)
def test_committed_cards_have_the_committed_predictors(card):
    _committed("baseline")
    advice = "run keras_hypernet.experiments.entries.update_baselines('zoo', 'results')"
    assert card.baseline == trivial_predictors(card.name, get_task(**card.task), RESULTS), advice
