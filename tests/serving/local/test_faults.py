"""The server under load and under attack. In full with `pytest tests/serving/local/test_faults.py --full -n 0 -s`.

Short: 300 random requests of each kind, most of them invalid. In full: 5,000 by REST and as many by gRPC, 64 clients
beside 2,000 stalled connections, and a kill. The requests are the same in each run.
"""

import collections
import contextlib
import http.client
import os
import random
import signal
import socket
import threading
import time

import grpc
import numpy as np
import pytest
from attacks import attack
from fuzzing import body, mutated, target
from helpers import pixels
from servers import (
    assert_close,
    predict_request,
    resident_bytes,
    serve,
    started,
    wait_for,
    write_other_models,
    write_version,
)

import keras_hypernet as kh
from keras_hypernet.serving import Client
from keras_hypernet.serving.local.limits import Limits, allow_open_files

NAME = "rotation_mnist_hyper"
# Memory that the requests after the first 200 may leave behind: caches of libraries, and freed memory in the C library.
# In full, a leak of 14 kB for each request fails.
GROWTH = 64 * 2**20
CODES = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED")


@pytest.fixture(params=[pytest.param(300, id="short"), pytest.param(5_000, id="full", marks=pytest.mark.full)])
def number(request):
    """The number of random requests."""
    return request.param


@pytest.fixture(scope="module")
def server(request, tmp_path_factory, exported):
    """The process number and the ports of a server of both models; in full, of a process whose memory is its own."""
    folder = exported(tmp_path_factory.mktemp("saved_models"), NAME)
    write_other_models(folder)
    if request.config.getoption("--full"):
        with started(folder, NAME, "other", max_body=1, max_rows=64) as (process, ports, _):
            yield process.pid, ports
            assert process.poll() is None
    else:
        with serve(folder, NAME, "other", limits=Limits(max_body_bytes=2**20, max_batch_rows=64)) as running:
            yield os.getpid(), {"rest": running.rest_port, "grpc": running.grpc_port}


def _distinct(number, draw):
    """Distinct values that `draw` makes from the same random numbers in each run."""
    rng, drawn = random.Random(0), set()
    while len(drawn) < number:
        value = draw(rng)
        if value not in drawn:
            drawn.add(value)
            yield value


def _half(ports):
    with Client(f"127.0.0.1:{ports['rest']}", "other") as client:
        assert client.predict(np.float32([1, 2, 5])).tolist() == [3.5, 4.0, 5.5]


def test_fuzzed_rest_requests(server, number):
    process, ports = server
    _half(ports)
    statuses, connection = collections.Counter(), None
    for (method, path), content in _distinct(number, lambda rng: (target(rng), body(rng))):
        connection = connection or http.client.HTTPConnection("127.0.0.1", ports["rest"], timeout=60)
        sent = b"" if method in ("GET", "HEAD") else content
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(sent)))
        connection.endheaders(sent)
        answer = connection.getresponse()
        received = answer.read()
        # 501: a type that JSON cannot carry. Any other status beyond 500 would be a fault of the server.
        assert answer.status < 500 or answer.status == 501, (method, path, sent, received)
        assert answer.status == 200 or method == "HEAD" or b"error" in received or b"Invalid HTTP" in received
        statuses[answer.status] += 1
        if answer.will_close:
            connection.close()
            connection = None
        if statuses.total() == 200:
            memory = resident_bytes(process)
    if connection is not None:
        connection.close()
    _half(ports)
    assert {200, 400, 404} <= set(statuses), statuses
    assert resident_bytes(process) - memory < GROWTH


def test_mutated_grpc_messages(server, number):
    process, ports = server
    images = pixels((1, 28, 28, 1))
    good = [
        predict_request("other", {"x": np.float32([1, 2])}),
        predict_request("other", {"text": np.array([b"a"])}, "strings"),
        predict_request(NAME, {"x": images, "condition": images}),
        predict_request(NAME, {"condition": images}, "generate_weights"),
        predict_request("other", {"x": np.float32([1])}, version=3),
        predict_request("other", {"x": np.float32([1])}, version=4),
        predict_request("othe", {"x": np.float32([1])}),
    ]
    messages, codes = [request.SerializeToString() for request in good], collections.Counter()
    with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for message in _distinct(number, lambda rng: mutated(rng, messages)):
            code, details = "OK", ""
            try:
                predict(message, timeout=60)
            except grpc.RpcError as error:
                code, details = error.code().name, error.details()
            assert code in CODES, (message, code, details)
            codes[code] += 1
            if codes.total() == 200:
                memory = resident_bytes(process)
    _half(ports)
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= set(codes), codes
    assert resident_bytes(process) - memory < GROWTH


