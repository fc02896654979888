"""The results file: rows are complete or absent, and broken lines are named."""

import contextlib
import json
import resource

import pytest
from tiny_grid import GRID

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.drawing import points, read_rows
from keras_hypernet.experiments.experiment import FIELDS, make_row
from keras_hypernet.experiments.paper_claims import CLAIMS
from keras_hypernet.experiments.report import findings, write_report
from keras_hypernet.experiments.rows import ResultsFile, group_rows

ROWS = [make_row(config, {"test": 0.5}) for config in GRID.runs(seeds=1)]


@pytest.fixture
def file(tmp_path):
    """A file of three rows."""
    file = ResultsFile(tmp_path / "synthetic_depth.jsonl")
    for row in ROWS[:3]:
        file.append(row)
    return file


@contextlib.contextmanager
def _largest_file(size):
    """Makes the kernel refuse to let files grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_rows_are_read_as_they_were_appended(file):
    assert file.read() == (ROWS[:3], [])
    assert len(file.path.read_text().splitlines()) == 3
    assert ResultsFile(file.path.with_name("none.jsonl")).read() == ([], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"experiment": "synth', "Unterminated string"),
        (b'{"\xff": 1}', "'utf-8' codec can't decode byte 0xff"),
        (b"[1, 2]", "it is a list, not an object"),
        (b'{"experiment": "synthetic_depth"}', "it has no 'task', no 'panel', no 'method', no 'seed'"),
        (json.dumps({**ROWS[0], "config": {}}).encode(), "its 'config' is not that of a run: KeyError('task')"),
        (
            json.dumps({**ROWS[0], "config": {"task": {"name": "sorting"}, "recipe": {}}}).encode(),
            "missing 1 required positional argument",
        ),
        (
            json.dumps({**ROWS[0], "test": "0.1"}).encode(),
            "its 'test' is '0.1', and not a number of at least 0, or null",
        ),
        (json.dumps({**ROWS[0], "test": float("nan")}).encode(), "it holds NaN, which is not a number in JSON"),
        (json.dumps({**ROWS[0], "seconds": -1}).encode(), "its 'seconds' is -1, and not a number of at least 0"),
        (
            json.dumps({**ROWS[0], "status": "done"}).encode(),
            "its 'status' is 'done', and not one of finished, diverged",
        ),
        (json.dumps({**ROWS[0], "panel": "outer"}).encode(), "its 'panel' is 'outer', and not that of its 'config'"),
        (
            json.dumps({**ROWS[0], "curve": {"loss": ["a"]}}).encode(),
            "its 'curve' 'loss' is ['a'], and not a list of",
        ),
        (json.dumps({**ROWS[0], "machine": {}, "seed": "0"}).encode(), "its 'seed' is '0', and not an integer"),
        (
            json.dumps({**ROWS[0], "machine": {"threads": 1}}).encode(),
            "without a processor or its threads",
        ),
        (json.dumps({**ROWS[0], "config": {"task": [], "recipe": {}}}).encode(), "its 'config' is not that of a run"),
        (b'{"a": ' * 40_000, "it is nested too deeply"),
        (b"[" * 990 + b"]" * 990, "it is nested too deeply"),
        (json.dumps({**ROWS[0], "curve": None}).encode(), "its 'curve' is None, and not an object"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_used(file, line, reason):
    first, *others = file.path.read_bytes().splitlines(keepends=True)
    file.path.write_bytes(b"".join([first, line, b"\n", *others]))
    rows, (sentence,) = file.read()
    assert rows == ROWS[:3]
    assert sentence.startswith(f"Line 2 of {file.path} is not a row (")
    assert reason in sentence
    assert sentence.endswith("; the others are used.")


def _damaged(row):
    """Rows with one missing or wrong field, of the row or of its configuration."""
    values = (None, [], {}, "", "x", -1, 10**400, 0.5, [["x"]], {"loss": None}, {"name": {}})
    for outer in (None, "config", "machine", "curve"):
        for name in row if outer is None else row[outer]:
            for value in (..., *values):
                inner = dict(row if outer is None else row[outer])
                inner[name] = value
                if value is ...:
                    del inner[name]
                yield inner if outer is None else {**row, outer: inner}


@pytest.mark.regression
@pytest.mark.parametrize(
    "name", [pytest.param("synthetic_depth", marks=pytest.mark.full), "assumption_1", "synthetic_baseline"]
)
def test_no_damaged_row_blocks_an_experiment(tmp_path, name):
    experiment = get_experiment(name)
    names = [*experiment.drawing.curves, "loss"]
    result = {"test": 0.5, "curve": {curve: [0.5] * 50 for curve in names}}
    result |= dict.fromkeys(experiment.measure.also, 0.25)
    config, *others = experiment.runs(seeds=1, panels=experiment.panels[:2])
    machine = {"processor": "one", "threads": 1}
    file = ResultsFile(tmp_path / f"{name}.jsonl")
    for other in others:
        file.append(make_row(other, result, 1.0, machine=machine))
    whole = file.path.read_bytes()
    shown = points(experiment, read_rows(experiment, tmp_path)[0])
    panel = experiment.panels[0]
    claims = [claim for claim in CLAIMS if claim.experiment == name]
    for row in _damaged(make_row(config, result, 1.0, machine=machine)):
        file.path.write_bytes(whole + json.dumps(row).encode() + b"\n")
        rows, sentences = read_rows(experiment, tmp_path)
        assert len(sentences) == len(others) + 1 - len(rows), row
        if len(sentences) == 0:  # a damage that does not matter
            assert len(points(experiment, rows)) >= len(shown), row
            for claim in claims:
                findings(claim, rows)
        else:
            assert len(sentences) == 1
    file.path.write_bytes(whole + json.dumps(row).encode() + b"\n")
    assert f"{panel} |" in write_report(tmp_path).read_text()


def test_a_repeated_run_counts_once(file):
    with file.path.open("a") as opened:
        opened.write("\n" + json.dumps({**ROWS[1], "test": 0.25}) + "\n")
    assert file.read() == (ROWS[:3], [f"Line 5 of {file.path} repeats the run of line 2, which is used."])


def test_a_last_line_without_its_end_is_removed(file):
    whole = file.path.read_bytes()
    file.path.write_bytes(whole + json.dumps(ROWS[3]).encode()[:-9])
    (sentence,) = file.mend()
    assert sentence.startswith(f"Line 4 of {file.path}, the last, was not complete (")
    assert sentence.endswith("), and is removed.")
    assert file.path.read_bytes() == whole
    assert file.mend() == []


def test_a_last_row_without_a_newline_is_completed(file):
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-1])
    assert file.mend() == []
    assert file.path.read_bytes() == whole


def test_a_last_line_that_is_whole_is_not_removed(file):
    """The row of a later version has an unknown field in its recipe."""
    row = json.loads(file.path.read_bytes().splitlines()[-1])
    row["config"]["recipe"]["later"] = 1
    content = file.path.read_bytes() + json.dumps(row).encode()
    file.path.write_bytes(content)
    assert file.mend() == []
    assert file.path.read_bytes() == content + b"\n"
    _, (sentence,) = file.read()
    assert sentence.startswith("Line 4 of ")


@pytest.mark.regression
def test_a_last_line_that_is_nested_deeply_is_not_removed(file):
    content = file.path.read_bytes() + b"[" * 40_000 + b"]" * 40_000
    file.path.write_bytes(content)
    assert file.mend() == []
    assert file.path.read_bytes() == content + b"\n"
    assert file.read()[0] == ROWS[:3]


@pytest.mark.parametrize("room", [0, 100])
def test_a_row_that_does_not_fit_leaves_the_file_as_it_was(file, room):
    before = file.path.read_bytes()
    message = "cannot be appended to, and was not changed: File too large. Fix that, and continue with --resume"
    with _largest_file(len(before) + room), pytest.raises(OSError, match=message):
        file.append(ROWS[3])
    assert file.path.read_bytes() == before
    file.append(ROWS[3])
    assert file.read() == (ROWS[:4], [])


def test_a_row_that_json_cannot_hold_is_refused(file):
    with pytest.raises(ValueError, match="Out of range float values"):
        file.append({**ROWS[3], "test": float("nan")})
    assert file.read() == (ROWS[:3], [])


def test_one_process_at_a_time(file):
    message = "Another process is adding to .*synthetic_depth.jsonl. Wait until it is done, or choose another --out."
    with file.locked():
        with pytest.raises(ValueError, match=message), file.locked():
            pass
        file.append(ROWS[3])
    with file.locked():
        assert len(file.read()[0]) == 4
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


def test_finished_and_failed_rows_have_the_same_fields():
    (config,) = GRID.runs(values=(2,), seeds=1)[:1]
    finished = make_row(config, {"test": 0.5}, 1.234, 100, {"processor": "", "threads": 1})
    failed = make_row(config, {"status": "failed", "message": "Why."})
    assert set(finished) == {*FIELDS, "depth"}
    assert set(failed) == {*FIELDS, "depth", "message"}
    assert (finished["status"], finished["metric"], finished["seconds"]) == ("finished", "mse", 1.23)
    assert (failed["status"], failed["metric"], failed["seconds"]) == ("failed", "mse", None)


def test_groups_differ_in_more_than_the_seed():
    rows = [make_row(config, {}) for config in GRID.runs(seeds=2)]
    groups = group_rows(rows[::-1], "depth")
    assert list(groups) == [("inner", method, depth) for method in ("embed", "hyper") for depth in (2, 3)]
    assert all([row["seed"] for row in members] == [1, 0] for members in groups.values())
