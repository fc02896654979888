"""The runner: one row for each run, however the run ends; resuming, wrong input, progress."""

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from helpers import TESTS
from tiny_grid import GRID, children, plain, rows_file, rows_in, running, wait_until

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import FIELDS, make_row, run_key
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.runner import difference, run, verify
from keras_hypernet.runs.engines import LocalWorkers
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.training.recipe import paper_recipe

# Starts a runner for each line it reads, `folder limit workers seeds`, where `limit` is the largest size of a file.
# Prints the number of the runner's process and, at its end, its exception and exit code. All runners share one import
# of the libraries. All processes of these tests compute with one thread: another number rounds sums differently.
SCRIPT = """
import os, resource, signal, sys
from tiny_grid import GRID
from keras_hypernet.runs.engines import LocalWorkers
from keras_hypernet.experiments.runner import difference, run, verify

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
for line in sys.stdin:
    folder, limit, workers, seeds = line.split()
    runner = os.fork()
    if runner == 0:
        os.setpgid(0, 0)
        if int(limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        try:
            with LocalWorkers(int(workers), threads=1) as local:
                run(GRID, folder, seeds=int(seeds), resume=True, workers=local)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    print(runner, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def worker():
    """A process that executes the runs of several tests."""
    with LocalWorkers(1, threads=1) as worker:
        yield worker


@pytest.fixture(scope="module")
def whole(tmp_path_factory, worker):
    """A folder with the results of an undisturbed runner."""
    folder = tmp_path_factory.mktemp("whole")
    rows = run(GRID, folder, workers=worker, progress=False)
    assert [row["config"] for row in rows] == GRID.runs()
    return folder


@pytest.fixture(scope="module")
def start():
    """Returns a function that starts a runner; it returns the process, and a function that waits for how it ends."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=TESTS,
    ) as process:

        def start(folder, limit=0, workers=1, seeds=GRID.seeds):
            process.stdin.write(f"{folder} {limit} {workers} {seeds}\n")
            process.stdin.flush()
            return int(process.stdout.readline()), end

        def end():
            error = ""
            for line in process.stdout:
                if line.startswith("ended "):
                    return int(line.split()[1]), error.strip()
                error += line
            pytest.fail(f"no runners can be started: {error}")

        yield start
        process.stdin.close()


def test_every_run_has_a_row(whole):
    rows = rows_in(whole)
    assert sorted(run_key(row["config"]) for row in rows) == sorted(map(run_key, GRID.runs()))
    assert {row["status"] for row in rows} == {"finished"}
    assert all(set(row) == {*FIELDS, "depth"} for row in rows)


def test_missing_runs_are_added_to_results(whole, worker, tmp_path, capfd):
    expected = [row for row in rows_in(whole) if row["seed"] == 0]
    there = next(row for row in expected if row["config"] == GRID.runs()[2])
    other = make_row(GRID.runs(values=(4,))[0], {"status": "failed", "message": "of another grid"})
    path = rows_file(tmp_path)
    path.write_text("\n".join([json.dumps(other), "{}", json.dumps(there), json.dumps(expected[0])[:50]]))

    rows = run(GRID, tmp_path, seeds=1, values=[3, 2, 3], workers=worker, resume=True)
    assert [(row["depth"], row["method"]) for row in rows] == [(3, "hyper"), (3, "embed"), (2, "hyper"), (2, "embed")]
    assert plain(rows) == plain(expected)
    shown = capfd.readouterr()
    assert shown.out == ""
    (begun, last, broken, *progress) = shown.err.splitlines()
    assert begun.startswith("synthetic_depth: 1/4 runs, -:--:-- left, best hyper ")
    assert last.startswith(f"Warning: Line 4 of {path}, the last, was not complete (")
    assert broken.startswith(f"Warning: Line 2 of {path} is not a row (it has no 'experiment', no 'task', no 'panel'")
    assert broken.endswith("; the others are used.")
    assert [line.partition(" runs, ")[0] for line in progress] == [f"synthetic_depth: {n}/4" for n in (2, 3, 4)]

    first, second, *others = path.read_text().splitlines()
    assert (json.loads(first), second) == (other, "{}")
    assert plain(map(json.loads, others)) == plain(expected)
    again = run(GRID, tmp_path, seeds=1, resume=True, progress=False)
    assert again == sorted(rows, key=lambda row: row["depth"])
    assert len(path.read_text().splitlines()) == 2 + 4


