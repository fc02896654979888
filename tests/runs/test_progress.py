"""The progress of runs: on a terminal and elsewhere, never on standard output."""

import re
from types import SimpleNamespace

import pytest

from keras_hypernet.experiments.runner import describe_best
from keras_hypernet.runs.progress import RunsProgress

ROWS = [
    {"panel": "mnist", "method": "hyper", "status": "finished", "test": 0.25},
    {"panel": "mnist", "method": "embed", "status": "diverged", "test": None},
    {"panel": "mnist", "method": "embed", "status": "finished", "test": 0.5},
    {"panel": "mnist", "method": "hyper", "status": "failed", "test": None},
    {"panel": "mnist", "method": "hyper", "status": "finished", "test": 0.125},
]


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch):
    monkeypatch.setattr("keras_hypernet.runs.progress.time", SimpleNamespace(monotonic=lambda: 1000.0))


def _show(visible=True):
    progress = RunsProgress("rotation_depth", 7, ROWS[:2], describe_best, visible=visible)
    with progress:
        assert progress.left == "-:--:-- left"
        progress.started -= 60  # as if the next run had taken a minute
        progress.add(ROWS[2])
        assert progress.left == "0:04:00 left"
        progress.last -= 10  # as if the last row had come ten seconds ago
        progress.started -= 10
        assert progress.left == "0:03:50 left"
        for row in ROWS[3:]:
            progress.add(row)
    return progress


def test_a_line_for_each_row_where_there_is_no_terminal(capfd):
    _show()
    done = capfd.readouterr()
    assert done.out == ""
    assert [line.partition(" left, ") for line in done.err.splitlines()] == [
        ("rotation_depth: 2/7 runs, -:--:--", " left, ", "best hyper 0.25; 1 diverged"),
        ("rotation_depth: 3/7 runs, 0:04:00", " left, ", "best hyper 0.25, embed 0.5; 1 diverged"),
        ("rotation_depth: 4/7 runs, 0:01:45", " left, ", "best hyper 0.25, embed 0.5; 1 diverged, 1 failed"),
        ("rotation_depth: 5/7 runs, 0:00:47", " left, ", "best hyper 0.125, embed 0.5; 1 diverged, 1 failed"),
    ]


def test_the_best_result_of_each_panel():
    rows = [*ROWS, {"panel": "cifar10", "method": "hyper", "status": "finished", "test": 0.0625}]
    assert describe_best(rows) == "best mnist hyper 0.125, mnist embed 0.5, cifar10 hyper 0.0625"


def test_an_experiment_that_has_ended_says_so(capfd):
    with RunsProgress("rotation_depth", len(ROWS), ROWS, describe_best):
        pass
    number = len(ROWS)
    message = f"rotation_depth: {number}/{number} runs are there already; none is repeated.\n"
    assert capfd.readouterr() == ("", message)
    with RunsProgress("rotation_depth", number, ROWS, describe_best, visible=False):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_bar_and_the_best_on_a_terminal_of_80_columns(capfd, monkeypatch):
    for name, value in {"COLUMNS": "80", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}.items():
        monkeypatch.setenv(name, value)
    _show()
    done = capfd.readouterr()
    assert done.out == ""
    *_, bar, summary = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", done.err).splitlines()
    assert re.fullmatch(r"rotation_depth [━╸╺ ]+ 5/7 runs 0:00:47 left", bar.strip())
    assert summary.strip() == "best hyper 0.125, embed 0.5; 1 diverged, 1 failed"


def test_only_warnings_without_visible_progress(capfd):
    progress = _show(visible=False)
    assert capfd.readouterr() == ("", "")
    progress.console.warn("Line 3 of [results] is not a row.")
    assert capfd.readouterr() == ("", "Warning: Line 3 of [results] is not a row.\n")
    assert progress.summary() == "best hyper 0.125, embed 0.5; 1 diverged, 1 failed"
