"""Processes that execute runs: a process that dies is replaced, and its run fails or is repeated."""

import contextlib
import os
import signal

import pytest
from light_runs import job
from tiny_grid import children

from keras_hypernet.runs.engines import LocalWorkers
from keras_hypernet.runs.machine import machine, processors


@pytest.fixture
def workers():
    """Returns a function that returns the processes that have started since, and are running."""
    before = set(children(os.getpid()))
    return lambda: sorted(set(children(os.getpid())) - before)


@pytest.mark.full
def test_a_process_stays_for_more_runs_and_is_replaced_when_it_dies(workers):
    with LocalWorkers(1) as local:
        assert workers() == []
        first, second = local.run(job(), [{"say": "a warning of the first run"}, {"name": "second"}])
        (third,) = local.run(job(), [{}])
        (process,) = workers()
        assert first["process"] == second["process"] == third["process"] == process
        assert second["config"] == {"name": "second"}
        assert first["threads"] == str(processors())
        os.kill(process, signal.SIGKILL)  # between two runs: no run fails
        deadly = {"say": "of the deadly run", "die": "always"}
        fourth, killed = local.run(job(), [{"say": "a warning of the fourth run"}, deadly])
        assert fourth["process"] != process
        assert fourth["config"] == {"say": "a warning of the fourth run"}
        assert killed["config"] == deadly
        assert killed["failed"] == (
            "The process of the run was ended by SIGKILL, as happens where memory runs out: of the deadly run."
        )
        assert killed["machine"] == machine(processors())
        assert killed["seconds"] > 0
        assert workers() == []
        # An error of a run ends all runs.
        with pytest.raises(ChildProcessError, match="A process cannot execute runs: no digits"):
            list(local.run(job(), [{"raise": "no digits"}, {}]))
        assert workers() == []


def test_processes_that_cannot_start_are_an_error_and_no_rows(monkeypatch, tmp_path, workers):
    (tmp_path / "keras.py").write_text("raise ImportError('no backend')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    message = "No run can be executed: 3 times, a process ended with the exit code 1: ImportError: no backend."
    with LocalWorkers(1) as local, pytest.raises(ChildProcessError, match=message):
        list(local.run(job(), [{}, {}]))
    assert workers() == []


@pytest.mark.full
def test_a_run_is_repeated_as_often_as_its_job_says(tmp_path):
    deadly = [{"die": "once", "attempts": str(tmp_path / "attempts")}, {"die": "always"}]
    with LocalWorkers(1, threads=1) as local:
        repeated, killed = local.run(job(attempts=2), deadly)
    assert repeated["config"] == deadly[0]
    assert killed["failed"].startswith("The process of the run was ended by SIGKILL")


@pytest.mark.full
def test_given_up_runs_do_not_come_back(workers):
    with LocalWorkers(2, threads=1) as local:
        (first,) = local.run(job(), [{}])
        assert workers() == [first["process"]]
        with contextlib.closing(local.run(job(), [{"endless": True}, {"name": "short"}])) as rows:
            short = next(rows)
            assert short["config"] == {"name": "short"}
            assert workers() == sorted([first["process"], short["process"]])
            with pytest.raises(RuntimeError, match="execute runs of another call: close its generator first"):
                next(local.run(job(), [{}]))
        assert workers() == [short["process"]]
        rows = list(local.run(job(), [{"name": "again"}, {"name": "more"}]))
        assert sorted(row["config"]["name"] for row in rows) == ["again", "more"]
        with pytest.raises(ChildProcessError, match="no digits"):
            list(local.run(job(), [{"endless": True}, {"raise": "no digits"}]))
        assert workers() == []