@pytest.mark.full
def test_two_workers_make_the_same_rows(whole, tmp_path):
    with LocalWorkers(2, threads=1) as workers:
        rows = run(GRID, tmp_path, workers=workers, progress=False)
    assert plain(rows) == plain(rows_in(tmp_path)) == plain(rows_in(whole))


@pytest.mark.full
def test_a_runner_that_is_killed_ten_times_loses_nothing(whole, worker, start, tmp_path):
    moments = random.Random(20200610)
    workers = set()
    for cycle in range(10):
        rows = _lines(tmp_path)
        # More runs than there is time for: no runner ends by itself.
        runner, end = start(tmp_path, workers=2 if cycle == 6 else 1, seeds=100)
        # A random moment: in some cycles after a new row, in the others while processes start.
        if cycle in (1, 6):
            wait_until(lambda rows=rows: _lines(tmp_path) > rows)
        time.sleep(moments.uniform(0, 0.5 if cycle in (1, 6) else 1))
        workers |= set(children(runner))
        os.kill(runner, signal.SIGKILL)
        assert end() == (-signal.SIGKILL, "")
    assert len(workers) >= 3
    wait_until(lambda: not any(map(running, workers)))
    assert _lines(tmp_path) >= 2
    rows = run(GRID, tmp_path, workers=worker, resume=True, progress=False)
    assert plain(rows) == plain(row for row in rows_in(tmp_path) if row["seed"] < GRID.seeds) == plain(rows_in(whole))


@pytest.mark.full
def test_an_interrupt_ends_all_processes_and_fails_no_run(start, tmp_path):
    runner, end = start(tmp_path, seeds=1000)
    wait_until(lambda: _lines(tmp_path) >= 1)
    (worker,) = children(runner)
    os.killpg(runner, signal.SIGINT)  # as Control-C does
    assert end() == (1, "KeyboardInterrupt:")
    assert not running(worker)
    assert {row["status"] for row in rows_in(tmp_path)} == {"finished"}


