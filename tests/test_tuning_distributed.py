"""A chief and its workers, processes of their own on this machine, over a real search."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from tiny_grid import running, wait_until
from tiny_search import free_port, plain, tiny_search

import keras_hypernet as kh

# Starts a process for each line it reads, which takes part in a random search of six trials, and prints its number. The
# processes share one import of the libraries. Each writes the trials that it ran, those that the chief knows, or its
# error into a file, and its standard error into another. A worker waits in the middle of the trials that `holds` names,
# and goes on sending heartbeats to its chief meanwhile.
SCRIPT = """
import json, os, signal, sys, traceback
from tiny_search import hold_trials, tiny_search
from keras_hypernet.tuning import connection, distributed
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    role, address, name, directory, overwrite, epochs, patience, timeout, holds, file = line.split()
    process = os.fork()
    if process == 0:
        sys.stderr = open(file + ".stderr", "w", buffering=1)
        connection.PATIENCE = float(patience)
        hold_trials(holds.split(","), file)
        options = {"distributed": role, "address": address, "directory": directory, "epochs": int(epochs)}
        options |= {"worker_id": None if name == "-" else name, "worker_timeout": float(timeout), "wait": 200.0}
        options |= {"overwrite": overwrite == "True"}
        try:
            written = json.dumps(tiny_search("both", "random", **options).trials)
        except BaseException:
            written = json.dumps(traceback.format_exc())
        with open(file + ".new", "w") as opened:
            opened.write(written)
        os.rename(file + ".new", file)
        os._exit(0)
    print(process, flush=True)
"""
EPOCHS = 15


@pytest.fixture(scope="module")
def starter():
    """The process that starts the others."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=pathlib.Path(__file__).parent,
    ) as process:
        yield process
        process.stdin.close()


@dataclasses.dataclass
class Part:
    """A process that takes part in a search."""

    number: int
    file: pathlib.Path

    def kill(self):
        """Ends it at once."""
        os.kill(self.number, signal.SIGKILL)
        wait_until(lambda: not running(self.number))

    def said(self):
        """What it has said on standard error."""
        return pathlib.Path(f"{self.file}.stderr").read_text()

    def held(self, trial):
        """Waits until it waits in the middle of a trial."""
        wait_until(lambda: self._sign("held", trial).exists() or not running(self.number))
        assert running(self.number), self.ended()

    def go(self, trial):
        """Lets it go on with that trial."""
        self._sign("go", trial).touch()

    def _sign(self, name, trial):
        return pathlib.Path(f"{self.file}.{name}.{trial}")

    def ended(self):
        """What it has written when it has ended."""
        wait_until(lambda: not running(self.number))
        return json.loads(self.file.read_text())


@pytest.fixture
def start(starter, tmp_path):
    """Returns a function that starts a process that takes part in a search in a folder."""
    address, parts = f"127.0.0.1:{free_port()}", []

    def start(role, name="-", epochs=EPOCHS, patience=600, folder="search", overwrite=False, timeout=20, holds="-"):
        file = tmp_path / f"{role}{name}{len(parts)}.json"
        words = (role, address, name, tmp_path / folder, overwrite, epochs, patience, timeout, holds, file)
        starter.stdin.write(" ".join(map(str, words)) + "\n")
        starter.stdin.flush()
        parts.append(Part(int(starter.stdout.readline()), file))
        return parts[-1]

    start.address = address
    yield start
    for part in parts:
        if running(part.number):
            part.kill()


