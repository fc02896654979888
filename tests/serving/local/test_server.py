"""The server as a process: `keras-hypernet serve`; its limits, logs and metrics, and how it ends."""

import asyncio
import contextlib
import gc
import importlib
import ipaddress
import pathlib
import re
import signal
import socket
import sys
import threading

import numpy as np
import pytest
import requests
from helpers import pixels
from servers import opened, serve, started, wait_for, write_gated_model, write_version

import keras_hypernet as kh
from keras_hypernet.serving import Client, OverloadedError, UnavailableError
from keras_hypernet.serving.local.engine import Limits
from keras_hypernet.serving.local.server import Server

NAME = "rotation_mnist_hyper"


def test_the_server_exports_an_entry_logs_counts_and_answers_running_requests_before_its_end(tmp_path):
    (tmp_path / NAME / ".1.abcdefgh").mkdir(parents=True)  # a killed export leaves this folder
    gate = write_gated_model(tmp_path / "gated")
    with started(tmp_path, NAME, "gated") as (process, ports, lines):
        assert (tmp_path / NAME / "1" / "saved_model.pb").is_file()
        url = f"http://127.0.0.1:{ports['rest']}"
        assert lines[-1]["page"] == f"{url}/"
        image = pixels((1, 28, 28, 1))
        for protocol, name in (("rest", NAME), ("grpc", NAME), ("rest", "nothing")):
            client = Client(f"127.0.0.1:{ports[protocol]}", name, protocol=protocol)
            with contextlib.suppress(kh.serving.NotFoundError):
                client.predict(image, image)
        requests.post(f"{url}/v1/models/invented:predict", data="{}", timeout=60)
        metrics = requests.get(f"{url}/monitoring/prometheus/metrics", timeout=60)
        assert metrics.headers["content-type"].startswith("text/plain")
        for line in (
            "# TYPE :tensorflow:serving:request_count counter",
            rf':tensorflow:serving:request_count{{model_name="{NAME}",status="OK"}} 2.0',
            r':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 1.0',
            r"keras_hypernet_weight_cache_misses_total 1.0",
            r"keras_hypernet_weight_cache_hits_total 1.0",
            r"# TYPE keras_hypernet_weight_cache_hits_total counter",
            r"# TYPE keras_hypernet_weight_cache_misses_total counter",
            r"keras_hypernet_weight_cache_hit_rate 0.5",
            rf'keras_hypernet_model_version_available{{model_name="{NAME}",version="1"}} 1.0',
            rf':tensorflow:serving:request_latency_count{{API="Predict",entrypoint="REST",model_name="{NAME}"}} 1.0',
            rf':tensorflow:serving:request_latency_count{{API="Predict",entrypoint="GRPC",model_name="{NAME}"}} 1.0',
        ):
            assert line in metrics.text.splitlines(), metrics.text
        client.close()
        with Client(f"127.0.0.1:{ports['rest']}", NAME) as client:
            for _ in range(2):
                client.predict(image, image)
        metrics = requests.get(f"{url}/monitoring/prometheus/metrics", timeout=60)
        assert "keras_hypernet_weight_cache_hit_rate 0.75" in metrics.text.splitlines()
        _stop_while_requests_run(process, ports, lines, gate, signal.SIGTERM)
    logged = [line for line in lines if line.get("method") in ("POST", "Predict")]
    assert [(line["status"], line.get("model"), line.get("rows")) for line in logged][:2] == [
        (200, NAME, 1),
        ("OK", NAME, 1),
    ]
    assert all(line["milliseconds"] > 0 and line["bytes"] > 0 for line in logged[:2])
    assert logged[2]["status"] == 404
    assert logged[2]["error"] == "Servable not found for request: Latest(invented)"
    assert [line["event"] for line in lines if "event" in line] == ["loaded", "loaded", "ready", "stopping", "stopped"]


@pytest.mark.full
def test_running_requests_are_answered_after_an_interrupt(folder, gate):
    with started(folder, "gated") as (process, ports, lines):
        _stop_while_requests_run(process, ports, lines, gate, signal.SIGINT)


