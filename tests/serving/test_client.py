"""The client: parts, retries, timeouts and typed errors, with real servers and a server that fails on purpose."""

import functools
import http.server
import json
import re
import threading

import numpy as np
import pytest
from helpers import pixels
from servers import serve, wait_for, write_version

import keras_hypernet as kh
from keras_hypernet.serving import (
    Client,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServingError,
    UnavailableError,
)
from keras_hypernet.serving import client as client_module
from keras_hypernet.serving.local.engine import Limits

NAME, EMBED = "rotation_mnist_hyper", "rotation_mnist_embed"


@pytest.fixture(scope="module")
def server(tmp_path_factory, exported):
    folder = exported(tmp_path_factory.mktemp("saved_models"), NAME, EMBED)
    with serve(folder, NAME, EMBED, limits=Limits(max_batch_rows=16)) as running:
        yield running


@functools.cache
def _model(name):
    return kh.load(name)


@pytest.fixture(params=["rest", "grpc"])
def connect(request, server):
    """Returns a function that makes a client, by either protocol."""
    port = server.rest_port if request.param == "rest" else server.grpc_port
    return lambda model=NAME, **options: Client(f"127.0.0.1:{port}", model, protocol=request.param, **options)


def test_large_batches_are_sent_in_parts(connect):
    x, condition = pixels((20, 28, 28, 1)), pixels((20, 28, 28, 1), seed=1)
    with pytest.raises(OverloadedError, match="A request may have 16 rows. Received: 20"):
        connect().predict(x, condition)
    client = connect(max_rows=16)
    expected = _model(NAME).predict({"x": x, "condition": condition}, verbose=0)
    received = client.predict(x, condition)
    np.testing.assert_allclose(received, expected, atol=1e-4)
    assert received.dtype == np.float32
    weights = client.generate_weights(condition)
    assert {name: value.shape for name, value in weights.items()} == {
        "hidden_kernel": (20, 784, 10),
        "logits_kernel": (20, 10, 12),
    }
    np.testing.assert_allclose(client.apply(x, weights), expected, atol=1e-4)
    # One condition for all belongs to every part.
    one = {name: value[:1] for name, value in weights.items()}
    same = _model(NAME).predict({"x": x, "condition": np.repeat(condition[:1], 20, axis=0)}, verbose=0)
    np.testing.assert_allclose(client.apply(x, one), same, atol=1e-4)
    np.testing.assert_allclose(client.predict(x, condition[:1]), same, atol=1e-4)


@pytest.mark.parametrize(("rows", "conditions"), [(17, 16), (16, 17), (3, 2), (0, 2), (2, 0), (0, 0), (1, 0), (0, 1)])
def test_unequal_or_empty_batches_are_not_sent(connect, rows, conditions):
    """Not even if the last parts would fit."""
    images = pixels((17, 28, 28, 1))
    message = "(the same number of rows, or one row|must have a row or more)"
    with pytest.raises(ValueError, match=message) as error:
        connect(max_rows=16).predict(images[:rows], images[:conditions])
    assert not isinstance(error.value, ServingError)


def test_the_embedding_method_has_the_same_methods(connect):
    client, x = connect(EMBED), pixels((3, 28, 28, 1))
    weights = client.generate_weights(x[:1])
    assert {name: value.shape for name, value in weights.items()} == {"embedding": (1, 7850)}
    expected = _model(EMBED).predict({"x": x, "condition": np.repeat(x[:1], 3, axis=0)}, verbose=0)
    np.testing.assert_allclose(client.apply(x, weights), expected, atol=1e-4)


def test_one_client_asks_several_models(connect):
    client, image = connect(None), pixels((1, 28, 28, 1))
    for name in (NAME, EMBED):
        expected = connect(name).predict(image, image)
        np.testing.assert_allclose(client.predict(image, image, model=name), expected, atol=1e-4)
        weights = client.generate_weights(image, model=name)
        np.testing.assert_allclose(client.apply(image, weights, model=name), expected, atol=1e-4)
        assert client.metadata(name) == connect(name).metadata()
        assert client.status(model=name) == {1: "AVAILABLE"}
        assert connect(EMBED).metadata(name) == client.metadata(name)  # of another model than the client's own
    for ask in (client.status, client.metadata, lambda: client.predict(image, image)):
        with pytest.raises(ValueError, match="Pass a `model` to the Client, or to this method"):
            ask()


def test_metadata_and_status(connect):
    client = connect()
    assert client.status() == {1: "AVAILABLE"}
    assert client.metadata()["serving_default"] == (
        {"x": ("DT_UINT8", (-1, 28, 28, 1)), "condition": ("DT_UINT8", (-1, 28, 28, 1))},
        {"logits": ("DT_FLOAT", (-1, 12))},
    )
    assert set(client.metadata()) == {"serving_default", "generate_weights", "apply"}


