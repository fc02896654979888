"""The REST interface: paths, formats, errors and status codes of TensorFlow Serving's documentation."""

import base64
import json
import socket

import numpy as np
import pytest
from servers import assert_close

import keras_hypernet as kh

NAME = "rotation_mnist_hyper"
ROW = {"x": np.zeros((28, 28, 1), int).tolist(), "condition": np.zeros((28, 28, 1), int).tolist()}


def test_rows_and_columns_of_one_input(half):
    for content, expected in [
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [3.5, 4.0, 5.5]}),
        ({"inputs": [1.0, 2.0, 5.0]}, {"outputs": [3.5, 4.0, 5.5]}),
        ({"inputs": {"x": [1, 2, 5]}}, {"outputs": [3.5, 4.0, 5.5]}),
        ({"instances": [{"x": 1}, {"x": -1e3}]}, {"predictions": [3.5, -497.0]}),
        ({"signature_name": "serving_default", "instances": [1]}, {"predictions": [3.5]}),
        ({"signature_name": "", "instances": [1]}, {"predictions": [3.5]}),
    ]:
        assert half(content) == (200, expected)


def test_nan_and_infinity_in_json(half):
    for also in (b"", b', "a": null'):
        status, answer = half(b'{"instances": [NaN, Infinity, -Infinity, 1e3]%s}' % also)
        assert status == 200
        np.testing.assert_array_equal(answer["predictions"], [np.nan, np.inf, -np.inf, 503.0])


@pytest.mark.regression
def test_integers_beyond_float_precision_are_refused_among_floats(half):
    for values in ([16777217], [16777217, 0.5], [0.5, 16777217], [0.5, 2, -16777217], [0.5, 2**63], [0.5, 2**70]):
        status, answer = half({"instances": values})
        large = max(values, key=abs)
        assert (status, answer) == (
            400,
            {"error": f"Cannot convert JSON value: {large} to float32 without loss of precision."},
        )
    # Digits of floats are rounded, as TensorFlow Serving does.
    assert half({"instances": [16777217.0, 0.5, 2**22]}) == (200, {"predictions": [8388611.0, 3.25, 2097155.0]})