def _stop_while_requests_run(process, ports, lines, gate, number):
    """Sends a signal while a request runs by each protocol: both are answered, and then the process ends with 0."""
    clients = [
        Client(f"127.0.0.1:{ports[protocol]}", "gated", protocol=protocol, retries=0) for protocol in ("rest", "grpc")
    ]
    answers, threads = [], []
    for client in clients:
        client.metadata()
        ask = lambda client=client: answers.append(client.predict(np.float32([5])).tolist())  # noqa: E731
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    wait_for(lambda: _running(ports) == 2)
    process.send_signal(number)
    wait_for(lambda: lines[-1].get("event") == "stopping")
    with opened(gate):
        for thread in threads:
            thread.join(60)
        assert answers == [[5.0]] * 2
        assert process.wait(60) == 0
    for client in clients:
        with pytest.raises(UnavailableError):
            client.predict(np.float32([5]))


def _running(ports):
    metrics = requests.get(f"http://127.0.0.1:{ports['rest']}/monitoring/prometheus/metrics", timeout=60).text
    (running,) = re.findall("^keras_hypernet_requests_running (.*)$", metrics, re.MULTILINE)
    return float(running)


@pytest.mark.full
@pytest.mark.parametrize("signals", [1, 2])
def test_an_endless_request_does_not_keep_the_server_running(folder, gate, signals):
    grace, errors = 1 if signals == 1 else 600, []
    with started(folder, "gated", grace_seconds=grace) as (process, ports, lines):
        client = Client(f"127.0.0.1:{ports['grpc']}", "gated", protocol="grpc", retries=0)
        client.metadata()

        def ask():
            try:
                client.predict(np.float32([1]))
            except kh.serving.ServingError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: _running(ports) == 1)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: any(line.get("event") == "stopping" for line in lines))
        if signals == 2:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
        thread.join(60)
        assert [type(error) for error in errors] == [UnavailableError]
    assert lines[-1]["event"] == ("stopped with requests unanswered", "stopped by a second signal")[signals - 1]
    assert lines[-1]["requests"] == 1


def test_requests_to_a_stopping_server_are_unavailable(tmp_path):
    (tmp_path / "times").mkdir()
    write_version(tmp_path / "times", 1)
    errors, answered = [], set()

    def ask(client):
        try:
            while True:
                client.predict(np.float32([1]))
                answered.add(client)
        except kh.serving.ServingError as error:
            errors.append(error)

    with serve(tmp_path, "times") as server:
        clients = [Client(f"127.0.0.1:{server.grpc_port}", "times", protocol="grpc", retries=0) for _ in range(8)]
        threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answered) == 8)
    for thread in threads:
        thread.join(60)
    assert [type(error) for error in errors] == [UnavailableError] * 8, errors


def test_too_many_concurrent_requests_are_refused(folder, gate):
    with serve(folder, "gated", limits=Limits(max_concurrent=2)) as server:
        clients = [
            Client(f"127.0.0.1:{port}", "gated", protocol=protocol)
            for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port))
        ]
        answers = []
        ask = lambda client: answers.append(client.predict(np.float32([7])).tolist())  # noqa: E731
        threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(server.engine.running) == 2)
        message = "The server is working on 2 requests, as many as it accepts. Try again later."
        for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
            with pytest.raises(OverloadedError, match=message) as error:
                Client(f"127.0.0.1:{port}", "gated", protocol=protocol).predict(np.float32([1]))
            assert error.value.code == "RESOURCE_EXHAUSTED"
        with opened(gate):
            for thread in threads:
                thread.join()
            assert answers == [[7.0]] * 2
            wait_for(lambda: len(server.engine.running) == 0)
            assert clients[0].predict(np.float32([1])).tolist() == [1.0]


def test_a_client_that_goes_away_is_forgotten_when_its_work_is_done(folder, gate):
    with serve(folder, "gated", limits=Limits(max_concurrent=2)) as server:
        body = b'{"instances": [1.0]}'
        head = f"POST /v1/models/gated:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        for number in (1, 2):
            with socket.create_connection(("127.0.0.1", server.rest_port)) as connection:
                connection.sendall(head.encode() + body)
                wait_for(lambda number=number: len(server.engine.running) == number)
        with opened(gate):
            wait_for(lambda: len(server.engine.running) == 0)


