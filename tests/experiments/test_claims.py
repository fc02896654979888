"""Points of figures, statistics and verdicts, against plain NumPy and by enumeration; the report."""

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest

from keras_hypernet.experiments import claims, get_experiment
from keras_hypernet.experiments.drawing import points, write_csv
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.paper_claims import CLAIMS
from keras_hypernet.experiments.report import complete_rows, findings, write_report
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.statistics import holm, resampled, table, trend, wilcoxon

ROTATION = get_experiment("rotation_depth")


def rows(tests, method="hyper", panel="mnist", varies="depth"):
    """Rows of one method: `tests[seed][number]` of the values 2, 3, ...; None for a run that diverged."""
    return [
        {
            "experiment": "rotation_depth",
            "panel": panel,
            "method": method,
            varies: value,
            "seed": seed,
            "status": "diverged" if test is None else "finished",
            "test": test,
            "metric": "error",
            "curve": {},
        }
        for seed, values in enumerate(tests)
        for value, test in enumerate(values, start=2)
    ]


def test_points_are_means_and_standard_deviations():
    tests = np.random.default_rng(0).uniform(0.1, 0.5, (5, 3))
    shown = points(ROTATION, rows(tests, "embed") + rows(2 * tests, "hyper"))
    assert [(point["series"], point["x"]) for point in shown] == [
        *(("hypernetwork", x) for x in (2, 3, 4)),
        *(("embedding method", x) for x in (2, 3, 4)),
    ]
    np.testing.assert_allclose([point["mean"] for point in shown[3:]], tests.mean(axis=0))
    np.testing.assert_allclose([point["stddev"] for point in shown[:3]], 2 * tests.std(axis=0, ddof=1))
    assert {point["runs"] for point in shown} == {5}


def test_points_leave_out_and_count_diverged_runs():
    first, second = points(ROTATION, rows([[0.2, None], [0.4, None], [None, None]]))
    assert (first["mean"], first["runs"], first["lost"]) == (pytest.approx(0.3), 3, 1)
    assert (second["mean"], second["stddev"], second["lost"]) == (None, None, 3)


def test_points_of_curves_go_by_epoch():
    experiment = get_experiment("assumption_1")
    row = {"panel": "mnist", "method": "network", "epochs": 2, "config": {"recipe": {"epochs": 2}}}
    curve = {"f1_f2": [3.0, 1.0], "f1_y": [4.0, 2.0], "f2_y": [5.0, 2.5]}
    diverged = {**row, "curve": {}, "seed": 2}
    shorter = {**row, "curve": {"f1_f2": [7.0]}, "epochs": 1, "config": {"recipe": {"epochs": 1}}, "seed": 0}
    rows = [{**row, "curve": curve, "seed": 0}, {**row, "curve": curve, "seed": 1}, diverged]
    shown = points(experiment, [shorter, *rows])
    assert [(point["series"], point["x"], point["mean"]) for point in shown[:4]] == [
        ("between f1 and f2", 1, 3.0),
        ("between f1 and f2", 2, 1.0),
        ("between f1 and y", 1, 4.0),
        ("between f1 and y", 2, 2.0),
    ]
    assert {(point["runs"], point["lost"]) for point in shown} == {(3, 1)}


def test_csv_holds_the_points(tmp_path):
    write_csv(points(ROTATION, rows([[0.25], [0.75]])), tmp_path / "points.csv")
    assert (tmp_path / "points.csv").read_text().splitlines() == [
        "panel,series,x,mean,stddev,runs,lost",
        "mnist,hypernetwork,2,0.5,0.353553,2,0",
    ]


def test_tables_are_of_one_method_by_seed_and_value():
    some = rows([[0.1, 0.2], [0.3, None]]) + rows([[0.5, 0.6], [0.7, 0.8]], "embed")
    np.testing.assert_array_equal(table(some[::-1], "hyper", "depth"), [[0.1, 0.2], [0.3, np.inf]])
    np.testing.assert_array_equal(table(some, "embed", "depth"), [[0.5, 0.6], [0.7, 0.8]])


