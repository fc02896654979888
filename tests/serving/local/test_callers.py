"""The allowed callers: `Host`, the name in the URL of a browser, and `Origin`, its web page."""

import json
import logging

import pytest
import requests
from servers import serve

from keras_hypernet.serving.local.callers import Callers
from keras_hypernet.serving.local.server import Server

APP = "http://localhost:3000"


def _ask(server, method="POST", path="/v1/models/times:predict", **headers):
    url = f"http://127.0.0.1:{server.rest_port}{path}"
    headers = {name.replace("_", "-"): value.format(server.rest_port) for name, value in headers.items()}
    body = {"instances": [3.0]} if method == "POST" else None
    return requests.request(method, url, json=body, headers=headers, timeout=60)


def _answers(response):
    return response.status_code == 200 and response.json() == {"predictions": [3.0]}


@pytest.mark.regression
def test_a_server_on_loopback_refuses_names_of_other_machines(folder, caplog):
    caplog.set_level(logging.INFO, "keras_hypernet.serving.access")
    with serve(folder, "times") as server:
        for host in ("localhost:{}", "LOCALHOST", "127.0.0.1:{}", "127.0.0.2", "[::1]:{}", "192.0.2.7:80"):
            assert _answers(_ask(server, Host=host)), host
        for host in ("evil.example:{}", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "", "h"):
            response = _ask(server, Host=host)
            assert response.status_code == 403, host
            assert response.json()["error"].startswith(
                "The Host of a request must be localhost, an IP address, or a name that --allow-host gives. Received: "
            )
        for path in ("/", "/v1/models/times", "/monitoring/prometheus/metrics"):
            assert _ask(server, "GET", path, Host="evil.example").status_code == 403
            assert _ask(server, "GET", path, Host="localhost").status_code == 200
    logged = [json.loads(record.message) for record in caplog.records if record.name == "keras_hypernet.serving.access"]
    assert [line["status"] for line in logged].count(403) == 9


@pytest.mark.regression
def test_a_web_page_from_elsewhere_is_refused(folder):
    with serve(folder, "times") as server:
        assert _answers(_ask(server, Host="localhost:{}", Origin="http://localhost:{}"))
        assert _answers(_ask(server, Origin="http://127.0.0.1:{}"))
        for origin in ("https://evil.example", "null", APP, "http://localhost", "http://localhost:{}"):
            response = _ask(server, Origin=origin)  # of 127.0.0.1
            assert response.status_code == 403, origin
            assert "The Origin of a request must be this server, or" in response.json()["error"]
            assert not [name for name in response.headers if name.lower().startswith("access-control")]


@pytest.mark.regression
def test_further_names_are_allowed(folder):
    with serve(folder, "times", allow_hosts=["Models.example"]) as server:
        assert _answers(_ask(server, Host="models.example:8501"))
        assert _ask(server, Host="evil.example").status_code == 403
    with serve(folder, "times", allow_hosts=["*"]) as server:
        assert _answers(_ask(server, Host="evil.example"))
        assert _ask(server, Host="evil.example", Origin=APP).status_code == 403
    # A server that other machines reach has unknown names: it checks names only if some are listed.
    with serve(folder, "times", host="0.0.0.0") as server:
        assert _answers(_ask(server, Host="any.example", Origin=APP))
    with serve(folder, "times", host="0.0.0.0", allow_hosts=["models.example"]) as server:
        assert _ask(server, Host="any.example").status_code == 403


PREFLIGHT = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}


@pytest.mark.regression
def test_allowed_pages_receive_the_headers_of_cors(folder):
    with serve(folder, "times", allow_origins=[APP]) as server:
        response = _ask(server, "OPTIONS", Origin=APP, **PREFLIGHT)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == APP
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "content-type" in response.headers["access-control-allow-headers"].lower()
        response = _ask(server, Origin=APP)
        assert _answers(response)
        assert response.headers["access-control-allow-origin"] == APP
        failed = _ask(server, "GET", "/v1/models/nothing", Origin=APP)  # the page may read the error
        assert (failed.status_code, failed.headers["access-control-allow-origin"]) == (404, APP)
        for method in ("OPTIONS", "POST"):
            response = _ask(server, method, Origin="https://evil.example", **PREFLIGHT)
            assert response.status_code in (400, 403)
            assert "access-control-allow-origin" not in response.headers
    with serve(folder, "times", allow_origins=["*"]) as server:  # like TensorFlow Serving's flag
        for response in (_ask(server, "OPTIONS", Origin="null", **PREFLIGHT), _ask(server, Origin=APP)):
            assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.regression
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"allow_hosts": ["http://a.example"]}, r"`allow_hosts` must be a list of names .* Received: \['http://a.ex"),
        ({"allow_hosts": ["a.example:80"]}, "`allow_hosts` must be a list of names without scheme and port"),
        ({"allow_hosts": "a.example"}, "Received: 'a.example'"),
        ({"allow_origins": ["localhost:3000"]}, "`allow_origins` must be a list of origins without a path, such as"),
        ({"allow_origins": [f"{APP}/"]}, "without a path"),
    ],
)
def test_invalid_hosts_and_origins_are_refused(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        Server(folder, ["times"], **arguments)


@pytest.mark.regression
def test_the_name_that_a_server_listens_on_is_its_own():
    callers = Callers("This-Machine")
    callers.checked = True
    assert callers.check({"host": "this-machine:8501"}) is None
    assert callers.check({}) is None  # HTTP/1.0
