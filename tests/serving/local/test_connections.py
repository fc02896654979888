"""Stalled connections: their deadlines, their maximum number, and their lines in the log."""

import contextlib
import json
import logging
import pathlib
import re
import resource
import socket
import threading
import time

import grpc
import numpy as np
import pytest
from servers import predict_request, serve, started, wait_for

from keras_hypernet.serving import Client
from keras_hypernet.serving.local import events
from keras_hypernet.serving.local.engine import Limits
from keras_hypernet.serving.local.limits import allow_open_files

pytestmark = pytest.mark.regression
PATH = "/v1/models/times:predict"
BODY = b'{"instances": [1.0]}'
REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
HALF = REQUEST[:30]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = PREFACE + b"\0\0\0\4\0\0\0\0\0"
LONG = 3600  # seconds, longer than any test


@contextlib.contextmanager
def _connected(port, *sent):
    """A connection, after these parts are sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for part in sent:
            connection.sendall(part)
        yield connection


def _until_closed(connection):
    """All bytes that the server sends until it closes the connection."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return bytes(received)


def _answered(connection):
    """Sends a request, reads the answer, and returns whether there is one."""
    connection.sendall(REQUEST)
    received = b""
    while not received.endswith(b"}"):
        if not (part := connection.recv(65536)):
            return False
        received += part
    return received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", HALF])
def test_headers_have_a_deadline(folder, sent):
    limits = Limits(header_seconds=1, idle_seconds=LONG)
    with serve(folder, "times", limits=limits) as server, _connected(server.rest_port, sent) as connection:
        assert _until_closed(connection) == b""


@pytest.mark.parametrize(("sent", "limits"), [(b"", {"idle_seconds": 1}), (HALF, {"header_seconds": 2})])
def test_the_next_request_has_a_deadline(folder, sent, limits):
    limits = Limits(**{"header_seconds": LONG, "idle_seconds": LONG, **limits})
    with serve(folder, "times", limits=limits) as server, _connected(server.rest_port) as connection:
        assert _answered(connection)
        connection.sendall(sent)
        assert _until_closed(connection) == b""


def test_headers_that_come_byte_by_byte_have_the_same_deadline(folder):
    with (
        serve(folder, "times", limits=Limits(header_seconds=1)) as server,
        _connected(server.rest_port, HALF) as connection,
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
    ):
        while True:
            connection.sendall(b"a")
            time.sleep(0.1)