def test_wilcoxon_is_the_share_of_signs_at_least_as_extreme():
    differences = np.random.default_rng(3).normal(-0.4, 1, 9)
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = ranks[differences > 0].sum()
    sums = [ranks @ signs for signs in itertools.product((0, 1), repeat=9)]
    assert wilcoxon(np.exp(differences)) == pytest.approx(np.mean(np.array(sums) <= observed))


def test_wilcoxon_ranks_diverged_runs_as_worst():
    assert wilcoxon(np.array([0.0] * 5)) == pytest.approx(1 / 32)
    assert wilcoxon(np.array([np.inf] * 5)) == 1.0
    assert wilcoxon(np.ones(5)) == 1.0
    assert trend(np.array([[np.inf, 1.0]] * 3)) == (0.125, "Wilcoxon's signed-rank test")


def test_wilcoxon_of_equal_values_is_exact():
    differences = np.array([0, -1, -2, -3, -4])
    # Without the equal pair, one of 16 outcomes is as extreme.
    assert wilcoxon(np.exp(differences)) == 1 / 16


def test_trend_depends_on_ranks_only():
    falling = np.array([[4.0, 3.0, 2.0, 1.0]] * 3) + np.random.default_rng(0).uniform(0, 0.1, (3, 4))
    # All seeds ranked perfectly: of the (4!)^3 outcomes only one is as extreme.
    assert trend(falling) == (pytest.approx(1 / 24**3), "Page's trend test")
    assert trend(falling[:, ::-1])[0] > 0.99
    assert trend(np.array([[4.0, 3.0, 2.0, np.inf]] * 3))[0] > 0.5
    assert trend(np.array([[2.0, 1.0]] * 5)) == (pytest.approx(1 / 32), "Wilcoxon's signed-rank test")
    # Of the 4! orders of one seed only one is as extreme.
    assert trend(falling[:1]) == (pytest.approx(1 / 24), "Kendall's trend test")


def _both(hyper, embed, varies="depth"):
    return rows(hyper, varies=varies) + rows(embed, "embed", varies=varies)


@pytest.mark.parametrize(
    ("hyper", "embed", "verdict"),
    [
        ([[0.1] * 4] * 5, [[0.5] * 4] * 5, "reproduced"),
        ([[0.4] * 4] * 5, [[0.5] * 4] * 5, "partly"),
        ([[0.1] * 4] * 4 + [[0.3] * 4], [[0.5] * 4] * 5, "partly"),
        ([[0.5] * 4] * 5, [[0.4] * 4] * 5, "not"),
        ([[None] * 4] * 5, [[0.4] * 4] * 5, "not"),
        ([[None] * 4] * 5, [[None] * 4] * 5, "not"),
        ([[0.1] * 4] * 5, [[None] * 4] * 5, "reproduced"),
        ([[0.1] * 4] * 2, [[0.5] * 4] * 2, "open"),
    ],
)
def test_better_by_a_wide_margin(hyper, embed, verdict):
    finding = claims.better(wide=0.5).judge(_both(hyper, embed), "depth")
    assert finding.verdict == verdict
    assert f"over {len(hyper)} seeds" in finding.test
    assert ("diverged" in finding.measured) == (None in hyper[0] + embed[0])


def test_better_is_measured_seed_by_seed():
    finding = claims.better().judge(_both([[0.1, 0.4]] * 4 + [[0.4, 0.4]], [[0.2, 0.2]] * 5), "depth")
    assert finding.measured.startswith(
        "ratio of hyper to embed 1.25 (1.25 to 2 by seed), 95% interval of the mean 1.25 to 1.66; medians over the "
        "seeds lower at 1 of 2"
    )
    assert finding.verdict == "not"


def test_better_at_every_value():
    hyper, embed = [[0.1, 0.1, 0.1]] * 3, [[0.5] * 3] * 3
    judge = claims.better(everywhere=True).judge
    assert judge(_both(hyper, embed), "depth").verdict == "reproduced"
    finding = judge(_both([[0.1, 0.1, 0.6]] * 3, embed), "depth")
    assert finding.verdict == "partly"
    assert "lower at 2 of 3 values of depth, not at 4" in finding.measured