def test_the_server_listens_on_this_machine_alone(folder):
    with serve(folder, "times") as server:
        for port in (server.rest_port, server.grpc_port):
            (address,) = _listening_addresses(port)
            assert (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_parts_of_an_answer_are_sent_without_delay(folder):
    """Otherwise the body of an answer may wait 40 ms, until the client has acknowledged its head."""
    with serve(folder, "times") as server, requests.Session() as session:
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/times"
        assert session.get(url, timeout=60).ok
        transports = [each for each in gc.get_objects() if isinstance(each, asyncio.Transport)]
        sockets = [each.get_extra_info("socket") for each in transports if each.get_extra_info("sockname")]
        ours = [each for each in sockets if each.fileno() >= 0 and each.getsockname()[1:2] == (server.rest_port,)]
        assert ours
        assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in ours)


def _listening_addresses(port):
    """The local addresses of the sockets that listen on a port."""
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            (address, at), state = line.split()[1].split(":"), line.split()[3]
            if state == "0A" and int(at, 16) == port:
                # Groups of four bytes, each in the order of this machine.
                groups = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                addresses.add(ipaddress.ip_address(b"".join(groups)))
    return addresses


def test_a_port_in_use_is_an_error(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"rest_port": port, "grpc_port": 0}, {"rest_port": 0, "grpc_port": port}):
            with (
                pytest.raises(OSError, match=rf"Port {port} of 127.0.0.1 is not available .Address already in use."),
                serve(folder, "times", **ports),
            ):
                pass


def test_an_unloadable_model_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="Model 'empty' has no version that can be served"), serve(tmp_path, "empty"):
        pass
    (tmp_path / "empty" / "1").mkdir()
    (tmp_path / "empty" / "1" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="must hold a SavedModel. Received: "), serve(tmp_path, "empty"):
        pass
    with pytest.raises(ValueError, match="`max_batch_rows` must be an integer of at least 1. Received: 0"):
        Server(tmp_path, ["empty"], limits=Limits(max_batch_rows=0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rest_port": 70_000}, "`rest_port` must be an integer of at most 65535. Received: 70000"),
        ({"grpc_port": -1}, "`grpc_port` must be an integer of at least 0. Received: -1"),
        ({"rest_port": 8500}, "`rest_port` and `grpc_port` must be two ports. Received: 8500 for both"),
        (
            {"poll_seconds": 0},
            "`poll_seconds` must be a finite number of at least .* at most 1e.09. Received: 0",
        ),
        (
            {"poll_seconds": float("nan")},
            "`poll_seconds` must be a finite number of at least .* at most 1e.09. Received: nan",
        ),
        (
            {"poll_seconds": 1e10},
            "`poll_seconds` must be a finite number of at least .* at most 1e.09. Received: 1",
        ),
        (
            {"grace_seconds": -3},
            "`grace_seconds` must be a finite number of at least .* at most 1e.09. Received: -3",
        ),
        (
            {"grace_seconds": None},
            "`grace_seconds` must be a finite number of at least .* at most 1e.09. Received: None",
        ),
        ({"rest_port": "8501"}, "`rest_port` must be an integer of at least 0. Received: '8501'"),
    ],
)
def test_invalid_arguments_are_refused(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        Server(folder, ["times"], **arguments)


def test_addresses_of_either_kind(folder):
    with serve(folder, "times", host="::1") as server:
        for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
            with Client(f"[::1]:{port}", "times", protocol=protocol) as client:
                assert client.predict(np.float32([5])).tolist() == [5.0]
    with (
        pytest.raises(OSError, match="of 192.0.2.1 is not available .Cannot assign requested address."),
        serve(folder, "times", host="192.0.2.1"),
    ):
        pass
    with (
        pytest.raises(
            OSError, match="The host must be a name or an address of this machine. Received: 'nowhere.invalid'"
        ),
        serve(folder, "times", host="nowhere.invalid"),
    ):
        pass


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "keras_hypernet.serving.local")
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[serving\]'"):
        importlib.import_module("keras_hypernet.serving.local")
