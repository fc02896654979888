"""Slow clients, many clients, clients that disappear: their memory, their answers, and their lines in the log."""

import contextlib
import gzip
import json
import logging
import re
import socket
import threading

import grpc
import numpy as np
import pytest
import requests
from servers import (
    grpc_stubs,
    opened,
    predict_request,
    resident_bytes,
    serve,
    wait_for,
)

from keras_hypernet.serving import Client, OverloadedError
from keras_hypernet.serving.local.engine import Limits

PATH = "/v1/models/times:predict"


@pytest.fixture
def lines(caplog):
    """Returns a function that waits for lines of the access log, which are JSON, and returns them."""
    caplog.set_level(logging.INFO, "keras_hypernet.serving.access")

    def lines(number=1):
        wait_for(lambda: len(_access(caplog)) >= number)
        return _access(caplog)

    return lines


def _access(caplog):
    return [json.loads(record.message) for record in caplog.records if record.name == "keras_hypernet.serving.access"]


@contextlib.contextmanager
def _stalled(server, sent, length=None):
    """A connection that has sent the beginning of a body, and nothing more."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length or sent + 10}\r\n\r\n"
        connection.sendall(head.encode() + b" " * sent)
        yield connection


def _all(connection):
    """All bytes that the server sends until it closes a connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def _ask(server):
    url = f"http://127.0.0.1:{server.rest_port}{PATH}"
    answer = requests.post(url, json={"instances": [1.0]}, timeout=60)
    return answer.status_code, answer.json()


def test_stalled_clients_block_no_others(folder):
    with serve(folder, "times", limits=Limits(max_concurrent=1)) as server:
        with _stalled(server, 10), _stalled(server, 10):
            wait_for(lambda: server.engine.buffered.num_bytes == 20)
            assert len(server.engine.running) == 0
            assert _ask(server)[0] == 200
        wait_for(lambda: server.engine.buffered.num_bytes == 0)


def test_all_bodies_together_have_a_limit(folder):
    with serve(folder, "times", limits=Limits(max_body_bytes=2**19)) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(_stalled(server, 2**19 - 5, length=2**19))
            wait_for(lambda: server.engine.buffered.num_bytes == 2**21 - 20)
            answer = requests.post(f"http://127.0.0.1:{server.rest_port}{PATH}", data=b" " * 2**17, timeout=60)
            assert answer.status_code == 429, answer.text
            assert answer.json()["error"] == (
                "The server holds 2,097,132 bytes of requests, and may hold 2,097,152. Try again later."
            )
            assert _ask(server) == (200, {"predictions": [1.0]})  # the server still reads small bodies
        wait_for(lambda: server.engine.buffered.num_bytes == 0)
        assert _ask(server) == (200, {"predictions": [1.0]})
        wait_for(lambda: len(server.engine.running) == 0 and server.engine.buffered.num_bytes == 0)


@pytest.mark.regression
def test_all_bodies_together_are_counted_decompressed(folder):
    limits = Limits(max_body_bytes=2**20, body_seconds=3600)
    with serve(folder, "times", limits=limits) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(_stalled(server, 2**20 - 5, length=2**20))
        wait_for(lambda: server.engine.buffered.num_bytes == 3 * (2**20 - 5))
        url, headers = f"http://127.0.0.1:{server.rest_port}{PATH}", {"Content-Encoding": "gzip"}
        for size, status in ((2**20, 429), (2**19, 200)):
            body = gzip.compress(b'{"instances": [1]}'.ljust(size))
            assert len(body) < 2**11
            assert requests.post(url, data=body, headers=headers, timeout=60).status_code == status
        assert server.engine.buffered.num_bytes == 3 * (2**20 - 5)


@pytest.mark.regression
@pytest.mark.parametrize("sent", [10, 2**20], ids=["slow", "fast at first"])
def test_a_body_that_stalls_is_a_408(folder, lines, sent):
    with serve(folder, "times", limits=Limits(body_seconds=1)) as server, _stalled(server, sent) as connection:
        answer = _all(connection).decode()
        assert answer.startswith("HTTP/1.1 408 ")
        error = json.loads(answer.split("\r\n\r\n", 1)[1])["error"]
        assert re.fullmatch(r"The body of a request must arrive within 1 seconds. Received: [\d,]+ bytes", error)
        assert server.engine.buffered.num_bytes == 0
    assert [line["status"] for line in lines()] == [408]


def test_a_client_that_hangs_up_while_it_sends_is_a_line_of_the_log(folder, lines, caplog):
    with serve(folder, "times") as server:
        with _stalled(server, 10):
            wait_for(lambda: server.engine.buffered.num_bytes)
        (line,) = lines()
        metrics = requests.get(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=60).text
    assert (line["status"], line["error"]) == (499, "The client disconnected before its request was read.")
    assert ':tensorflow:serving:request_count{model_name="times",status="CANCELLED"} 1.0' in metrics
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.message]


def test_too_large_requests_are_counted(folder):
    with serve(folder, "times", limits=Limits(max_body_bytes=2**10)) as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        assert requests.post(url + PATH, data=b" " * 2000, timeout=60).status_code == 413
        metrics = requests.get(f"{url}/monitoring/prometheus/metrics", timeout=60).text
    assert ':tensorflow:serving:request_count{model_name="times",status="RESOURCE_EXHAUSTED"} 1.0' in metrics