def test_a_running_request_has_no_header_deadline(folder):
    limits = Limits(header_seconds=2, body_seconds=LONG)
    with serve(folder, "times", limits=limits) as server, _connected(server.rest_port, REQUEST[:-5]) as connection:
        time.sleep(2.5)
        connection.sendall(REQUEST[-5:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_all_answered(folder):
    with serve(folder, "times") as server, _connected(server.rest_port, 5 * REQUEST) as connection:
        received = b""
        while received.count(b"predictions") < 5:
            received += connection.recv(65536)
        assert received.count(b"HTTP/1.1 200 ") == 5


def test_an_answer_that_the_client_does_not_read_is_dropped(folder, caplog):
    body = b'{"instances": [1]}'
    head = f"POST /v1/models/long:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        serve(folder, "long", limits=Limits(body_seconds=1)) as server,
        _connected(server.rest_port, head.encode() + body) as connection,
    ):
        wait_for(lambda: _events(caplog, "connection closed: answer not taken"))
        head, received = _until_closed(connection).split(b"\r\n\r\n", 1)
        (length,) = re.findall(rb"content-length: (\d+)", head)
        assert len(received) < 2**24 < int(length)


def test_the_longest_waiting_connection_is_closed_first(folder):
    limits = Limits(max_connections=3, header_seconds=LONG, body_seconds=LONG, idle_seconds=LONG)
    with serve(folder, "times", limits=limits) as server, contextlib.ExitStack() as stack:
        under_way = stack.enter_context(_connected(server.rest_port, REQUEST[:-5]))
        wait_for(lambda: server.engine.buffered.num_bytes)
        first, half = (stack.enter_context(_connected(server.rest_port)) for _ in range(2))
        assert _answered(half)
        half.sendall(HALF)
        assert _answered(first)  # it waits since now, and `half` longer
        good = stack.enter_context(_connected(server.rest_port))
        assert _until_closed(half) == b""
        for connection in (first, good, first):
            assert _answered(connection)
        under_way.sendall(REQUEST[-5:])
        assert under_way.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_running_requests_survive_new_connections(folder, caplog):
    limits = Limits(max_connections=2, body_seconds=LONG)
    with serve(folder, "times", limits=limits) as server, contextlib.ExitStack() as stack:
        under_way = [stack.enter_context(_connected(server.rest_port, REQUEST[:-5])) for _ in range(2)]
        wait_for(lambda: server.engine.buffered.num_bytes == 2 * (len(BODY) - 5))
        while not _events(caplog, "connection closed: too many connections"):  # once a second at most
            with _connected(server.rest_port) as refused:
                assert _until_closed(refused) == b""
        for connection in under_way:
            connection.sendall(REQUEST[-5:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half", "no settings"])
def test_the_settings_of_grpc_have_a_deadline(folder, sent):
    limits = Limits(header_seconds=1, idle_seconds=LONG)
    with serve(folder, "times", limits=limits) as server, _connected(server.grpc_port, sent) as connection:
        _until_closed(connection)


def test_idle_connections_by_grpc_are_closed_and_no_call_is_lost(folder):
    with (
        serve(folder, "times", limits=Limits(header_seconds=LONG, idle_seconds=1)) as server,
        Client(f"127.0.0.1:{server.grpc_port}", "times", protocol="grpc", retries=0) as client,
    ):
        assert client.predict(np.float32([1])).tolist() == [1.0]
        with _connected(server.grpc_port, SETTINGS) as connection:
            _until_closed(connection)
        assert client.predict(np.float32([1])).tolist() == [1.0]


def test_the_number_of_grpc_connections_is_limited(folder):
    limits = Limits(max_connections=3, header_seconds=LONG)
    with serve(folder, "times", limits=limits) as server, contextlib.ExitStack() as stack:
        client = stack.enter_context(Client(f"127.0.0.1:{server.grpc_port}", "times", protocol="grpc", retries=0))
        assert client.predict(np.float32([1])).tolist() == [1.0]
        for _ in range(2):
            connection = stack.enter_context(_connected(server.grpc_port))
            assert connection.recv(9)[3] == 4  # the settings of the server: the connection is accepted
        with _connected(server.grpc_port) as refused:
            assert _until_closed(refused) == b""
        assert client.predict(np.float32([1])).tolist() == [1.0]


def test_a_stalled_grpc_message_ends_at_its_deadline(folder, caplog):
    caplog.set_level(logging.INFO, "keras_hypernet.serving.access")
    never = threading.Event()

    def message():
        never.wait(60)
        yield b""

    with (
        serve(folder, "times", limits=Limits(max_concurrent=1, body_seconds=1)) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        predict = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        calls = [predict.future(message(), timeout=60) for _ in range(17)]
        assert {(call.exception().code().name, call.exception().details()) for call in calls} == {
            ("DEADLINE_EXCEEDED", "The body of a request must arrive within 1 seconds. Received: no complete message")
        }
        never.set()
        answer = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(
            predict_request("times", {"x": np.float32([1])}).SerializeToString(), timeout=60
        )
        assert answer
        with pytest.raises(grpc.RpcError, match="The call ended before its message was read.") as error:
            predict(iter([]), timeout=60)
        assert error.value.code().name == "INVALID_ARGUMENT"
    statuses = [json.loads(record.message)["status"] for record in caplog.records if record.name.endswith("access")]
    assert statuses == ["DEADLINE_EXCEEDED"] * 17 + ["OK", "INVALID_ARGUMENT"]


def test_repeated_failures_are_logged_once_a_second(caplog):
    begun = time.monotonic()
    for number in range(3000):
        events.log_rarely("much", number=number)
        events.log_rarely("more", number=number)
    seconds = time.monotonic() - begun
    for name in ("much", "more"):
        lines = _events(caplog, name)
        assert 1 <= len(lines) <= 1 + seconds
        assert lines[0]["times"] == 1
        assert sum(line["times"] for line in lines) == lines[-1]["number"] + 1


@pytest.mark.full
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the limits of another process are Linux's alone")
def test_a_server_without_free_files_logs_it_and_recovers(folder):
    with started(folder, "times") as (process, ports, lines), contextlib.ExitStack() as stack:
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        files = len(list(pathlib.Path(f"/proc/{process.pid}/fd").iterdir()))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, hard))
        for port in ports.values():
            stack.enter_context(_connected(port))
        wait_for(lambda: sum(line.get("times", 0) for line in list(lines)) > 500)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        for protocol, port in (("rest", ports["rest"]), ("grpc", ports["grpc"])):
            with Client(f"127.0.0.1:{port}", "times", protocol=protocol) as client:
                assert client.predict(np.float32([1])).tolist() == [1.0]
    lines = [line for line in lines if line.get("event") == "error in the event loop"]
    assert {line["error"] for line in lines} == {"socket.accept() out of system resource"}
    assert len(lines) < sum(line["times"] for line in lines)


def test_the_file_limit_is_raised_for_the_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        allow_open_files(Limits(max_connections=100))
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (456, hard)
        allow_open_files(Limits(max_connections=10))  # does not lower the limit
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (456, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(
        ValueError, match=rf"`max_connections` {hard} needs {2 * hard + 256} open files, and this .* {hard}\."
    ):
        allow_open_files(Limits(max_connections=hard))


def _events(caplog, name):
    records = [record for record in caplog.records if record.name == "keras_hypernet.serving.local.events"]
    return [line for line in (json.loads(record.message) for record in records) if line["event"] == name]