def test_better_at_the_value_of_lowest_validation_error():
    """The hypernetwork's validation error prefers the second value, the embedding method's the first."""
    both = _both([[0.3, 0.1, 0.05]] * 4 + [[0.3, 0.2, 0.05]], [[0.5, 0.05, None]] * 5)
    for row in both:
        preferred = {"hyper": 3, "embed": 2}[row["method"]]
        row["validation"] = None if row["test"] is None else abs(row["depth"] - preferred)
    finding = claims.better(wide=claims.WIDE, at_best=True).judge(both, "depth")
    assert finding.measured.startswith("ratio of hyper to embed 0.2 (0.2 to 0.4 by seed), 95% interval of the mean 0.2")
    assert finding.measured.endswith("; medians hyper 0.1 at depth 3, embed 0.5 at depth 2")
    assert finding.verdict == "reproduced"
    assert claims.better(wide=0.3, at_best=True).judge(both, "depth").verdict == "partly"
    swapped = [{**row, "method": {"hyper": "embed", "embed": "hyper"}[row["method"]]} for row in both]
    assert claims.better(wide=claims.WIDE, at_best=True).judge(swapped, "depth").verdict == "not"


@pytest.mark.parametrize(
    ("tests", "holds", "verdict"),
    [
        ([[0.8, 0.7, 0.6, 0.5, 0.4]] * 3, True, "reproduced"),
        ([[0.8, 0.7, 0.6, 0.5, 0.4]] * 3, False, "not"),
        ([[0.4, 0.5, 0.6, 0.7, 0.8]] * 3, True, "not"),
        ([[0.4, 0.5, 0.6, 0.7, 0.8]] * 3, False, "reproduced"),
        ([[0.5, 0.9, 0.9, 0.8, 0.4]] * 3, True, "partly"),
        ([[0.5, 0.9, 0.9, 0.8, 0.49]] * 3, True, "not"),  # 2% lower, which is no trend
        ([[0.5, 0.49, 0.48, 0.47, 0.46]] * 3, True, "not"),  # 8% lower, which is below the tolerance
        ([[0.5, 0.49, 0.48, 0.47, 0.46]] * 3, False, "partly"),
        ([[0.5, 0.9, 0.9, 0.8, 0.4]] * 3, False, "partly"),
        ([[None, 0.9, 0.8, 0.7, 0.6]] * 3, True, "reproduced"),
        ([[None, 0.6, 0.7, 0.8, 0.9]] * 3, True, "partly"),  # only divergence falls
        ([[None, None, None, None, 0.9]] * 3, True, "partly"),
        ([[0.8, 0.7, 0.6, 0.5, None]] * 3, True, "not"),
        ([[0.8, 0.7, 0.6, 0.5, None]] * 3, False, "partly"),
        ([[None, 0.6, 0.7, 0.8, 0.9]] * 3, False, "partly"),
        ([[None] * 5] * 3, True, "open"),
        ([[None] * 5] * 3, False, "open"),
        ([[0.8, 0.7, 0.6, 0.5, 0.4]] * 2, True, "open"),
    ],
)
def test_improves(tests, holds, verdict):
    finding = claims.improves("hyper", holds).judge(rows(tests), "depth")
    assert finding.verdict == verdict
    assert f"Page's trend test over {len(tests)} seeds" in finding.test
    assert finding.seeds == len(tests)


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ([[0.4, 0.5, 0.6, 0.7, 0.8]] * 3, "reproduced"),
        ([[0.5, 0.1, 0.9, 0.8, 0.5]] * 3, "reproduced"),  # only the ends count
        ([[0.5, 0.49, 0.48, 0.47, 0.46]] * 3, "reproduced"),  # 8% lower
        ([[0.8, 0.7, 0.6, 0.5, 0.4]] * 3, "not"),
        ([[0.5, 0.5, 0.5]] * 2 + [[0.5, 0.5, 0.2]], "partly"),  # one seed of three falls
        ([[0.5, 0.5, 0.5]] * 4 + [[0.5, 0.5, 0.44]], "reproduced"),  # and by little
        ([[0.8, 0.7, None]] * 3, "reproduced"),
        ([[None, 0.7, 0.8]] * 3, "not"),
        ([[None] * 5] * 3, "open"),
        ([[0.4, 0.5, 0.6]] * 2, "open"),
    ],
)
def test_stays(tests, verdict):
    finding = claims.stays("hyper").judge(rows(tests), "depth")
    assert finding.verdict == verdict
    assert "bootstrap" in finding.test


