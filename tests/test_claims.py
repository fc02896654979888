"""What figures and report make of rows: points, statistics, verdicts, against plain NumPy and by enumeration."""

import itertools

import numpy as np
import pytest

from keras_hypernet.experiments import claims, get_experiment
from keras_hypernet.experiments.points import points, write_csv
from keras_hypernet.experiments.report import CLAIMS, write_report
from keras_hypernet.experiments.statistics import paired, trend, wilcoxon

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


def test_points_leave_out_what_diverged_and_say_so():
    one, two = points(ROTATION, rows([[0.2, None], [0.4, None], [None, None]]))
    assert (one["mean"], one["runs"], one["lost"]) == (pytest.approx(0.3), 3, 1)
    assert (two["mean"], two["stddev"], two["lost"]) == (None, None, 3)


def test_points_of_curves_go_by_epoch():
    experiment = get_experiment("assumption_1")
    row = {"panel": "mnist", "method": "network", "curve": {"f1_f2": [3.0, 1.0], "f1_y": [4.0, 2.0]}}
    shown = points(experiment, [{**row, "seed": 0}, {**row, "seed": 1}])
    assert [(point["series"], point["x"], point["mean"]) for point in shown] == [
        ("between f1 and f2", 1, 3.0),
        ("between f1 and f2", 2, 1.0),
        ("between f1 and y", 1, 4.0),
        ("between f1 and y", 2, 2.0),
    ]


def test_csv_holds_the_points(tmp_path):
    write_csv(points(ROTATION, rows([[0.25], [0.75]])), tmp_path / "points.csv")
    assert (tmp_path / "points.csv").read_text().splitlines() == [
        "panel,series,x,mean,stddev,runs,lost",
        "mnist,hypernetwork,2,0.5,0.353553,2,0",
    ]


def test_pairs_are_of_the_same_seed_and_value():
    some = rows([[0.1, 0.2], [0.3, None]]) + rows([[0.5, 0.6], [0.7, 0.8]], "embed")[:-1]
    pairs = paired(some, "hyper", "embed", lambda row: row["test"])
    np.testing.assert_array_equal(pairs, [[0.1, 0.5], [0.2, 0.6], [0.3, 0.7]])
    pairs = paired(some[::-1], "hyper", "embed", lambda row: row["test"])
    assert len(pairs) == 3
    both = some + rows([[0.1, 0.2], [0.3, 0.8]], "embed")[-1:]
    assert np.isinf(paired(both, "hyper", "embed", lambda row: row["test"])[-1, 0])


def test_wilcoxon_is_the_share_of_signs_that_are_as_extreme():
    rng = np.random.default_rng(3)
    differences = rng.normal(-0.4, 1, 9)
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = ranks[differences > 0].sum()
    sums = [ranks @ signs for signs in itertools.product((0, 1), repeat=9)]
    expected = np.mean([total <= observed for total in sums])
    pairs = np.stack([differences, np.zeros(9)], axis=1)
    assert wilcoxon(pairs) == pytest.approx(expected)


def test_wilcoxon_takes_what_diverged_as_worst():
    assert wilcoxon(np.array([[1.0, np.inf]] * 5)) == pytest.approx(1 / 32)
    assert wilcoxon(np.array([[np.inf, np.inf]] * 5)) == 1.0


def test_trend_is_that_of_ranks():
    falling = np.array([[4.0, 3.0, 2.0, 1.0]] * 3) + np.random.default_rng(0).uniform(0, 0.1, (3, 4))
    p, name = trend(falling)
    assert name == "Page's trend test"
    # All blocks ranked perfectly: of the (4!)^3 outcomes only one is as extreme.
    assert p == pytest.approx(1 / 24**3)
    assert trend(falling[:, ::-1])[0] > 0.99
    assert trend(np.array([[3.0, np.inf, 1.0]]))[1] == "Kendall's trend test"
    assert trend(np.array([[2.0, 1.0]] * 5)) == (1 / 32, "Wilcoxon's signed-rank test")


