"""Executing runs: whatever comes of one is a row, and a process that dies is replaced."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from tiny_grid import GRID, children, wait_until

from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import FIELDS, Measurement, execute
from keras_hypernet.experiments.runner import JOB
from keras_hypernet.runs.engines import LocalWorkers
from keras_hypernet.runs.machine import processors

CONFIGS = GRID.runs(values=(2,))
# A run that does not end before its process does.
ENDLESS = {**CONFIGS[1], "recipe": {**CONFIGS[1]["recipe"], "epochs": 10**6}}


def _changed(config, **recipe):
    return {**config, "recipe": {**config["recipe"], **recipe}}


def _measuring(result):
    """The experiment, if it measured this."""
    return dataclasses.replace(GRID, measure=Measurement(lambda task, method, recipe: result))


def test_a_finished_run():
    row = execute(CONFIGS[0], GRID)
    assert set(row) == {*FIELDS, "depth"}
    assert (row["status"], row["metric"], row["config"]) == ("finished", "mse", CONFIGS[0])
    assert 0 < row["test"] < 10
    assert {name: len(values) for name, values in row["curve"].items()} == {"loss": 3, "validation_loss": 3}
    assert row["seconds"] > 0
    assert row["peak_memory_mib"] > 50
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_a_diverged_run_says_when():
    row = execute(_changed(CONFIGS[0], learning_rate=1e6), GRID)
    assert set(row) == {*FIELDS, "depth", "message"}
    assert (row["status"], row["test"], row["validation"]) == ("diverged", None, None)
    assert row["message"].startswith("The loss became ")
    assert "at the learning rate 1e+06" in row["message"]


def test_a_result_that_is_not_finite_is_a_diverged_run():
    row = execute(CONFIGS[0], _measuring({"test": float("inf"), "validation": 1.0, "curve": {"loss": [1.0]}}))
    assert (row["status"], row["test"], row["validation"]) == ("diverged", None, None)
    assert row["message"] == "Training ended with finite losses, but what was measured holds Infinity."
    assert row["curve"] == {"loss": [1.0]}
    row = execute(CONFIGS[0], _measuring({"test": 1.0, "validation": 1.0, "curve": {"loss": [1.0, float("nan")]}}))
    assert (row["status"], row["test"], row["curve"]) == ("diverged", None, {"loss": [1.0, None]})


def test_an_impossible_run_says_why():
    row = execute({**CONFIGS[0], "method": "both"}, GRID)
    assert set(row) == {*FIELDS, "depth", "message"}
    assert (row["status"], row["test"], row["metric"]) == ("failed", None, "mse")
    assert row["message"].startswith("ValueError: `method` must be one of ")


def test_a_result_that_json_cannot_hold_is_a_failed_run():
    row = execute(CONFIGS[0], _measuring({"test": np.float32(1)}))
    assert (row["status"], row["test"]) == ("failed", None)
    assert row["message"] == "TypeError: Object of type float32 is not JSON serializable"


@pytest.mark.parametrize("error", [DataUnavailableError("no data"), ImportError("no package")], ids=repr)
def test_what_is_not_on_this_machine_is_an_error_and_no_row(error):
    def measure(task, method, recipe):
        raise error

    with pytest.raises(type(error), match=str(error)):
        execute(CONFIGS[0], dataclasses.replace(GRID, measure=Measurement(measure)))


@pytest.fixture
def workers():
    """Returns a function that returns the processes that have been started since, and are running."""
    before = set(children(os.getpid()))
    return lambda: sorted(set(children(os.getpid())) - before)


@pytest.fixture
def in_the_next_run():
    """Returns a function that calls another one half a second after a worker has begun its next run."""
    threads = []

    def start(worker, call):
        before = worker.begun

        def wait():
            wait_until(lambda: worker.begun not in (None, before))
            time.sleep(0.5)
            call()

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def test_a_process_that_is_killed_fails_the_run_it_has_begun_and_is_replaced(workers, in_the_next_run):
    with LocalWorkers(1) as local:
        rows = local.run(JOB, [CONFIGS[0], CONFIGS[2], ENDLESS, CONFIGS[3]])
        first = next(rows)
        os.kill(*workers(), signal.SIGKILL)  # between two runs
        second = next(rows)
        in_the_next_run(*local._pool, functools.partial(os.kill, *workers(), signal.SIGKILL))
        killed = next(rows)
        assert workers() == []
        last = next(rows)
        assert len(workers()) == 1
    assert workers() == []
    rows = [first, second, killed, last]
    assert [row["config"] for row in rows] == [CONFIGS[0], CONFIGS[2], ENDLESS, CONFIGS[3]]
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "finished"]
    assert killed["message"].startswith("The process of the run was ended by SIGKILL, as happens where memory runs out")
    assert set(killed) == {*FIELDS, "depth", "message"}
    assert killed["machine"] == first["machine"]
    assert first["machine"]["threads"] == processors()
    assert killed["seconds"] >= 0.5


@pytest.mark.full
def test_a_process_that_dies_is_not_described_by_what_it_said_in_another_run(in_the_next_run):
    with LocalWorkers(1) as local:
        (worker,) = local._pool
        rows = local.run(JOB, [CONFIGS[0], ENDLESS])
        next(rows)
        worker.output.write(b"a warning of the first run\n")
        worker.output.flush()

        def end():
            os.write(worker.output.fileno(), b"of the second\n")
            os.kill(worker.process.pid, signal.SIGKILL)

        in_the_next_run(worker, end)
        killed = next(rows)
        assert killed["message"].endswith(" memory runs out: of the second.")


def test_processes_that_cannot_start_are_an_error_and_no_rows(monkeypatch, tmp_path, workers):
    (tmp_path / "keras.py").write_text("raise ImportError('no backend')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    message = "No run can be executed: 3 times, a process ended with the exit code 1: ImportError: no backend."
    with LocalWorkers(1) as local, pytest.raises(ChildProcessError, match=message):
        list(local.run(JOB, CONFIGS[:2]))
    assert workers() == []


@pytest.mark.full
def test_a_package_that_a_run_lacks_is_an_error_and_ends_all_processes(monkeypatch, tmp_path, workers):
    (tmp_path / "sklearn.py").write_text("raise ImportError('no digits')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    configs = get_experiment("assumption_2").runs(quick=True)[:1]
    with LocalWorkers(2) as local:
        with pytest.raises(ChildProcessError, match="A process cannot execute runs: no digits"):
            list(local.run(JOB, [*configs, ENDLESS]))
        assert workers() == []


@pytest.mark.full
def test_processes_stay_for_more_runs_and_what_is_given_up_does_not_come_back(workers):
    with LocalWorkers(2) as local:
        assert workers() == []
        (first,) = local.run(JOB, CONFIGS[:1])
        (stays,) = workers()
        with contextlib.closing(local.run(JOB, [ENDLESS, *CONFIGS[2:4]])) as rows:
            assert next(rows)["config"] == CONFIGS[2]
            assert len(workers()) == 2
            with pytest.raises(RuntimeError, match="execute runs of another call: close its generator first"):
                next(local.run(JOB, CONFIGS[:1]))
        assert stays not in workers()  # it was in a run that has been given up
        (other,) = workers()
        os.kill(other, signal.SIGKILL)  # and this one dies of something else, without a run
        again, more = sorted(local.run(JOB, CONFIGS[:2]), key=lambda row: CONFIGS.index(row["config"]))
        assert again["test"] == first["test"]
        assert more["config"] == CONFIGS[1]
        assert len(workers()) == 2
    assert workers() == []