def test_a_registered_rule_counts_every_significant_fall():
    tests = [[0.5, 0.49, 0.48, 0.47, 0.46]] * 3
    assert claims.improves("hyper", least=0).judge(rows(tests), "depth").verdict == "reproduced"


@pytest.mark.regression
def test_a_limit_above_one_is_tested_at_the_limit():
    """Five seeds with a ratio of 2: the claim is that it is below 6."""
    finding = claims.better(wide=6.0).judge(_both([[2.0] * 3] * 5, [[1.0] * 3] * 5), "depth")
    assert finding.verdict == "reproduced"
    assert finding.p == pytest.approx(1 / 32)


def test_todays_rule_stands_beside_the_registered_one():
    """A fall by 8% is significant, and below the tolerance."""
    falls = rows([[0.5, 0.49, 0.48, 0.47, 0.46]] * 3)
    finding = claims.beside(claims.improves("hyper", least=0), claims.improves("hyper")).judge(falls, "depth")
    assert finding.verdict == "reproduced"
    assert "today's rule: not, Page's trend test" in finding.measured


@pytest.mark.parametrize(("worst", "edge"), [(0.499, True), (0.48, True), (0.47, False), (0.51, True), (0.9, False)])
def test_a_verdict_near_its_threshold_is_marked(worst, edge):
    """The ratio of the last seed is `worst`, the threshold 0.5."""
    hyper = [[0.1] * 4] * 4 + [[0.5 * worst] * 4]
    assert claims.better(wide=0.5).judge(_both(hyper, [[0.5] * 4] * 5), "depth").edge == edge


@pytest.mark.regression
@pytest.mark.parametrize(("ratio", "edge"), [(0.99, True), (0.9, False), (1.02, True), (1.2, False)])
def test_a_verdict_near_the_threshold_of_one_value_is_marked(ratio, edge):
    """The medians over the seeds decide at each value, also those of a verdict that is not "reproduced"."""
    both = _both([[0.1, 0.1, ratio, 0.1]] * 5, [[1.0] * 4] * 5)
    finding = claims.better(everywhere=True).judge(both, "depth")
    assert (finding.verdict == "reproduced") == (ratio < 1)
    assert finding.edge == edge


@pytest.mark.regression
@pytest.mark.parametrize(("constant", "verdict", "edge"), [(0.3, "not", False), (0.21, "not", True), (0.2, "no", True)])
def test_a_verdict_near_a_trivial_predictor_is_marked(constant, verdict, edge):
    some = [*rows([[0.2] * 3] * 5), *rows([[constant] * 3] * 5, "constant")]
    finding = claims.held(claims.improves("hyper"), "constant").finding(some, "depth")
    assert (finding.verdict, finding.edge) == (f"{verdict}thing learned" if verdict == "no" else verdict, edge)


@pytest.mark.regression
def test_a_trivial_predictor_is_compared_by_the_number_that_is_judged():
    some = [*rows([[0.2] * 3] * 5), *rows([[0.5] * 3] * 5, "constant")]
    for row in some:
        row["inferred"] = 0.8 if row["method"] == "hyper" else 0.7
    rule = claims.held(claims.measured_by(claims.reaches("hyper", {"mnist": 0.9}), "inferred"), "constant")
    finding = rule.finding(some, "depth")
    assert finding.measured.endswith("best trivial predictor: a constant, 0.7")
    assert finding.verdict == "nothing learned"


@pytest.mark.regression
def test_a_claim_about_a_method_compares_this_method_with_trivial_predictors():
    both = _both([[0.1] * 4] * 5, [[0.5] * 4] * 5)
    for rule, verdict in ((claims.stays("embed"), "nothing learned"), (claims.stays("hyper"), "reproduced")):
        assert rule.finding(both, "depth", ("constant", 0.4)).verdict == verdict


def test_an_open_verdict_is_not_marked():
    assert not claims.better(wide=0.5).judge(_both([[0.2499] * 4] * 2, [[0.5] * 4] * 2), "depth").edge