def test_unexpected_errors_are_logged_with_their_traceback(folder, lines, monkeypatch, caplog):
    with serve(folder, "times") as server, grpc_stubs(server) as (prediction, _):
        monkeypatch.setattr(server.engine, "run", lambda *_: {}["nothing"])
        assert _ask(server) == (500, {"error": "The server failed: KeyError."})
        with pytest.raises(grpc.RpcError) as error:
            prediction.Predict(predict_request("times", {"x": np.float32([1])}), timeout=60)
        assert (error.value.code().name, error.value.details()) == ("INTERNAL", "The server failed: KeyError.")
        logged = lines(2)
    assert [line["status"] for line in logged] == [500, "INTERNAL"]
    assert all(line["traceback"].endswith("KeyError: 'nothing'\n") for line in logged)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_cancelled_request_by_grpc_is_a_line_of_the_log(folder, gate, lines):
    with serve(folder, "gated") as server, grpc_stubs(server) as (prediction, _), contextlib.ExitStack() as stack:
        asked = prediction.Predict.future(predict_request("gated", {"x": np.float32([1])}), timeout=60)
        wait_for(lambda: server.engine.running)
        asked.cancel()
        (line,) = lines()
        assert (line["status"], line["method"], line["model"]) == ("CANCELLED", "Predict", "gated")
        stack.enter_context(opened(gate))
        wait_for(lambda: not server.engine.running)


def test_requests_unanswered_at_the_end_are_refused(folder, gate, lines):
    answers = []
    with contextlib.ExitStack() as stack:

        def ask(url):
            answers.append(requests.post(url, json={"instances": [1.0]}, timeout=60))
            stack.enter_context(opened(gate))  # the server ends when its threads do

        with serve(folder, "gated", grace_seconds=0.2) as server:
            prediction, _ = stack.enter_context(grpc_stubs(server))
            url = f"http://127.0.0.1:{server.rest_port}/v1/models/gated:predict"
            asking = threading.Thread(target=ask, args=(url,))
            asking.start()
            asked = prediction.Predict.future(predict_request("gated", {"x": np.float32([1])}), timeout=60)
            wait_for(lambda: len(server.engine.running) == 2)
        asking.join()
        assert asked.exception().code().name in ("CANCELLED", "UNAVAILABLE")
    (answer,) = answers
    assert (answer.status_code, answer.json()) == (503, {"error": "The server stops before the response."})
    assert {line["status"] for line in lines(2)} == {503, "CANCELLED"}


def test_long_names_are_cut_in_the_log(folder, lines):
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

    name, inputs = "n" * 50_000, {"x": np.float32([1])}
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    status = get_model_status_pb2.GetModelStatusRequest()
    metadata.model_spec.name = status.model_spec.name = name
    with serve(folder, "times") as server, grpc_stubs(server) as (prediction, models):
        url = f"http://127.0.0.1:{server.rest_port}/v1/models"
        assert requests.get(f"{url}/{name}", timeout=60).status_code == 404
        requests.post(f"{url}/times:predict", json={"signature_name": name, "instances": [1.0]}, timeout=60)
        for ask, request in (
            (prediction.Predict, predict_request(name, inputs)),
            (prediction.Predict, predict_request("times", inputs, name)),
            (prediction.GetModelMetadata, metadata),
            (models.GetModelStatus, status),
        ):
            with pytest.raises(grpc.RpcError):
                ask(request, timeout=60)
        logged = lines(6)
    assert all("n" * 100 in json.dumps(line) and len(json.dumps(line)) < 1000 for line in logged)


def test_the_number_of_unread_grpc_calls_is_limited(folder):
    """Each call may hold a message of the largest size. The server refuses further calls until others end."""
    going_on = threading.Event()

    def message():
        going_on.wait(60)
        yield predict_request("times", {"x": np.float32([1])}).SerializeToString()

    with (
        serve(folder, "times", limits=Limits(max_concurrent=1)) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
        Client(f"127.0.0.1:{server.grpc_port}", "times", protocol="grpc", retries=0) as client,
    ):
        assert client.predict(np.float32([1])).tolist() == [1.0]
        # As a stream of one message, so that the call comes before the message.
        predict = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        calls = [predict.future(message(), timeout=60) for _ in range(40)]
        wait_for(lambda: sum(call.done() for call in calls) == 40 - 1 - 16)
        assert {call.code().name for call in calls if call.done()} == {"RESOURCE_EXHAUSTED"}
        with pytest.raises(OverloadedError, match="Concurrent RPC limit exceeded"):
            client.status()
        for call in calls:
            call.cancel()
        going_on.set()
        wait_for(lambda: _is_answered(client))


def _is_answered(client):
    try:
        return client.predict(np.float32([1])).tolist() == [1.0]
    except OverloadedError:
        return False


def test_limits_may_be_huge(folder):
    limits = Limits(max_concurrent=2**40, header_seconds=2**30, body_seconds=2**30, idle_seconds=2**30)
    with serve(folder, "times", limits=limits) as server:
        assert _ask(server)[0] == 200


def test_a_body_that_grpc_cannot_carry_is_refused_before_anything_is_loaded():
    assert Limits(max_body_bytes=2046 * 2**20).max_body_bytes + 2**20 < 2**31
    message = r"`max_body_bytes` must be at most 2,145,386,496 .2046 MiB., which .* Received: 2,146,435,072"
    with pytest.raises(ValueError, match=message):
        Limits(max_body_bytes=2047 * 2**20)


def test_a_too_large_grpc_message_leaves_no_memory(folder):
    message = predict_request("times", {"x": np.zeros(2**24, "float32")}).SerializeToString()
    with (
        serve(folder, "times", limits=Limits(max_body_bytes=2**20)) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        predict, before = channel.unary_unary("/tensorflow.serving.PredictionService/Predict"), resident_bytes()
        with pytest.raises(grpc.RpcError, match="larger than max") as error:
            predict(message, timeout=60)
        assert error.value.code().name == "RESOURCE_EXHAUSTED"
        wait_for(lambda: resident_bytes() - before < len(message) // 2)  # the client has a copy, too, for a while