def test_rows_and_columns_of_several_inputs(ask):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), "uint8")
    inputs = {"x": images, "condition": images[::-1]}
    expected = kh.load(NAME).predict(inputs, verbose=0)
    columns = {name: value.tolist() for name, value in inputs.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for content, key in (({"inputs": columns}, "outputs"), ({"instances": rows}, "predictions")):
        status, answer = ask(f"/v1/models/{NAME}:predict", content)
        assert status == 200
        assert_close(np.asarray(answer[key], "float32"), expected)
    status, answer = ask(f"/v1/models/{NAME}:predict", {"signature_name": "generate_weights", "instances": [ROW["x"]]})
    assert status == 200
    (row,) = answer["predictions"]
    assert {name: np.shape(value) for name, value in row.items()} == {
        "hidden_kernel": (784, 10),
        "logits_kernel": (10, 12),
    }


def test_strings_and_bytes(half):
    data = base64.b64encode(b"\x00\xfe").decode()
    status, answer = half({"signature_name": "strings", "instances": ["ab", {"b64": data}]})
    assert status == 200
    assert answer["predictions"][0] == {"text": "ab", "text_bytes": {"b64": base64.b64encode(b"ab\xff").decode()}}
    assert base64.b64decode(answer["predictions"][1]["text_bytes"]["b64"]) == b"\x00\xfe\xff"
    status, answer = half({"signature_name": "strings", "inputs": {"text": [{"b64": data}]}})
    assert (status, len(answer["outputs"])) == (200, 2)
    assert half({"signature_name": "strings", "instances": [{"b64": "?"}]}) == (
        400,
        {"error": "Input 'text' must hold text or base64. Received: {'b64': '?'}"},
    )


def test_other_types(half):
    content = {"signature_name": "mixed", "instances": [{"flag": True, "number": -128, "big": 2**60}]}
    assert half(content) == (200, {"predictions": [{"flag": True, "number": 2**60 - 128, "half": -128.0}]})
    for key, value in {"flag": 1, "number": 128, "big": 2**63}.items():
        status, answer = half({**content, "instances": [{**content["instances"][0], key: value}]})
        assert status == 400
        assert str(value) in answer["error"]


def test_outputs_of_unequal_size_need_columns(half):
    assert half({"signature_name": "unequal", "inputs": [1.0, 2.0]}) == (
        200,
        {"outputs": {"one": [1.0], "all": [1.0, 2.0]}},
    )
    status, answer = half({"signature_name": "unequal", "instances": [1.0, 2.0]})
    assert status == 400
    assert "columnar format: use 'inputs'" in answer["error"]


@pytest.mark.parametrize("path", ["", "/versions/3", "/labels/stable"])
def test_versions_and_labels(ask, half, path):
    assert half({"instances": [1.0]}, f"/v1/models/other{path}") == (200, {"predictions": [3.5]})
    ok = {"error_code": "OK", "error_message": ""}
    expected = {"model_version_status": [{"version": "3", "state": "AVAILABLE", "status": ok}]}
    assert ask(f"/v1/models/other{path}") == (200, expected)
    status, answer = ask(f"/v1/models/other{path}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "other", "signature_name": "", "version": "3"}
    info = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert (info["dtype"], info["tensor_shape"]["dim"][0]["size"]) == ("DT_FLOAT", "-1")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/nothing:predict", 404, "Servable not found for request: Latest(nothing)"),
        ("/v1/models/other/versions/7:predict", 404, "Servable not found for request: Specific(other, 7)"),
        ("/v1/models/other/labels/nothing:predict", 400, "Unrecognized servable version label: nothing"),
        ("/v1/models/other/labels/gone:predict", 404, "Servable not found for request: Specific(other, 9)"),
        (f"/v1/models/other/versions/{9**40}:predict", 400, "Malformed request: POST"),
        ("/v1/models/other:explain", 400, "Malformed request: POST /v1/models/other:explain"),
        ("/v1/models/other/versions/x:predict", 400, "Malformed request: POST"),
        ("/v1/models/other", 400, "Malformed request: POST /v1/models/other"),
        ("/v1/models/other:classify", 400, "Malformed request: POST /v1/models/other:classify"),
        ("/v1/models/..%2F..%2Fetc:predict", 404, "Servable not found for request: Latest(../../etc)"),
        ("/v2/models/other:predict", 404, "There is nothing at /v2/models/other:predict."),
    ],
)
def test_unknown_models_versions_and_signatures_are_refused(ask, path, status, message):
    received, answer = ask(path, {"instances": [1.0]})
    assert (received, list(answer)) == (status, ["error"])
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/nothing", 404, "Could not find any versions of model nothing"),
        ("/v1/models/other/versions/7", 404, "Could not find version 7 of model other"),
        ("/v1/models/nothing/metadata", 404, "Servable not found for request: Latest(nothing)"),
        ("/v1/models/versions/1", 400, "Malformed request: GET /v1/models/versions/1"),
        ("/v1/models/other:predict", 400, "Malformed request: GET /v1/models/other:predict"),
        ("/saved_model.pb", 404, "There is nothing at"),
        ("/..%2f..%2f/etc/passwd", 404, "There is nothing at"),
        ("/page.js/../../../etc/passwd", 404, "There is nothing at"),
    ],
)
def test_unknown_paths_of_get_requests_are_refused(ask, server, path, status, message):
    with socket.create_connection(("127.0.0.1", server.rest_port)) as connection:  # requests would mend the path
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert message in json.loads(answer.split("\r\n\r\n", 1)[1])["error"]


@pytest.mark.regression
def test_the_models_are_listed(ask):
    ok = {"error_code": "OK", "error_message": ""}
    assert ask("/v1/models") == (
        200,
        {
            "models": [
                {"name": name, "model_version_status": [{"version": version, "state": "AVAILABLE", "status": ok}]}
                for name, version in ((NAME, "1"), ("other", "3"))
            ]
        },
    )