@pytest.mark.regression
def test_arrays_are_converted_only_if_nothing_is_lost(connect):
    image = pixels((1, 28, 28, 1))
    client = connect()
    expected = client.predict(image, image)
    weights = {name: value.astype("float64") for name, value in client.generate_weights(image).items()}
    np.testing.assert_allclose(client.apply(image, weights), expected, atol=1e-4)
    with pytest.raises(ValueError, match="`x` must be of dtype uint8, or convert to it safely. Received: float32"):
        client.predict(image / np.float32(255), image)
    np.testing.assert_array_equal(client.predict(image.astype("int64"), image.tolist()), expected)
    with pytest.raises(ValueError, match="`x` must be of dtype uint8, or .*Received: uint16, with 300$"):
        client.predict(np.where(image == image.max(), 300, 0).astype("uint16"), image)
    large = {name: np.full_like(value, 1e300) for name, value in weights.items()}
    with pytest.raises(
        ValueError, match="must be of dtype float32, or convert to it safely. Received: float64, with 1e.300"
    ):
        client.apply(image, large)
    with pytest.raises(ValueError, match="`x` must be an array with the batch first. Received: 3"):
        client.predict(3, image)


@pytest.mark.regression
def test_integers_beyond_the_precision_of_a_float_are_refused(tmp_path):
    (tmp_path / "times").mkdir()
    write_version(tmp_path / "times", 1)
    with serve(tmp_path, "times") as server, Client(f"127.0.0.1:{server.rest_port}", "times") as client:
        for dtype in ("int32", "int64", "uint64"):
            exact = np.array([2**24, 3], dtype)
            assert client.predict(exact).tolist() == [16777216.0, 3.0]
            with pytest.raises(ValueError, match=f"must be of dtype float32, .* Received: {dtype}, with 16777217$"):
                client.predict(exact + 1)
        with pytest.raises(ValueError, match="Received: int64, with -16777217$"):
            client.predict(np.array([-16777217]))


def test_versions_may_be_any_integer(connect):
    assert connect(version=np.int64(1)).status() == {1: "AVAILABLE"}
    with pytest.raises(ValueError, match="`version` must be an integer of at least 0. Received: 1.0"):
        connect(version=1.0)


def test_names_and_labels_are_quoted_in_urls(connect):
    """They are no parts of a path."""
    image = pixels((1, 28, 28, 1))
    for name in (f"{NAME}/versions/1", f"{NAME}?", "a#b", "a b", "ä:%41"):
        with pytest.raises(NotFoundError, match=re.escape(f"Servable not found for request: Latest({name})")):
            connect(name).predict(image, image)
        with pytest.raises(InvalidRequestError, match=re.escape(f"Unrecognized servable version label: {name}")):
            connect(version=name).predict(image, image)


def test_errors_are_typed(connect):
    image = pixels((1, 28, 28, 1))
    with pytest.raises(InvalidRequestError, match=r"'x' must have the shape \[\?,28,28,1\]. Received: \[1,28,28\]"):
        connect().predict(image[..., 0], image)
    with pytest.raises(NotFoundError, match="Servable not found for request"):
        connect("nothing").predict(image, image)
    with pytest.raises(NotFoundError, match="Specific"):
        connect(version=7).predict(image, image)
    with pytest.raises(InvalidRequestError, match="Unrecognized servable version label: stable"):
        connect(version="stable").predict(image, image)
    with pytest.raises(InvalidRequestError, match="condition, x. Received: x$"):
        connect().predict(image)
    for kind in (InvalidRequestError, NotFoundError, OverloadedError, UnavailableError, DeadlineError):
        assert issubclass(kind, ServingError)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_the_client_follows_a_new_version_with_another_dtype(protocol, tmp_path):
    """The client knows the signatures of the version before."""
    (tmp_path / "times").mkdir()
    dtypes = {1: "float32", 2: "uint8", 3: "float32"}
    write_version(tmp_path / "times", 1, dtype=dtypes[1])
    with serve(tmp_path, "times") as server:
        port = server.rest_port if protocol == "rest" else server.grpc_port
        client = Client(f"127.0.0.1:{port}", "times", protocol=protocol)
        integers = np.array([1, 2])
        for version, dtype in dtypes.items():
            if version > 1:
                write_version(tmp_path / "times", version, dtype=dtype)
            wait_for(lambda version=version: client.status().get(version) == "AVAILABLE")
            if dtype == "float32":  # which the client cannot convert to uint8
                assert client.predict(np.float32([0.5])).tolist() == [version / 2]
            assert client.predict(integers).tolist() == [version, 2 * version]
        with pytest.raises(ValueError, match="`x` must be of dtype float32, or convert to it safely"):
            client.predict(np.array(["a"]))


@pytest.mark.parametrize("protocol", ["rest", "grpc", "kserve"])
def test_an_unreachable_server_is_unavailable(protocol):
    client = Client("127.0.0.1:9", NAME, protocol=protocol, retries=2, backoff=0.01, timeout=5)
    with pytest.raises(UnavailableError):
        client.status()


