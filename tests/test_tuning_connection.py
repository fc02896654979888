"""How a worker finds its chief, and what it does when that does not answer."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import keras_tuner
import pytest
from tiny_grid import wait_until
from tiny_search import RECIPE, TASK, free_port, tiny_search

from keras_hypernet.tuning import distributed
from keras_hypernet.tuning.connection import (
    ChiefFailedError,
    ChiefGoneError,
    OtherSearchError,
    PersistentStub,
    parse_address,
    same_search,
    wait_for_chief,
)
from keras_hypernet.tuning.distributed import check_role, check_space, environment, heartbeat
from keras_hypernet.tuning.hypermodel import DepthSearch

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


class Stub:
    """The client's side of it."""

    def __init__(self, channel):
        self.Ask = channel.unary_unary("/Oracle/Ask")


def _chief(address, answers):
    return subprocess.Popen([sys.executable, "-c", ANSWERING, address, answers], stdout=subprocess.PIPE)


@pytest.fixture
def persistent():
    """Returns a function that returns a stub of that chief, its address and the warnings it gives."""
    address, warnings = f"127.0.0.1:{free_port()}", []
    with grpc.insecure_channel(address) as channel:
        yield lambda patience: (
            PersistentStub(Stub(channel), address, warnings.append, patience, "this search"),
            address,
            warnings,
        )


def test_a_question_over_which_a_chief_was_killed_is_put_to_the_next_one(persistent):
    stub, address, warnings = persistent(100)
    with futures.ThreadPoolExecutor() as pool:
        with _chief(address, "no") as killed:
            answer = pool.submit(stub.Ask, b"question")
            assert killed.stdout.readline() == b"asked\n"
            killed.kill()
        wait_until(lambda: warnings)
        with _chief(address, "yes") as process:
            assert answer.result() == b"answer"
            process.kill()
    (warning,) = warnings
    assert f"The chief at {address} does not answer (" in warning
    assert "goes on asking for 100 seconds: start the chief again, with --resume" in warning


def test_a_chief_that_does_not_come_back_is_given_up(persistent):
    stub, address, warnings = persistent(1)
    for _ in range(2):  # the second time at once: it has been gone for long enough
        with pytest.raises(ChiefGoneError, match=f"The chief at {address} is gone .* again within 1 seconds. Start it"):
            stub.Ask(b"question", wait_for_ready=True, timeout=3600)
    assert len(warnings) == 1


def test_no_proxy_is_between_a_worker_and_its_chief(persistent, monkeypatch):
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    stub, address, _ = persistent(60)
    with _chief(address, "yes") as process:
        try:
            assert stub.Ask(b"question") == b"answer"
        finally:
            process.kill()


def test_a_worker_of_another_search_is_refused_by_its_chief():
    """Whatever it asks; what fails in the chief is told to the worker."""

    def answer(request, context):
        return {b"question": b"answer"}[request]

    handler = grpc.unary_unary_rpc_method_handler(answer)
    address, warnings = f"127.0.0.1:{free_port()}", []
    server = grpc.server(futures.ThreadPoolExecutor(1), interceptors=[same_search("new")])
    for service, method in (("Oracle", "Ask"), ("keras_tuner.Oracle", "GetSpace")):
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    server.add_insecure_port(address)
    server.start()
    with grpc.insecure_channel(address) as channel:
        new, old = (PersistentStub(Stub(channel), address, warnings.append, 60, search) for search in ("new", "old"))
        assert new.Ask(b"question") == b"answer"
        with pytest.raises(
            OtherSearchError, match=f"The chief at {address} makes another search than .* start this wor"
        ):
            old.Ask(b"question")
        with pytest.raises(
            ChiefFailedError, match=f"The chief at {address} could not answer .* Mend what is wrong the"
        ):
            new.Ask(b"unknown")
    server.stop(None)
    assert warnings == []


def test_a_worker_that_is_interrupted_does_not_wait_for_a_chief_that_is_gone(persistent):
    stub, _, warnings = persistent(600)

    class Oracle:
        def get_trial(self, trial_id):
            stub.Ask(trial_id)

    before = threading.enumerate()
    with heartbeat(0.01)(Oracle(), b"0"):
        wait_until(lambda: warnings)
    assert set(threading.enumerate()) - set(before)  # it goes on asking, and was not waited for


def test_a_space_that_was_sent_is_the_same_space():
    search = DepthSearch(
        TASK, "both", width=True, initialization=True, learning_rate=True, embedding_dim=True, recipe=RECIPE
    )
    hp, other = keras_tuner.HyperParameters(), keras_tuner.HyperParameters()
    search.configure(hp)
    sent = keras_tuner.HyperParameters.from_proto(hp.to_proto())
    check_space(sent, hp, "10.0.0.5:8000")
    DepthSearch(TASK, "both", width=True, initialization=True, learning_rate=(1e-3, 1e-2), recipe=RECIPE).configure(
        other
    )
    with pytest.raises(ValueError, match=r"another search, of .'learning_rate': .*, 'embedding_dim': .* Asked for: "):
        check_space(sent, other, "10.0.0.5:8000")


def test_a_chief_that_is_not_there_is_named():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionError, match=f"There is no chief at {address} .*, after 1 seconds. Start it"):
        wait_for_chief(address, 1)
    with pytest.raises(ConnectionError, match="There is no chief at chief.invalid:8000"):
        wait_for_chief("chief.invalid:8000", 0)


def test_something_else_at_the_address_is_not_taken_for_a_chief():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            ConnectionError, match=f"There is no chief at {address} .no answer., after 1 seconds. Start"
        ):
            wait_for_chief(address, 1)
    address = f"127.0.0.1:{free_port()}"
    with _chief(address, "yes") as process:
        with pytest.raises(
            ConnectionError, match=f"no chief at {address} .what answers there is something else., after"
        ):
            wait_for_chief(address, 200)
        process.kill()


def test_an_address_that_is_taken_is_named(tmp_path):
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"The chief cannot listen at {address} .*Is another process using"):
            tiny_search(distributed="chief", address=address, directory=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("host", ["chief-1", "my chief", "täglich/1"])
def test_the_default_name_of_a_worker_is_one(host, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: host)
    check_role("worker", "h:8000", distributed.worker_name())


@pytest.mark.parametrize("name", ["", "chief-1", "the_chief", "oracle", "Oracle", "a/b", "a b", "a\n"])
def test_names_of_workers_are_checked(name):
    with pytest.raises(ValueError, match="`worker_id` must be letters, digits, .*, and not 'oracle'. Received: "):
        check_role("worker", "h:8000", name)


@pytest.mark.parametrize("address", [None, "", "here", "here:", ":80", "here:none", "here:0", "here:65536"])
def test_addresses_are_checked(address):
    with pytest.raises(ValueError, match="The address of the chief must be HOST:PORT, such as 10.0.0.5:8000. Received"):
        parse_address(address)
