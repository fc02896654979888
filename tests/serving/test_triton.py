"""Exports under NVIDIA's Triton, a server in C++ that others wrote, asked by its own client and by this package's.

Prints the differences from Keras with `-s`. Its wheel is in the extra `triton`.
"""

import ctypes.util
import importlib.util
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import pixels
from servers import wait_for, worded_model

import keras_hypernet as kh
from keras_hypernet.serving import Client, InvalidRequestError, NotFoundError
from keras_hypernet.serving.specialized import export_formats

NAME = "rotation_mnist_hyper"
MODELS = [f"{NAME}_saved_model", f"{NAME}_onnx"]
CONFIG = """backend: "python"
input { name: "x" data_type: TYPE_UINT8 dims: [-1, 28, 28, 1] }
input { name: "condition" data_type: TYPE_UINT8 dims: [-1, 28, 28, 1] }
output { name: "logits" data_type: TYPE_FP32 dims: [-1, 12] }
"""
WORDS_CONFIG = """backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [-1, 7] }
input { name: "condition" data_type: TYPE_STRING dims: [-1, 1] }
output { name: "logits" data_type: TYPE_FP32 dims: [-1, 4] }
"""
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def model():
    return kh.load(NAME)


@pytest.fixture(scope="module")
def words():
    return worded_model()


@pytest.fixture(scope="module")
def ports(model, words, tmp_path_factory):
    """The ports of HTTP and gRPC of a Triton with a SavedModel and an ONNX file of an entry, and a model of words."""
    if importlib.util.find_spec("pytriton") is None:
        pytest.skip("Triton is not installed: pip install 'keras_hypernet[triton]', with NumPy 1")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if ctypes.util.find_library(f"python{version}") is None:
        pytest.skip(f"Triton's Python backend needs the library libpython{version} of the system")
    wheel, folder = pathlib.Path(importlib.util.find_spec("pytriton").origin).parent, tmp_path_factory.mktemp("triton")
    served = dict.fromkeys(MODELS, (model, CONFIG)) | {"words": (words[0], WORDS_CONFIG)}
    for name, (exported_model, config) in served.items():
        format = "onnx" if name.endswith("onnx") else "saved_model"
        (exported,) = export_formats(exported_model, folder / "exported", name, [format])
        version_folder = folder / "models" / name / "1"
        version_folder.mkdir(parents=True)
        exported.path.rename(version_folder / f"model.{'onnx' if format == 'onnx' else 'savedmodel'}")
        shutil.copy(pathlib.Path(__file__).with_name("triton_model.py"), version_folder / "model.py")
        (version_folder.parent / "config.pbtxt").write_text(config)
    shutil.copytree(wheel / "tritonserver" / "backends", folder / "backends")
    stub = wheel / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, folder / "backends" / "python")
    http, grpc = _free_ports(2)
    command = [
        *[wheel / "tritonserver" / "bin" / "tritonserver", "--model-repository", folder / "models"],
        *["--backend-directory", folder / "backends", "--disable-auto-complete-config", "--allow-metrics", "false"],
        *["--http-port", http, "--grpc-port", grpc, "--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1"],
    ]
    packages = {
        "LD_LIBRARY_PATH": str(wheel.parent / "nvidia_pytriton.libs"),
        "PYTHONPATH": os.pathsep.join(part for part in sys.path if part.endswith("site-packages")),
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [str(part) for part in command], env={**os.environ, **packages}, stdout=log, stderr=subprocess.STDOUT
        )
    client = Client(f"127.0.0.1:{http}", protocol="kserve", retries=0)
    try:
        wait_for(lambda: server.poll() is not None or all(_available(client, name) for name in served), 300)
        assert server.poll() is None, (folder / "log").read_text()
        yield http, grpc
    finally:
        server.terminate()
        server.wait()


def _free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _available(client, name):
    try:
        return client.status(name) == {1: "AVAILABLE"}
    except kh.serving.ServingError:
        return False


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_triton_gives_keras_outputs(name, protocol, ports, model):
    tritonclient = pytest.importorskip(f"tritonclient.{protocol}")
    client = tritonclient.InferenceServerClient(f"127.0.0.1:{ports[protocol == 'grpc']}")
    for rows, conditions in ((1, 1), (3, 3), (64, 64), (64, 1)):
        inputs = {"x": pixels((rows, 28, 28, 1)), "condition": pixels((conditions, 28, 28, 1), seed=1)}
        tensors = []
        for tensor, value in inputs.items():
            tensors.append(tritonclient.InferInput(tensor, value.shape, "UINT8"))
            tensors[-1].set_data_from_numpy(value)
        received = client.infer(name, tensors).as_numpy("logits")
        every = {**inputs, "condition": np.repeat(inputs["condition"], rows // conditions, axis=0)}
        difference = _difference(received, model.predict(every, verbose=0))
        print(f"{name}, {protocol}, {rows} rows, {conditions} conditions: {difference:.1e}")
        assert difference < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_the_client_of_this_package_asks_triton(name, ports, model):
    x, condition = pixels((20, 28, 28, 1)), pixels((20, 28, 28, 1), seed=1)
    expected = model.predict({"x": x, "condition": condition}, verbose=0)
    with Client(f"127.0.0.1:{ports[0]}", name, protocol="kserve", max_rows=16) as client:
        received = client.predict(x, condition)
        assert received.dtype == np.float32
        assert _difference(received, expected) < 1e-5
        assert client.status() == {1: "AVAILABLE"}
        image = ("DT_UINT8", (-1, 28, 28, 1))
        signature = ({"x": image, "condition": image}, {"logits": ("DT_FLOAT", (-1, 12))})
        assert client.metadata() == {"serving_default": signature}
        with pytest.raises(ValueError, match="`x` must be of dtype uint8"):
            client.predict(x / 255, condition)
        with pytest.raises(InvalidRequestError):
            client.predict(x[:, :27], condition)
        with pytest.raises(InvalidRequestError, match="has the signature serving_default alone"):
            client.generate_weights(condition)
        with pytest.raises(NotFoundError):
            client.predict(x, condition, model="another")
    with Client(f"127.0.0.1:{ports[0]}", name, version=1, protocol="kserve") as client:
        assert _difference(client.predict(x, condition), expected) < 1e-5
    another = Client(f"127.0.0.1:{ports[0]}", name, version=2, protocol="kserve")
    with another, pytest.raises(NotFoundError, match="version 2 is not found"):
        another.metadata()


def test_the_client_sends_strings_to_triton(ports, words):
    model, inputs = words
    expected = np.array(model({name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}))
    with Client(f"127.0.0.1:{ports[0]}", "words", protocol="kserve") as client:
        assert client.metadata()["serving_default"][0]["condition"] == ("DT_STRING", (-1, 1))
        assert _difference(client.predict(inputs["x"], inputs["condition"]), expected) < 1e-5


def _difference(received, expected):
    """The largest difference, relative to the largest output."""
    assert received.shape == expected.shape
    return float(np.abs(received - expected).max() / np.abs(expected).max())
