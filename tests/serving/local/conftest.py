"""Models and servers that the tests of the local server share."""

import json

import pytest
import requests
from servers import serve, write_gated_model, write_other_models, write_text_model, write_version

from keras_hypernet.serving.local.limits import Limits

NAME = "rotation_mnist_hyper"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with the models `times`, which returns x, and `long`, which returns a text of 16 MiB."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "times").mkdir()
    write_version(folder / "times", 1)
    write_text_model(folder / "long", 2**24)
    return folder


@pytest.fixture(scope="session")
def gate(folder):
    """The gate of another model of the folder, `gated`, which answers when the gate is open."""
    return write_gated_model(folder / "gated")


@pytest.fixture(scope="session")
def server(tmp_path_factory, exported):
    folder = tmp_path_factory.mktemp("saved_models")
    exported(folder, NAME)
    write_other_models(folder)
    (folder / "models.config").write_text(
        "model_config_list { config { name: 'other' base_path: '/models/other' "
        "version_labels { key: 'stable' value: 3 } version_labels { key: 'gone' value: 9 } } }"
    )
    with serve(folder, NAME, "other", limits=Limits(max_body_bytes=2**20, max_batch_rows=64)) as running:
        yield running


@pytest.fixture
def ask(server):
    """Returns a function that sends a request and returns the status and the parsed body."""

    def ask(path, content=None, method=None):
        body = content if content is None or isinstance(content, bytes) else json.dumps(content)
        url = f"http://127.0.0.1:{server.rest_port}{path}"
        answer = requests.request(method or ("GET" if body is None else "POST"), url, data=body, timeout=60)
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, json.loads(answer.content)

    return ask


@pytest.fixture
def half(ask):
    """Returns a function that asks the model `y = x / 2 + 3`."""
    return lambda content, path="/v1/models/other": ask(f"{path}:predict", content)