def test_random_bytes_do_no_harm(server):
    _, ports = server
    generator = random.Random(0)
    for number in range(100):
        port = ports["rest" if number % 2 else "grpc"]
        with socket.create_connection(("127.0.0.1", port)) as connection, contextlib.suppress(OSError):
            connection.sendall(generator.randbytes(generator.randrange(1, 3000)))
            if number % 4 == 0:
                connection.sendall(b"\r\n\r\n")
    for head in (
        b"POST /v1/models/other:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/models/other:predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"GET / HTTX/1.1\r\nHost: localhost\r\n\r\n",
    ):
        answer = None
        # The server does not read the end of a head that is too long: its answer may be lost with the connection.
        with (
            socket.create_connection(("127.0.0.1", ports["rest"]), timeout=30) as connection,
            contextlib.suppress(BrokenPipeError, ConnectionResetError),
        ):
            connection.sendall(head)
            answer = connection.recv(100)
        assert (answer is None and len(head) > 100_000) or answer.startswith(b"HTTP/1.1 4"), (head[:80], answer)
    _half(ports)


@pytest.mark.full
@pytest.mark.regression
def test_no_answer_is_wrong_or_lost_under_load(exported, tmp_path):
    """Many clients, while versions change, and others stall or send garbage."""
    clients, last = 64, 4
    allow_open_files(Limits())  # in this process: as many connections as the server may have
    (tmp_path / "times").mkdir()
    for version in range(1, last + 1):
        write_version(tmp_path / "times", version)
        if version > 1:
            (tmp_path / "times" / str(version)).rename(tmp_path / f"later{version}")
    exported(tmp_path, NAME)
    images = pixels((16, 28, 28, 1))
    expected = kh.load(NAME).predict({"x": images, "condition": images[::-1]}, verbose=0)
    done, failures, answered, versions = threading.Event(), [], [0] * clients, set()

    def ask(number, ports):
        protocol = "rest" if number % 2 else "grpc"
        generator = random.Random(number)
        address = f"127.0.0.1:{ports[protocol]}"
        with (
            Client(address, "times", protocol=protocol, retries=0, timeout=120) as times,
            Client(address, NAME, protocol=protocol, retries=0, timeout=120) as rotation,
        ):
            while not done.is_set():
                try:
                    if answered[number] % 2:
                        x = np.float32([generator.randrange(1, 1000)] * generator.randrange(1, 20))
                        received = times.predict(x)
                        version = float(received[0] / x[0])
                        assert (received == version * x).all(), (x, received)
                        versions.add(version)
                    else:
                        row = generator.randrange(16)
                        received = rotation.predict(images[[row]], images[::-1][[row]])
                        np.testing.assert_allclose(received[0], expected[row], atol=1e-4)
                    answered[number] += 1
                except Exception as error:
                    failures.append(repr(error))
                    return

    def attacked():
        """Whether the server has ended stalled requests of every kind, and as many connections as it may have."""
        closed = [line["times"] for line in lines if line.get("event") == "connection closed: headers not complete"]
        return sum(closed) > 1000 and {408, "DEADLINE_EXCEEDED"} <= {line.get("status") for line in lines}

    # For bodies as for headers, so that the clients need not wait longer for the end of stalled bodies.
    with started(tmp_path, "times", NAME, body_seconds=10) as (process, ports, lines):
        threads = [threading.Thread(target=ask, args=(number, ports)) for number in range(clients)]
        for thread in threads:
            thread.start()
        threads += attack(ports, done)
        try:
            for version in range(1, last + 1):
                if version == last:
                    wait_for(lambda: failures or attacked())
                if version > 1:
                    (tmp_path / f"later{version}").rename(tmp_path / "times" / str(version))
                wait_for(lambda version=version: failures or version in versions)
            wait_for(lambda: failures or min(answered) > 0)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert failures == []
    assert versions == set(range(1, last + 1))
    unloaded = [line["version"] for line in lines if line.get("event") == "unloaded"]
    assert unloaded == sorted(unloaded)
    assert 1 in unloaded
    print(f"{sum(answered)} answers to {clients} clients, none wrong, none missing")


@pytest.mark.full
def test_killed_it_is_back_soon_on_the_same_port(exported, tmp_path):
    """A client that retries receives the answer of the next process."""
    exported(tmp_path, NAME)
    image, received = pixels((1, 28, 28, 1)), []
    with started(tmp_path, NAME) as (process, ports, _):
        expected = Client(f"127.0.0.1:{ports['rest']}", NAME).predict(image, image)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    patient = Client(f"127.0.0.1:{ports['rest']}", NAME, retries=60)
    asking = threading.Thread(target=lambda: received.append(patient.predict(image, image)))
    asking.start()
    begun = time.monotonic()
    with started(tmp_path, NAME, rest_port=ports["rest"]) as (_, again, _):
        assert again["rest"] == ports["rest"]
        asking.join(120)
    print(f"answered {time.monotonic() - begun:.1f} s after the start of the next process")
    assert_close(received[0], expected)
