"""Bodies of REST requests: their size, their compression, their encoding."""

import contextlib
import gzip
import socket

import numpy as np
import pytest
import requests
from servers import resident_bytes


@pytest.mark.regression
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_other_encodings_than_utf_8_are_refused(half, encoding):
    for content in ('{"instances": [1]}', '{"instances": [true]}'):
        status, answer = half(content.encode(encoding))
        assert status == 400
        assert answer["error"].startswith("JSON Parse error: ")
    assert half(content.replace("true", "1").encode("utf-8-sig")) == (200, {"predictions": [3.5]})
    status, answer = half('{"a": "é", "instances": [1]}'.encode("latin-1"))
    assert status == 400
    assert "'utf-8' codec can't decode byte 0xe9" in answer["error"]


def test_too_large_requests_are_a_413(ask, half):
    status, answer = half({"instances": [1] * 65})
    assert (status, answer) == (413, {"error": "A request may have 64 rows. Received: 65. Send it in parts."})
    status, answer = half(b'{"instances": [' + b" " * 2**20 + b"1]}")
    assert status == 413
    assert "The body of a request may have 1,048,576 bytes. Received: 1,048,5" in answer["error"]
    content = {
        "signature_name": "generate_weights",
        "instances": np.zeros((10, 28, 28, 1), int).tolist(),
    }
    status, answer = ask("/v1/models/rotation_mnist_hyper:predict", content)
    assert status == 413
    assert "The response would have 1,592,000 bytes, of 1,048,576 allowed." in answer["error"]
    status, answer = half(b'{"instances": [' + b"[]," * 300_000 + b"[]]}")
    assert (status, answer) == (
        413,
        {"error": "A request in JSON may have 65,536 values, lists and objects. Received: 600,003. Send it in parts."},
    )
    assert half({"instances": [1.0]}) == (200, {"predictions": [3.5]})


def test_a_body_of_a_gigabyte_is_discarded(server, half):
    before, sent = resident_bytes(), 0
    with socket.create_connection(("127.0.0.1", server.rest_port)) as connection:
        head = f"POST /v1/models/other:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**30}\r\n\r\n"
        connection.sendall(head.encode())
        part = b" " * 2**20
        # After sixteen times the limit the server answers and closes the connection. Only bytes beyond that may cost
        # the client the answer.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 2**30:
                sent += connection.send(part)
    assert 16 * 2**20 <= sent < 2**28
    with socket.create_connection(("127.0.0.1", server.rest_port)) as connection:
        connection.sendall(head.encode())
        for _ in range(16):
            connection.sendall(part)
        connection.sendall(b" ")  # and no more
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert resident_bytes() - before < 64 * 2**20
    assert half({"instances": [1.0]}) == (200, {"predictions": [3.5]})


def _ask_compressed(server, body, coding="gzip"):
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/other:predict"
    answer = requests.post(url, data=body, headers={"Content-Encoding": coding}, timeout=60)
    return answer.status_code, answer.json()


@pytest.mark.regression
def test_bodies_may_be_compressed(server):
    plain = b'{"instances": [1.0, 2.0, 5.0]}'
    packed, expected = gzip.compress(plain), (200, {"predictions": [3.5, 4.0, 5.5]})
    assert _ask_compressed(server, packed) == expected
    assert _ask_compressed(server, gzip.compress(plain[:9]) + gzip.compress(plain[9:]), "GZIP") == expected
    assert _ask_compressed(server, gzip.compress(b" " * (2**20 - 100) + plain)) == expected
    assert _ask_compressed(server, plain, "identity") == expected
    broken = bytearray(packed)
    broken[-8] ^= 1  # of the checksum
    for body in (plain, packed[:-1], packed[:12], bytes(broken), packed + b"more", packed[:15] + b"\xff" * 20):
        status, answer = _ask_compressed(server, body)
        assert status == 400, body
        assert "Content-Encoding: gzip must be a gzip file" in answer["error"]
    assert _ask_compressed(server, gzip.compress(b"{"))[1]["error"].startswith("JSON Parse error")
    for coding in ("br", "deflate", "gzip, gzip"):
        expected = f"The Content-Encoding of a request must be gzip, or none. Received: {coding}"
        assert _ask_compressed(server, packed, coding) == (415, {"error": expected})
    assert server.engine.buffered.num_bytes == 0


@pytest.mark.regression
def test_a_gzip_bomb_is_too_large(server, half):
    before, bomb = resident_bytes(), gzip.compress(b" " * 2**28)
    assert len(bomb) < 2**20
    error = {"error": "The body of a request may have 1,048,576 bytes. Received: more, when it is decompressed"}
    assert _ask_compressed(server, bomb) == (413, error)
    assert resident_bytes() - before < 2**26
    assert half({"instances": [1.0]}) == (200, {"predictions": [3.5]})


def test_a_body_without_a_declared_size_is_limited(server, half):
    parts = (b" " * 2**16 for _ in range(20))
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/other:predict"
    answer = requests.post(url, data=parts, timeout=60)
    assert answer.status_code == 413
    assert "Received: 1,3" in answer.json()["error"]