@pytest.mark.parametrize(
    ("hyper", "embed", "verdict"),
    [
        ([[0.1] * 8], [[0.5 + number / 100 for number in range(8)]], "reproduced"),
        ([[0.4] * 8], [[0.5 + number / 100 for number in range(8)]], "partly"),
        ([[0.5 + number / 100 for number in range(8)]], [[0.4] * 8], "not"),
        ([[None] * 8], [[0.4] * 8], "not"),
        ([[0.1] * 8], [[None] * 8], "partly"),
    ],
)
def test_better_by_a_wide_margin(hyper, embed, verdict):
    finding = claims.better(wide=0.5)(rows(hyper) + rows(embed, "embed"), "depth")
    assert finding.verdict == verdict
    assert "of 8 pairs" in finding.measured
    assert ("diverged" in finding.measured) == (None in hyper[0] + embed[0])


def test_better_from_some_value_on():
    hyper, embed = [[0.9] + [0.1] * 7], [[0.1] + [0.5 + number / 100 for number in range(7)]]
    finding = claims.better(least=3)(rows(hyper) + rows(embed, "embed"), "depth")
    assert finding.verdict == "reproduced"
    assert "in 7 of 7 pairs" in finding.measured


@pytest.mark.parametrize(
    ("tests", "holds", "verdict"),
    [
        ([[0.8, 0.7, 0.6, 0.5, 0.4]] * 3, True, "reproduced"),
        ([[0.8, 0.7, 0.6, 0.5, 0.4]] * 3, False, "not"),
        ([[0.4, 0.5, 0.6, 0.7, 0.8]] * 3, True, "not"),
        ([[0.4, 0.5, 0.6, 0.7, 0.8]] * 3, False, "reproduced"),
        ([[0.5, 0.9, 0.9, 0.8, 0.4]] * 2, True, "partly"),
        ([[0.5, 0.49, 0.48, 0.47, 0.46]] * 3, False, "partly"),
    ],
)
def test_improves(tests, holds, verdict):
    tests = np.array(tests) + np.random.default_rng(0).uniform(0, 1e-3, np.shape(tests))
    finding = claims.improves("hyper", holds)(rows(tests), "depth")
    assert finding.verdict == verdict
    assert f"over {len(tests)} seed" in finding.test


def test_closer():
    def row(between, first, second):
        curve = {"f1_f2": [1.0, between], "f1_y": [2.0, first]}
        return {"status": "finished", "test": first, "test_f2_y": second, "test_f1_f2": between, "curve": curve}

    near = [row(0.1 + number / 100, 0.5, 0.6) for number in range(5)]
    finding = claims.closer(near, "epochs")
    assert finding.verdict == "reproduced"
    assert finding.measured.startswith("after the last epoch 0.12 between f1 and f2, 0.5 from y, ratio 0.24")
    assert claims.closer(near[:1], "epochs").verdict == "partly"
    assert claims.closer([row(0.7, 0.5, 0.6)], "epochs").verdict == "not"


def test_each_step():
    falling = [[0.9, 0.7, 0.5, 0.3]] * 3
    assert claims.each_step(rows(falling, varies="width"), "width").verdict == "reproduced"
    finding = claims.each_step(rows([[0.9, 0.7, 0.71, 0.3]] * 3, varies="width"), "width")
    assert finding.verdict == "partly"
    assert "it falls in 2 of 3 steps" in finding.measured
    assert claims.each_step(rows([[0.3, 0.5, 0.7, 0.9]] * 3, varies="width"), "width").verdict == "not"


def test_consistent():
    hyper, embed = [[0.1, 0.2, 0.3]] * 3, [[0.4, 0.5, 0.6]] * 3
    both = rows(hyper, varies="learning_rate") + rows(embed, "embed", varies="learning_rate")
    assert claims.consistent(both, "learning_rate").verdict == "reproduced"
    mixed = rows([[0.9, 0.2, 0.3]] * 3, varies="learning_rate") + rows(embed, "embed", varies="learning_rate")
    finding = claims.consistent(mixed, "learning_rate")
    assert finding.verdict == "partly"
    assert "lower median at 2 of 3 rates, not at 2" in finding.measured
    lost = rows([[0.9, 0.9, 0.9]] * 3, varies="learning_rate") + rows(embed, "embed", varies="learning_rate")
    assert claims.consistent(lost, "learning_rate").verdict == "not"


def test_report_without_results_says_so(tmp_path):
    text = write_report(tmp_path).read_text()
    assert text.count("not run yet") == sum(len(claim.panels) for claim in CLAIMS)
    assert "(160 of 160 are missing)" in text