def test_intervals_are_of_all_resamples():
    quotients = np.array([0.5, 1.0, 4.0])
    means = sorted(np.exp(np.mean(np.log(draw))) for draw in itertools.product(quotients, repeat=3))
    np.testing.assert_allclose(resampled(quotients), means)
    many = np.exp(np.random.default_rng(0).normal(0, 1, 40))
    error = np.std(np.log(many), ddof=1) / np.sqrt(40)
    interval = np.quantile(resampled(many), (0.025, 0.975))
    np.testing.assert_allclose(np.diff(np.log(interval)), 2 * 1.96 * error, rtol=0.1)
    assert resampled(np.array([0.0, np.inf])).min() > 0


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_fewer():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert len(holm([])) == 0


def test_every_threshold_has_its_date_and_what_it_changed():
    for value, date, change in claims.THRESHOLDS.values():
        assert value > 0
        assert re.fullmatch(r"2026-\d\d-\d\d", date)
        assert change


def test_improves_measures_also_without_the_values_at_which_runs_diverged():
    tests = [[None, 0.9, 0.8, 0.7, 0.6], [None, 0.9, 0.8, 0.7, 0.6], [None, None, 0.8, 0.7, 0.6]]
    finding = claims.improves("hyper").judge(rows(tests), "depth")
    assert finding.measured.endswith("diverged: 4 of 15, at 2, 3; without these, p = 0.005")  # 1 of 6^3 outcomes
    finding = claims.improves("hyper").judge(rows([[None, *tests[0][1:]]] * 3), "depth")
    assert finding.measured.endswith("diverged: 3 of 15, at 2; without that value, p = 7e-05")  # 1 of 24^3
    finding = claims.improves("hyper").judge(rows([[None, None, 0.5]] * 3), "depth")
    assert finding.measured.endswith("diverged: 6 of 9, at 2, 3; without these, too few are left for a test")


def test_closer():
    def row(between, first, second):
        curve = {"f1_f2": [1.0, between, 9.0], "f1_y": [2.0, first, 9.0], "f2_y": [2.0, second, 9.0]}
        return {"status": "finished", "curve": curve, "variance_of_y": 0.9}

    judge = claims.closer(2).judge
    near = [row(0.1 + number / 100, 0.5, 0.6) for number in range(5)]
    finding = judge(near, "epochs")
    assert finding.verdict == "reproduced"
    assert finding.measured == (
        "between f1 and f2 0.12, from y 0.5, which itself has the variance 0.9; ratio 0.24 (0.2 to 0.28 by seed), "
        "95% interval of the mean 0.215 to 0.264, 0.5 after the first epoch"
    )
    assert judge(near[:2], "epochs").verdict == "open"
    assert judge([*near, row(0.4, 0.5, 0.6)], "epochs").verdict == "partly"
    assert judge([*near, row(0.7, 0.5, 0.6)], "epochs").verdict == "not"
    assert claims.closer().judge(near, "epochs").measured.startswith("between f1 and f2 9, from y 9")
    lost = [*near, {"status": "diverged"}]
    finding = judge(lost, "epochs")
    assert finding.measured.endswith(
        "ratio 0.25 (0.2 to infinite by seed), 0.5 after the first epoch; diverged: 1 of 6"
    )
    assert (finding.verdict, finding.seeds) == ("not", 6)
    assert judge(lost[-1:], "epochs").verdict == "open"


def test_each_step():
    def judge(tests):
        return claims.EACH_STEP.judge(rows(tests, "network", varies="width"), "width")

    assert judge([[0.9, 0.7, 0.5, 0.3]] * 3).verdict == "reproduced"
    finding = judge([[0.9, 0.7, 0.71, 0.3]] * 3)
    assert finding.verdict == "partly"
    assert "it falls in 2 of 3 steps" in finding.measured
    assert judge([[0.3, 0.5, 0.7, 0.9]] * 3).verdict == "not"
    assert judge([[0.9, None, None, 0.3]] * 3).verdict != "reproduced"


def test_each_step_by_the_loss_on_the_validation_split():
    some = rows([[0.5, 0.6, 0.7]] * 3, "network", varies="width")
    for row in some:
        row["curve"] = {"validation_loss": [9.0, 1 / row["width"]]}
    rule = claims.measured_by(claims.EACH_STEP, "validation_loss")
    finding = rule.finding(some, "width")
    assert finding.verdict == "reproduced"
    assert finding.measured.startswith("mean 0.5 at width 2, 0.25 at 4; it falls in 2 of 2 steps")
    assert claims.EACH_STEP.judge(some, "width").verdict == "not"
    some[0]["curve"] = {}  # a run that diverged in its first epoch
    assert "diverged: 1 of 9" in rule.finding(some, "width").measured