@pytest.mark.regression
def test_the_health_path_and_the_error_for_unknown_paths(ask):
    assert ask("/healthz") == (200, {"status": "ok"})
    for path in ("/health", "/v2/health/ready", "/favicon.ico"):
        status, answer = ask(path)
        assert status == 404
        assert answer["error"].startswith(f"There is nothing at {path}. There are: GET /v1/models, ")
        for known in ("POST /v1/models/NAME:predict", "GET /healthz", "GET /monitoring/prometheus/metrics"):
            assert known in answer["error"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_http_methods_are_refused(ask, method):
    assert ask("/v1/models/other:predict", b"{}", method) == (
        400,
        {"error": f"Malformed request: {method} /v1/models/other:predict"},
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "JSON Parse error: Expecting value"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe\x00", "JSON Parse error"),
        (b"[1]", "A request in JSON must be an object. Received: [1]"),
        (b"null", "A request in JSON must be an object. Received: null"),
        (b'{"instances": [1' + b"0" * 5000 + b"]}", "JSON Parse error: Exceeds the limit"),
        (b'{"instances": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "JSON Parse error: maximum recursion depth"),
        (b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}", "lists of one size at each level"),
        (b'{"instances": [' + b'{"b64":' * 30_000 + b"1" + b"}" * 30_000 + b"]}", "JSON Parse error"),
        ({}, "either rows, 'instances', or columns, 'inputs'"),
        ({"instances": [1], "inputs": [1]}, "either rows, 'instances', or columns, 'inputs'"),
        ({"instances": []}, "'instances' must be a list of at least one row. Received: []"),
        ({"instances": {"x": 1}}, "'instances' must be a list of at least one row. Received: {'x': 1}"),
        ({"instances": ["1"]}, "Input 'x' must hold values of float32. Received: \"1\""),
        ({"instances": [None]}, "Input 'x' must hold values of float32. Received: null"),
        ({"instances": [True]}, "Input 'x' must hold values of float32. Received: true"),
        ({"instances": [{"b64": "aa=="}]}, "Input 'x' must hold values of float32. Received: {'b64': 'aa=='}"),
        ({"instances": [1, [2]]}, "Input 'x' must have lists of one size at each level. Received: [2]"),
        ({"instances": [[1, 2], [3]]}, "lists of one size at each level. Received: [1, 2]"),
        ({"instances": [[1, 2], 3]}, "lists of one size at each level. Received: [1, 2]"),
        ({"instances": [[1, 2], [3, 4]]}, "Input 'x' must have the shape [?]. Received: [2,2]"),
        ({"inputs": 1}, "Input 'x' must have the shape [?]. Received: []"),
        ({"instances": [2**24 + 1] * 2}, "16777217 to float32 without loss of precision"),
        ({"instances": [1e39]}, "1e+39 to float32 without loss of precision"),
        ({"signature_name": "strings", "instances": ["\ud800"]}, 'must hold text or base64. Received: "\\ud800"'),
        ({"signature_name": "strings", "instances": [{"b64": 1}]}, "Each of 'instances' must be an object of text."),
        ({"instances": [{"x": 1, "y": 2}]}, "Each of 'instances' must be an object of x. Received: {'x': 1, 'y': 2}"),
        ({"instances": [{"x": 1}, 2]}, "Each of 'instances' must be an object of x. Received: 2"),
        ({"instances": [{"x": 1}, None]}, "Each of 'instances' must be an object of x. Received: null"),
        ({"inputs": {"y": [1]}}, "The inputs must be named, x. Received: y"),
        ({"inputs": {"x": [1], "y": [1]}}, "The inputs must be named, x. Received: x, y"),
        ({"signature_name": 100, "instances": [1]}, "'signature_name' must be a string. Received: 100"),
        (
            {"signature_name": "nothing", "instances": [1]},
            'Serving signature name: "nothing" not found in signature def',
        ),
    ],
)
def test_invalid_requests_are_a_400(half, content, message):
    status, answer = half(content)
    assert (status, list(answer)) == (400, ["error"])
    assert message in answer["error"]
    assert len(answer["error"]) < 400
    assert half({"instances": [1.0]}) == (200, {"predictions": [3.5]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((28, 28)).astype(int).tolist()}, "'x' must have the shape [?,28,28,1]. Received: [1,28,28]"),
        ({"x": np.zeros((28, 28, 1)).tolist()}, "Input 'x' must hold values of uint8. Received: 0.0"),
        ({"x": np.full((28, 28, 1), 256).tolist()}, "'x' must hold numbers of 0 to 255. Received: 256"),
        ({"x": np.full((28, 28, 1), -1).tolist()}, "'x' must hold numbers of 0 to 255. Received: -1"),
        ({"extra": 1}, "Each of 'instances' must be an object of condition, x."),
    ],
)
def test_invalid_images_are_refused(ask, change, message):
    status, answer = ask(f"/v1/models/{NAME}:predict", {"instances": [{**ROW, **change}]})
    assert status == 400
    assert message in answer["error"]


def test_several_inputs_need_names(ask):
    for content in ({"instances": [1]}, {"inputs": [1]}):
        status, answer = ask(f"/v1/models/{NAME}:predict", content)
        assert status == 400
        assert answer["error"] == "The inputs must be named, condition, x. Received: [1]"


@pytest.mark.regression
def test_batches_of_unequal_size_are_refused(ask):
    for rows, conditions in ((3, 2), (1, 2)):
        x, condition = (np.zeros((size, 28, 28, 1), int).tolist() for size in (rows, conditions))
        status, answer = ask(f"/v1/models/{NAME}:predict", {"inputs": {"x": x, "condition": condition}})
        assert status == 400
        assert answer["error"] == f"Input 'condition' must have one row, or as many as x, {rows}. Received: 2"


def test_an_empty_batch_has_no_shape_in_json(ask):
    x = np.zeros((0, 28, 28, 1), int).tolist()
    status, answer = ask(f"/v1/models/{NAME}:predict", {"inputs": {"x": x, "condition": x}})
    assert status == 400  # JSON cannot tell the other sizes of an array without entries
    assert "must have the shape [?,28,28,1]. Received: [0]" in answer["error"]