def _states(directory):
    """The states of a search's trials, as keras-tuner's files have them."""
    for path in sorted((directory / "trials").glob("trial_*/trial.json")):
        yield path.parent.name, json.loads(path.read_text())["status"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same search by one process."""
    return tiny_search("both", epochs=EPOCHS, directory=tmp_path_factory.mktemp("alone"))


def _sorted(rows):
    return sorted(str({**row, "trial": None}) for row in plain(rows))


def test_every_trial_is_run_once_and_by_both_workers(start, tmp_path, alone):
    chief = start("chief", timeout=10**4)
    # Each waits in a trial until the other has one.
    workers = {}
    for name, trial in (("one", "trial_00"), ("two", "trial_01")):
        workers[name] = start("worker", name, timeout=10**4, holds=trial)
        workers[name].held(trial)
    workers["one"].go("trial_00")
    workers["two"].go("trial_01")
    rows, ran = chief.ended(), {name: part.ended() for name, part in workers.items()}
    assert _sorted(rows) == _sorted(alone.trials)
    assert {row["worker"] for row in rows} == {"one", "two"}
    for name, mine in ran.items():
        assert {row["worker"] for row in mine} == {name}
    assert sorted(row["trial"] for mine in ran.values() for row in mine) == [row["trial"] for row in rows]
    assert kh.tuning.SearchResult.read(tmp_path / "search").trials == rows
    assert {row["epochs"] for row in rows} == {EPOCHS}


def test_a_chief_and_one_of_two_workers_that_are_killed_lose_no_finished_trial(start, tmp_path, alone):
    """A chief that is started again goes on with the worker there is. Of two that train, one is lost in its trial: the
    other goes on with its own, and runs that one too."""
    folder = tmp_path / "search"
    chief, killed = start("chief"), start("worker", "killed", holds="trial_01,trial_02")
    killed.held("trial_01")
    chief.kill()
    assert dict(_states(folder)) == {"trial_00": "COMPLETED", "trial_01": "RUNNING"}
    chief = start("chief")
    killed.go("trial_01")
    killed.held("trial_02")
    assert dict(_states(folder)) == {"trial_00": "COMPLETED", "trial_01": "COMPLETED", "trial_02": "RUNNING"}
    before = {path: path.read_text() for path in folder.glob("trials/trial_0[01]/trial.json")}

    other = start("worker", "other", holds="trial_03")
    other.held("trial_03")
    killed.kill()
    other.go("trial_03")
    rows, mine = chief.ended(), other.ended()
    assert [row["worker"] for row in rows] == ["killed", "killed", "other", "other", "other", "other"]
    assert [row["trial"] for row in mine] == [2, 3, 4, 5]
    assert {path: path.read_text() for path in before} == before
    assert _sorted(rows) == _sorted(alone.trials)
    assert rows[2]["epochs"] == EPOCHS - 1  # it went on after the last epoch of which a checkpoint is whole
    assert rows[3]["epochs"] == EPOCHS


def test_a_worker_whose_chief_is_gone_for_good_says_so_and_gives_up(start):
    chief, worker = start("chief"), start("worker", "left", patience=10, holds="trial_01")
    worker.held("trial_01")
    chief.kill()
    worker.go("trial_01")
    error = worker.ended()
    assert f"ChiefGoneError: The chief at {start.address} is gone (" in error
    assert "has not been started again within 10 seconds" in error
    (warning,) = worker.said().splitlines()
    assert warning.startswith(f"Warning: The chief at {start.address} does not answer (")


def test_a_worker_of_a_search_that_has_been_deleted_leaves_in_the_middle_of_its_trial(start, tmp_path):
    """A trial of the new search has the same number: nothing of the old one may be filed under it."""
    chief, worker = start("chief", epochs=10**6), start("worker", "old", epochs=10**6)
    wait_until((tmp_path / "search" / "trials" / "trial_00" / "seed-0" / "state.json").exists)
    chief.kill()
    start("chief", overwrite=True)
    assert f"OtherSearchError: The chief at {start.address} makes another search than the one" in worker.ended()
    assert list(_states(tmp_path / "search")) == []


def test_a_worker_with_a_folder_of_its_own_begins_anew_with_its_chief(start, tmp_path):
    parts = start("chief", epochs=10**6), start("worker", "own", epochs=10**6, folder="own")
    checkpoint = tmp_path / "own" / "trials" / "trial_00" / "seed-0" / "state.json"
    wait_until(checkpoint.exists)
    for part in parts:
        part.kill()
    assert checkpoint.exists()
    start("chief", overwrite=True)
    start("worker", "own", folder="own", overwrite=True)
    outcome = checkpoint.parents[1] / "outcome.json"
    wait_until(outcome.exists)
    assert json.loads(outcome.read_text()) == {"worker": "own", "message": None}


def test_a_worker_needs_the_arguments_of_its_chief(start, tmp_path):
    start("chief")
    assert "ValueError: " in (error := start("worker", "other", epochs=2).ended())
    assert "holds another search" in error


def test_a_worker_with_a_folder_of_its_own_needs_the_space_of_its_chief(start, tmp_path, capfd):
    start("chief")
    options = {"distributed": "worker", "address": start.address, "wait": 200.0, "directory": tmp_path / "own"}
    with pytest.raises(ValueError, match=f"The chief at {start.address} makes another search, of .*'depth'.* Asked fo"):
        tiny_search("both", depth=(2, 3), **options)
    with pytest.raises(ValueError, match=r"another search, of .'method': .*Asked for: .'method': None"):
        tiny_search("embed", **options)
    with pytest.raises(ValueError, match="another search, of .'embedding_dim': None.* Asked for: "):
        tiny_search("both", embedding_dim=[4, 8], **options)  # on the condition that the method is "embed"
    assert capfd.readouterr().out == ""


def test_a_chief_whose_search_is_complete_ends_at_once(tmp_path):
    found = tiny_search(depth=[2], epochs=1, trials=1, directory=tmp_path)
    address = f"127.0.0.1:{free_port()}"
    again = tiny_search(depth=[2], epochs=1, trials=1, directory=tmp_path, distributed="chief", address=address)
    assert again == found