def test_every_experiment_has_enough_seeds_for_its_claims():
    assert all(get_experiment(claim.experiment).seeds >= claims.LEAST_SEEDS for claim in CLAIMS)


def test_incomplete_seeds_are_not_judged_and_failed_runs_count_as_not_run():
    grid = [row for row in _grid_rows() if not (row["seed"] == 1 and row["depth"] == 9)]
    grid[0]["status"] = "failed"
    assert {row["seed"] for row in complete_rows(ROTATION, "mnist", grid)} == {2}


def test_values_beside_the_grid_are_not_judged():
    more = [{**row, "depth": 12} for row in _grid_rows() if row["depth"] == 9 and row["seed"] < 2]
    assert complete_rows(ROTATION, "mnist", [*more, *_grid_rows()]) == _grid_rows()
    assert complete_rows(ROTATION, "mnist", more) == []


def test_a_limited_rule_needs_and_judges_its_values_alone():
    grid = [row for row in _grid_rows() if not (row["seed"] == 1 and row["depth"] == 9)]
    rule = dataclasses.replace(claims.better(), first=3, last=8)
    judged = complete_rows(ROTATION, "mnist", grid, rule)
    assert {(row["seed"], row["depth"]) for row in judged} == {
        (seed, depth) for seed in range(3) for depth in range(3, 9)
    }
    assert rule.text == claims.better().text


def test_report_counts_missing_runs_and_leaves_out_failed_ones(tmp_path):
    experiment = get_experiment("synthetic_baseline")
    results = ResultsFile(tmp_path / "synthetic_baseline.jsonl")
    done = {"status": "finished", "test": 0.5, "variance_of_y": 1.0, "metric": "mse"}
    configs = experiment.runs(panels=["inner"], seeds=2)
    for config in configs:
        failed = config is configs[0]
        results.append(make_row(config, {"status": "failed", "message": "It was killed."} if failed else done))
    for config in experiment.runs(panels=["inner"], seeds=experiment.seeds + 1)[-4:]:
        results.append(make_row(config, done))  # of a seed beside the grid
    text = write_report(tmp_path).read_text()
    missing = len(experiment.runs()) - len(configs)
    assert f"({missing} of {len(experiment.runs())} are missing)" in text
    dim = configs[0]["dim"]
    assert f"| inner | {dim} | 1 | 0.5 | 0.5 | 2 |" in text  # one of two seeds, and the seed beside the grid


def _grid_rows():
    tests = [[0.1] * len(ROTATION.values)] * 3
    return _both(tests, tests)


def test_report_without_results(tmp_path):
    text = write_report(tmp_path).read_text()
    judged = sum(len(findings(claim, [])) for claim in CLAIMS)
    assert text.count("not run yet") == judged + sum(len(claim.predicted) for claim in CLAIMS)
    assert "(160 of 160 are missing)" in text


def test_report_begins_with_all_verdicts(tmp_path):
    results = ResultsFile(tmp_path / "assumption_2.jsonl")
    experiment = get_experiment("assumption_2")
    for config in experiment.runs(panels=["mnist"]):
        results.append(make_row(config, {"status": "finished", "test": 1 / config["width"], "metric": "error"}))
    claim = "One more neuron is strictly better."
    explained = {"claim": claim, "panel": "mnist", "verdict": "reproduced", "seeds": 3, "why": "Because of A."}
    other = {**explained, "verdict": "partly", "why": "Because of B."}
    path = tmp_path / "explanations.json"
    path.write_text(json.dumps([explained, other]))
    text = write_report(tmp_path).read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| One more neuron is strictly better. |")]
    assert line.endswith("| mnist reproduced, cifar10 not run yet |")
    assert text.count("**reproduced** | Because of A. |") == text.count("**reproduced**") == 1
    assert "Because of B." not in text  # explains another verdict
    path.write_text('[{"claim": "One more neuron is strictly better."}]')
    with pytest.raises(ValueError, match="explanations.json must be a list .*: 'panel' is a required property"):
        write_report(tmp_path)