@pytest.mark.full
def test_a_full_disk_leaves_the_rows_before(whole, start, tmp_path):
    row = max(len(line) for line in rows_file(whole).read_bytes().splitlines())
    _, end = start(tmp_path, limit=row + row // 2)
    code, message = end()
    assert code == 1
    unchanged = "cannot be appended to, and was not changed: File too large"
    assert message.startswith(f"OSError: {rows_file(tmp_path)} {unchanged}")
    rows = rows_in(tmp_path)
    assert [row["config"] for row in rows] == GRID.runs()[:1]
    assert plain(rows) == plain(row for row in rows_in(whole) if row["config"] in GRID.runs()[:1])


def test_one_panel_of_several_is_run(worker, tmp_path):
    grid = dataclasses.replace(GRID, panels=("inner", "concat"), methods=("hyper",), seeds=2)
    rows = run(grid, tmp_path, values=[2], seeds=1, panels=["concat"], workers=worker, progress=False)
    assert [row["config"] for row in rows] == [config for config in grid.runs([2], 1) if config["panel"] == "concat"]
    assert len(rows) == 1
    rates = get_experiment("learning_rate")
    some = rates.runs(seeds=1, panels=["cifar10_hyperfan"])  # a panel with additional values
    assert some == [config for config in rates.runs(seeds=1) if config["panel"] == "cifar10_hyperfan"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "at least one worker. Received: 0"),
        ({"seeds": 0}, "`seeds` must be an integer of at least 1. Received: 0"),
        ({"values": []}, "`values` must be a tuple of at least one number or text. Received: .."),
        ({"panels": []}, "`panels` must be a tuple of at least one number or text. Received: .."),
        ({"values": [1]}, "`depth` must be an integer of at least 2. Received: 1"),
        ({"engine": "slurm"}, "'local', 'ray'.. Received: 'slurm'"),
        ({"engine": "ray", "workers": 2}, "`workers` must be left out with the engine 'ray'.*Received: 2"),
        ({"address": "auto"}, "engine 'ray'. Received: 'auto'"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(GRID, tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_results_are_not_added_to_without_resume(whole):
    before = rows_file(whole).read_bytes()
    with pytest.raises(ValueError, match="holds results already: go on with them .--resume., or choose another folder"):
        run(GRID, whole)
    assert rows_file(whole).read_bytes() == before


@pytest.mark.regression
def test_an_experiment_of_ones_own_is_run(whole, worker, tmp_path):
    mine = dataclasses.replace(GRID, name="mine", figure=None, values=(2,), methods=("embed",))
    (row,) = run(mine, tmp_path, workers=worker, progress=False)
    (expected,) = [other for other in rows_in(whole) if (other["depth"], other["method"]) == (2, "embed")]
    assert (row["experiment"], row["test"]) == ("mine", expected["test"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


class _Taken(SyntheticTask):
    """A task of a user's own with the name of another task."""


def _setup(panel, method, value, seed, quick):
    task = _Taken(panel, dim=4, num_train=64, num_validation=16, num_test=16)
    return task, paper_recipe(SyntheticTask(panel, dim=4), depth=value)


@pytest.mark.regression
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setup": _setup}, r"'synthetic' is the name of .*\.SyntheticTask. Received: .*\._Taken"),
        ({"measure": print}, "needs a name of its own. Received: 'synthetic_depth'"),
        ({"measure": print, "name": "own"}, "'own', that is not the EXPERIMENT of an imported file"),
    ],
)
def test_tasks_and_measures_that_processes_cannot_find_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(dataclasses.replace(GRID, **changes), tmp_path / "results", workers=2)
    assert list(tmp_path.iterdir()) == []


def test_a_second_runner_is_refused(whole):
    with (
        ResultsFile(rows_file(whole)).locked(),
        pytest.raises(ValueError, match="Another process is adding to "),
    ):
        run(GRID, whole, resume=True)


def _lines(folder):
    """The number of whole lines in the results."""
    with contextlib.suppress(FileNotFoundError):
        return rows_file(folder).read_bytes().count(b"\n")
    return 0


def test_rows_are_verified_by_running_them_again(whole):
    text = rows_file(whole).read_text()
    ((found, again),) = verify([GRID], whole, 1)
    assert found in rows_in(whole)
    assert difference(found, again) == 0.0
    assert plain([found]) == plain([again])
    assert rows_file(whole).read_text() == text


def test_differences_of_rows():
    row = {"test": 0.5, "validation": None, "curve": {"loss": [1.0, 0.5]}}
    assert difference(row, row) == 0.0
    assert difference(row, {**row, "test": 0.4}) == pytest.approx(0.2)
    assert difference(row, {**row, "curve": {"loss": [1.0, 0.25]}}) == 0.5
    more = {**row, "inferred": 0.4, "seconds": 1.0}
    assert difference(more, {**more, "inferred": 0.3, "seconds": 2.0}) == pytest.approx(0.25)
    assert difference(row, more) == 0.0  # older rows have fewer numbers
    for other in ({"test": None}, {"curve": {"loss": [1.0]}}):
        assert difference(row, {**row, **other}) == float("inf")


def test_without_rows_there_is_nothing_to_verify(tmp_path):
    with pytest.raises(ValueError, match="There are no rows to verify in"):
        next(verify([GRID], tmp_path, 3))
