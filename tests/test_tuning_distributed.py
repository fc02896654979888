"""A chief and its workers, processes of their own on this machine, over a real search."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from concurrent import futures

import grpc
import pytest
from tiny_grid import running, wait_until
from tiny_search import plain, tiny_search

import keras_hypernet as kh
from keras_hypernet.tuning import distributed
from keras_hypernet.tuning.distributed import environment, parse_address, wait_for_chief

# Starts a process for each line it reads, which takes part in a search of six trials, and says its number; they share
# one import of the libraries. Such a process writes down the trials that it ran, or as the chief knows, or its error.
SCRIPT = """
import json, os, signal, sys, traceback
from tiny_search import tiny_search
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    role, address, name, directory, epochs, file = line.split()
    process = os.fork()
    if process == 0:
        options = {"distributed": role, "address": address, "directory": directory, "epochs": int(epochs)}
        options |= {"worker_id": None if name == "-" else name, "worker_timeout": 20.0, "wait": 200.0}
        try:
            written = json.dumps(tiny_search("both", **options).trials)
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

    def ended(self):
        """What it has written when it has ended."""
        wait_until(lambda: not running(self.number), 600)
        return json.loads(self.file.read_text())


@pytest.fixture
def start(starter, tmp_path):
    """Returns a function that starts a process that takes part in a search in a folder."""
    address, parts = f"127.0.0.1:{_free_port()}", []

    def start(role, name="-", epochs=EPOCHS):
        file = tmp_path / f"{role}{name}{len(parts)}.json"
        starter.stdin.write(f"{role} {address} {name} {tmp_path / 'search'} {epochs} {file}\n")
        starter.stdin.flush()
        parts.append(Part(int(starter.stdout.readline()), file))
        return parts[-1]

    yield start
    for part in parts:
        if running(part.number):
            part.kill()


def _free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
    chief = start("chief")
    workers = {name: start("worker", name) for name in ("one", "two")}
    rows, ran = chief.ended(), {name: part.ended() for name, part in workers.items()}
    assert _sorted(rows) == _sorted(alone.trials)
    assert {row["worker"] for row in rows} == {"one", "two"}
    for name, mine in ran.items():
        assert {row["worker"] for row in mine} == {name}
    assert sorted(row["trial"] for mine in ran.values() for row in mine) == [row["trial"] for row in rows]
    assert kh.tuning.SearchResult.read(tmp_path / "search").trials == rows
    assert {row["epochs"] for row in rows} == {EPOCHS}


def test_a_chief_and_a_worker_that_are_killed_lose_no_finished_trial(start, tmp_path, alone):
    """A chief that is started again goes on with the worker there is; the trial of a lost one is run by another."""
    folder = tmp_path / "search"

    def training(trial):
        return (folder / "trials" / trial / "seed-0" / "state.json").exists

    chief, killed = start("chief"), start("worker", "killed")
    wait_until(training("trial_0001"), 600)
    chief.kill()
    assert dict(_states(folder)) == {"trial_0000": "COMPLETED", "trial_0001": "RUNNING"}
    chief = start("chief")
    wait_until(training("trial_0002"), 600)
    killed.kill()
    states = dict(_states(folder))
    assert states == {"trial_0000": "COMPLETED", "trial_0001": "COMPLETED", "trial_0002": "RUNNING"}
    before = {path: path.read_text() for path in folder.glob("trials/trial_000[01]/trial.json")}

    other = start("worker", "other")
    rows, mine = chief.ended(), other.ended()
    assert [row["worker"] for row in rows] == ["killed"] * 2 + ["other"] * 4
    assert [row["trial"] for row in mine] == [row["trial"] for row in rows[2:]]
    assert {path: path.read_text() for path in before} == before
    assert _sorted(rows) == _sorted(alone.trials)
    assert 0 < rows[2]["epochs"] < EPOCHS  # it went on where the other was killed


# A chief that says when it is asked, and answers or not.
ANSWERING = """
import sys, time
from concurrent import futures
import grpc
address, answers = sys.argv[1:]
def answer(request, context):
    print("asked", flush=True)
    time.sleep(0 if answers == "yes" else 3600)
    return b"answer"
server = grpc.server(futures.ThreadPoolExecutor(1))
handlers = {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Oracle", handlers)])
server.add_insecure_port(address)
server.start()
server.wait_for_termination()
"""


def test_a_question_over_which_a_chief_was_killed_is_put_to_the_next_one():
    address = f"127.0.0.1:{_free_port()}"

    def chief(answers):
        return subprocess.Popen([sys.executable, "-c", ANSWERING, address, answers], stdout=subprocess.PIPE)

    class Client:
        name = "worker"

        def ask(self):
            with grpc.insecure_channel(address) as channel:
                return channel.unary_unary("/Oracle/Ask")(b"question", wait_for_ready=True, timeout=100)

    client = distributed.PersistentClient(Client())
    with futures.ThreadPoolExecutor() as pool:
        with chief("no") as killed:
            answer = pool.submit(client.ask)
            assert killed.stdout.readline() == b"asked\n"
            killed.kill()
        with chief("yes") as process:
            assert answer.result() == b"answer"
            process.kill()
    assert client.name == "worker"


def test_a_worker_needs_the_arguments_of_its_chief(start, tmp_path):
    start("chief")
    assert "ValueError: " in (error := start("worker", "other", epochs=2).ended())
    assert "holds another search" in error


def test_a_chief_that_is_not_there_is_named():
    address = f"127.0.0.1:{_free_port()}"
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=f"There is no chief at {address} .*refused.*, after 1 seconds. Start it"):
        wait_for_chief(address, 1)
    assert time.monotonic() - started < 10
    with pytest.raises(ConnectionError, match="There is no chief at chief.invalid:8000"):
        wait_for_chief("chief.invalid:8000", 0)


def test_an_address_that_is_taken_is_named(tmp_path):
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"The chief cannot listen at {address} .*Is another process using"):
            tiny_search(distributed="chief", address=address, directory=tmp_path)


def test_the_environment_is_set_and_left_as_it_was(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    monkeypatch.delenv("KERASTUNER_TUNER_ID", raising=False)
    with environment("worker", "10.0.0.5:8000", "one"):
        assert [os.environ[name] for name in distributed._VARIABLES] == ["one", "10.0.0.5", "8000"]
    assert os.environ["KERASTUNER_ORACLE_PORT"] == "1"
    assert "KERASTUNER_TUNER_ID" not in os.environ
    with environment("worker", "h:8000"):
        name = os.environ["KERASTUNER_TUNER_ID"]
    assert name.endswith(f"-{os.getpid()}")
    assert "chief" not in name


@pytest.mark.parametrize("address", [None, "", "here", "here:", ":80", "here:none", "here:0", "here:65536"])
def test_addresses_are_checked(address):
    with pytest.raises(ValueError, match="The address of the chief must be HOST:PORT, such as 10.0.0.5:8000. Received"):
        parse_address(address)


def test_a_chief_whose_search_is_complete_ends_at_once(tmp_path):
    found = tiny_search(depth=[2], epochs=1, trials=1, directory=tmp_path)
    address = f"127.0.0.1:{_free_port()}"
    again = tiny_search(depth=[2], epochs=1, trials=1, directory=tmp_path, distributed="chief", address=address)
    assert again == found
