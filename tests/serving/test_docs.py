"""docs/serving: its Python and curl examples run against the local server, its YAML is what its readers take."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import jsonschema
import pytest
import requests
from helpers import ROOT
from servers import serve, wait_for

DOCS = ROOT / "docs" / "serving"
README = (DOCS / "README.md").read_text(encoding="utf-8")
# The flags of tensorflow_model_server that are used, from its main.cc.
FLAGS = {
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "batching_parameters_file",
}

TENSORFLOW_SERVINGS = {"--rest_api_enable_cors_support", "--allow_version_labels_for_unavailable_models"}

# What compose-spec says of the fields that are used; anything else in the file is an error here.
COMPOSE = {
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "properties": {
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["image"],
                "additionalProperties": False,
                "properties": {
                    "image": {"type": "string", "pattern": r"^tensorflow/serving:\d+\.\d+\.\d+$"},
                    "command": {"type": "array", "items": {"type": "string"}},
                    "ports": {"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
                    "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:/[^:]+:ro$"}},
                    "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
                    "read_only": {"type": "boolean"},
                    "cap_drop": {"type": "array", "items": {"type": "string"}},
                    "deploy": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "resources": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "limits": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "cpus": {"type": "string"},
                                            "memory": {"type": "string", "pattern": r"^\d+[KMG]?$"},
                                        },
                                    }
                                },
                            }
                        },
                    },
                },
            },
        }
    },
}


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory, exported):
    folder = exported(tmp_path_factory.mktemp("saved_models"), "rotation_mnist_hyper")
    with serve(folder, "rotation_mnist_hyper") as running:
        yield running


def _here(server, text):
    """An example with the ports of the running server."""
    return text.replace("localhost:8501", f"localhost:{server.rest_port}").replace(
        "localhost:8500", f"localhost:{server.grpc_port}"
    )


@pytest.mark.full
def test_python_examples(server, tmp_path):
    """Those of the page, each for itself, and those of the guide, one after the other."""
    *examples, _ = _blocks("python")  # the last needs no server: tests/test_readme.py runs it
    page = (ROOT / "docs" / "guides" / "serving.md").read_text(encoding="utf-8")
    examples.append("".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)))
    program = "import sys\nfor example in sys.argv[1:]: exec(example, {'__name__': '__main__'})"
    command = [sys.executable, "-c", program, *(_here(server, example) for example in examples)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "{1: 'AVAILABLE'}",
        "(300, 12)",
        "(2, 12)",
        "{'hidden_kernel': 1, 'logits_kernel': 1}",
        "served/rotation_mnist_hyper/1",
        "rotated by 0 90 180 270 degrees",
        "7960 weights instead of 450310",
    ]


def test_curl_examples(server, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (block,) = [block for block in _blocks("bash") if "curl" in block]
    outputs = []
    for line in _here(server, block).splitlines():
        line = line.replace("python ", f"{sys.executable} ", 1) if line.startswith("python ") else line
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    status, metadata, _, predicted, of_version, metrics = outputs
    assert json.loads(status)["model_version_status"][0]["state"] == "AVAILABLE"
    assert "signature_def" in json.loads(metadata)["metadata"]
    assert len(json.loads(predicted)["predictions"][0]) == 12
    assert json.loads(of_version).keys() == {"predictions"}
    assert ":tensorflow:serving:request_count" in metrics


def test_every_command_exists():
    import typer.main

    from keras_hypernet_cli.app import app

    commands = typer.main.get_command(app).commands
    used = re.findall(r"^keras-hypernet (\w+) ?(.*?)(?:  +#.*)?$", "".join(_blocks("bash")), re.MULTILINE)
    assert used
    for name, arguments in used:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", arguments)) <= options
    served = {option for parameter in commands["serve"].params for option in parameter.opts}
    assert (
        set(re.findall(r"`(--(?:max|weight|host|rest|grpc|allow)-?[\w-]*)[ `]", README)) <= served | TENSORFLOW_SERVINGS
    )


def test_grpcurl_examples_name_what_the_protocol_has(server):
    from google.protobuf import json_format
    from servers import grpc_stubs
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

    (block,) = _blocks("console")
    calls = re.findall(r"-d '(.*?)' \\\n\s+localhost:8500 tensorflow\.serving\.(\w+)/(\w+)", block)
    messages = {
        "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
        "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    }
    assert [method for _, _, method in calls] == list(messages)
    with grpc_stubs(server) as stubs:
        for body, service, method in calls:
            request = json_format.Parse(body, messages[method]())
            (stub,) = [stub for stub in stubs if type(stub).__name__ == f"{service}Stub"]
            assert getattr(stub, method)(request).ByteSize()


def test_docker_compose():
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((DOCS / "docker-compose.yaml").read_text())
    jsonschema.validate(content, COMPOSE)
    (service,) = content["services"].values()
    assert {flag.removeprefix("--").split("=")[0] for flag in service["command"]} <= FLAGS
    mounted, inside, _ = service["volumes"][0].split(":")
    if (ROOT / "saved_models").is_dir():
        assert (DOCS / mounted).resolve() == ROOT / "saved_models"
        for flag in service["command"]:
            value = flag.split("=")[1]
            if value.startswith(inside):
                assert (ROOT / "saved_models" / pathlib.PurePath(value).relative_to(inside)).is_file()


def test_kubernetes():
    yaml = pytest.importorskip("yaml")
    kubernetes = pytest.importorskip("kubernetes_validate")
    deployment, service = yaml.safe_load_all((DOCS / "kubernetes.yaml").read_text())
    for resource in (deployment, service):
        # By the schemas that Kubernetes publishes; strict: a field that it has not is an error, and not ignored.
        kubernetes.validate(resource, kubernetes.latest_version(), strict=True)
    misspelled = json.loads(json.dumps(deployment).replace("readinessProbe", "readinessProbes"))
    with pytest.raises(kubernetes.ValidationError, match="readinessProbes"):
        kubernetes.validate(misspelled, kubernetes.latest_version(), strict=True)
    assert (deployment["kind"], service["kind"]) == ("Deployment", "Service")
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", container["image"])
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in pod["spec"]["volumes"]}
    assert {flag.removeprefix("--").split("=")[0] for flag in container["args"]} <= FLAGS
    (other,) = yaml.safe_load((DOCS / "docker-compose.yaml").read_text())["services"].values()
    assert (container["image"], container["args"]) == (other["image"], other["command"])
    status = "/v1/models/rotation_mnist_hyper"
    for probe, path in (
        ("startupProbe", status),
        ("livenessProbe", status),
        ("readinessProbe", f"{status}/metadata"),
    ):
        assert container[probe]["httpGet"]["path"] == path
        assert container[probe]["httpGet"]["port"] in ports


def test_the_paths_of_the_probes_answer(server):
    yaml = pytest.importorskip("yaml")
    deployment, _ = yaml.safe_load_all((DOCS / "kubernetes.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        url = f"http://127.0.0.1:{server.rest_port}{container[probe]['httpGet']['path']}"
        assert requests.get(url, timeout=60).status_code == 200


def test_a_server_without_its_model_is_alive_and_not_ready(exported, tmp_path):
    yaml = pytest.importorskip("yaml")
    deployment, _ = yaml.safe_load_all((DOCS / "kubernetes.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    with serve(exported(tmp_path, "rotation_mnist_hyper"), "rotation_mnist_hyper") as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        shutil.rmtree(tmp_path / "rotation_mnist_hyper" / "1")
        ready = url + container["readinessProbe"]["httpGet"]["path"]
        wait_for(lambda: requests.get(ready, timeout=60).status_code == 404)
        assert requests.get(url + container["livenessProbe"]["httpGet"]["path"], timeout=60).status_code == 200


@pytest.mark.regression
def test_the_documentation_says_which_models_to_trust():
    for path in ("README.md", "docs/serving/README.md", "docs/tuning/README.md"):
        text = " ".join((ROOT / path).read_text(encoding="utf-8").split())
        assert "is a program" in text, path
        assert re.search(r"erve and load only", text), path
        assert path == "docs/serving/README.md" or "serving/README.md#what-to-trust)" in text
    assert "\n## What to trust\n" in README


@pytest.mark.regression
def test_a_saved_model_is_a_program(tmp_path):
    """As the documentation says, with a file that the graph names and nobody has given to the server."""
    import tensorflow as tf

    secret = tmp_path / "secret"
    secret.write_text("mine")
    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"text": tf.repeat(tf.io.read_file(str(secret)), tf.size(x))},
        input_signature=[tf.TensorSpec([None], "float32", "x")],
    )
    tf.saved_model.save(module, str(tmp_path / "harmless" / "1"), {"serving_default": module.serve})
    with serve(tmp_path, "harmless") as server:
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/harmless:predict"
        assert requests.post(url, json={"instances": [1.0]}, timeout=60).json() == {"predictions": ["mine"]}