@pytest.mark.regression
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "http"}, "`protocol` must be one of .'rest', 'grpc', 'kserve'.. Received: 'http'"),
        ({"address": "http://127.0.0.1:9"}, "`address` must be host:port, without http://. Received"),
        ({"timeout": 0}, "`timeout` must be a finite number of at least .* at most 1e.09. Received: 0"),
        ({"retries": -1}, "`retries` must be an integer of at least 0. Received: -1"),
        ({"max_rows": 0}, "`max_rows` must be an integer of at least 1. Received: 0"),
        ({"backoff": -1}, "`backoff` must be a finite number of at least .* at most 1e.09. Received: -1"),
        (
            {"timeout": float("nan")},
            "`timeout` must be a finite number of at least .* at most 1e.09. Received: nan",
        ),
        ({"timeout": None}, "`timeout` must be a finite number of at least .* at most 1e.09. Received: None"),
        ({"timeout": 1e300}, "`timeout` must be a finite number of at least .* at most 1e.09. Received: 1e.300"),
        ({"timeout": 10**400}, "`timeout` must be a finite number of at least .* at most 1e.09. Received: 1000"),
        (
            {"timeout": float("inf")},
            "`timeout` must be a finite number of at least .* at most 1e.09. Received: inf",
        ),
        ({"retries": 1.5}, "`retries` must be an integer of at least 0. Received: 1.5"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Client(**{"address": "127.0.0.1:9", "model": NAME, **arguments})


def test_the_port_of_the_other_protocol(server):
    for protocol, port, other in (
        ("rest", server.grpc_port, "gRPC"),
        ("kserve", server.grpc_port, "gRPC"),
        ("grpc", server.rest_port, "REST"),
    ):
        client = Client(f"127.0.0.1:{port}", NAME, protocol=protocol, retries=0, timeout=10)
        with pytest.raises(UnavailableError, match=f"Is this the port of {other}"):
            client.status()
    # tests/serving/test_triton.py has a server of KServe's protocol; that of this package has other paths.
    with pytest.raises(NotFoundError, match="/v1/models"):
        Client(f"127.0.0.1:{server.rest_port}", NAME, protocol="kserve").status()


@pytest.fixture
def misbehaving():
    """A server with the given answers, in place of TensorFlow Serving, which records requests. The wire is real."""
    answers, asked = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body, wait = answers.pop(0)
            stopped.wait(wait)
            try:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client has gone

        def log_message(self, *_):
            pass

    stopped = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", answers, asked
        stopped.set()
        server.shutdown()
        thread.join()


GOOD = json.dumps({"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}).encode()


def test_only_unavailable_is_tried_again(misbehaving):
    address, answers, asked = misbehaving
    client = Client(address, NAME, retries=2, backoff=0.01)
    answers[:] = [(503, b'{"error": "not yet"}', 0), (503, b'{"error": "not yet"}', 0), (200, GOOD, 0)]
    assert client.status() == {1: "AVAILABLE"}
    assert len(asked) == 3
    answers[:] = [(503, b'{"error": "not yet"}', 0)] * 3
    with pytest.raises(UnavailableError, match="not yet"):
        client.status()
    assert len(asked) == 6
    for status, kind in {
        400: InvalidRequestError,
        404: NotFoundError,
        408: DeadlineError,
        429: OverloadedError,
        413: OverloadedError,
    }.items():
        answers[:] = [(status, b'{"error": "no"}', 0)]
        with pytest.raises(kind, match="no"):
            client.status()
    assert len(asked) == 11
    answers[:] = [(500, b"<html>broken</html>", 0)]
    with pytest.raises(ServingError, match="The answer is not JSON: '<html>broken"):
        client.status()
    assert len(asked) == 12


def test_the_wait_doubles_up_to_five_seconds(misbehaving, monkeypatch):
    address, answers, asked = misbehaving
    waits = []
    monkeypatch.setattr(client_module.time, "sleep", waits.append)
    monkeypatch.setattr(client_module.random, "uniform", lambda low, high: high if len(waits) % 2 else low)
    answers[:] = [(503, b'{"error": "not yet"}', 0)] * 7 + [(200, GOOD, 0)]
    assert Client(address, NAME, retries=7, backoff=0.25).status() == {1: "AVAILABLE"}
    assert waits == [0.25 / 2, 0.5 * 1.5, 1 / 2, 2 * 1.5, 4 / 2, 5 * 1.5, 5 / 2]
    assert len(asked) == 8


def test_a_slow_answer_is_a_deadline_error(misbehaving):
    address, answers, asked = misbehaving
    answers[:] = [(200, GOOD, 30)]
    with pytest.raises(DeadlineError, match="No answer within 0.2 seconds"):
        Client(address, NAME, timeout=0.2).status()
    assert len(asked) == 1
