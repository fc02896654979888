"""The transports of a client, REST, gRPC and KServe's REST, with the same methods and errors."""

import json
import urllib.parse

import numpy as np

from keras_hypernet.serving.config import model_spec
from keras_hypernet.serving.errors import from_code, from_http


class RestTransport:
    """Requests by REST to `host:port`, with a timeout in seconds."""

    _root, _labels = "v1/models", "labels"  # in paths

    def __init__(self, address, timeout):
        import requests

        self._base, self._timeout = f"http://{address}/{self._root}", timeout
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between client and server

    def predict(self, model, version, signature, inputs):
        """Runs a signature on a dict of arrays; returns a dict of arrays, in which a single output may have no name."""
        columns = {name: value.tolist() for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns})
        outputs = self._request("POST", f"{self._path(model, version)}:predict", body)["outputs"]
        outputs = outputs if isinstance(outputs, dict) else {None: outputs}
        return {name: np.asarray(value, "float32") for name, value in outputs.items()}

    def signatures(self, model, version):
        """A dict from the name of each signature to `(inputs, outputs)`, dicts from name to `(dtype, shape)`."""
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2

        answer = self._request("GET", f"{self._path(model, version)}/metadata")["metadata"]["signature_def"]
        return _described(
            json_format.ParseDict(answer, get_model_metadata_pb2.SignatureDefMap(), ignore_unknown_fields=True)
        )

    def status(self, model, version):
        """A dict from each version to its state."""
        answer = self._request("GET", self._path(model, version))
        return {int(version["version"]): version["state"] for version in answer["model_version_status"]}

    def close(self):
        self._session.close()

    def _path(self, model, version):
        path = f"/{urllib.parse.quote(model, safe='')}"
        if version is None:
            return path
        kind = "versions" if isinstance(version, int) else self._labels
        return f"{path}/{kind}/{urllib.parse.quote(str(version), safe='')}"

    def _request(self, method, path, body=None):
        import requests

        try:
            headers = {"Content-Type": "application/json"}
            answer = self._session.request(method, self._base + path, data=body, headers=headers, timeout=self._timeout)
        except requests.Timeout as error:
            raise from_code("DEADLINE_EXCEEDED", f"No answer within {self._timeout} seconds.") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            hint = " Is this the port of gRPC (protocol='grpc')?" if "BadStatusLine" in str(error) else ""
            raise from_code("UNAVAILABLE", f"{self._base} cannot be reached: {error}{hint}") from error
        try:
            content = json.loads(answer.content)
        except ValueError as error:
            raise from_http(answer.status_code, f"The answer is not JSON: {answer.text[:200]!r}") from error
        if answer.status_code != 200:
            message = content.get("error") if isinstance(content, dict) else None
            raise from_http(answer.status_code, message or answer.text[:200])
        return content


class KserveTransport(RestTransport):
    """Requests by REST in KServe's open inference protocol, version 2: a model has one signature, `serving_default`."""

    _root, _labels = "v2/models", "versions"

    def predict(self, model, version, signature, inputs):
        if signature != "serving_default":
            message = f"By this protocol a model has the signature serving_default alone. Received: {signature}"
            raise from_code("INVALID_ARGUMENT", message)
        tensors = [
            {"name": name, "shape": value.shape, "datatype": _kserve_dtype(value.dtype), "data": value.ravel().tolist()}
            for name, value in inputs.items()
        ]
        answer = self._request("POST", f"{self._path(model, version)}/infer", json.dumps({"inputs": tensors}))
        return {
            tensor["name"]: np.asarray(tensor["data"], "float32").reshape(tensor["shape"])
            for tensor in answer["outputs"]
        }

    def signatures(self, model, version):
        answer = self._request("GET", self._path(model, version))
        inputs, outputs = (
            {tensor["name"]: (_tensorflow_dtype(tensor["datatype"]), tuple(tensor["shape"])) for tensor in answer[kind]}
            for kind in ("inputs", "outputs")
        )
        return {"serving_default": (inputs, outputs)}

    def status(self, model, version):
        # The protocol lists the versions that are available, without a state.
        return {int(number): "AVAILABLE" for number in self._request("GET", self._path(model, version))["versions"]}


class GrpcTransport:
    """Requests by gRPC, with the arguments and methods of `RestTransport`."""

    def __init__(self, address, timeout):
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        # Images exceed gRPC's default size. No proxy between client and server.
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=[*unlimited, ("grpc.enable_http_proxy", 0)])
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._timeout = timeout

    def predict(self, model, version, signature, inputs):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest(
            model_spec=model_spec(model, version, signature),
            inputs={name: tf.make_tensor_proto(value) for name, value in inputs.items()},
        )
        response = self._call(self._prediction.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}

    def signatures(self, model, version):
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec(model, version), metadata_field=["signature_def"]
        )
        response = self._call(self._prediction.GetModelMetadata, request)
        answer = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(answer)
        return _described(answer)

    def status(self, model, version):
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec(model, version))
        response = self._call(self._models.GetModelStatus, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return {version.version: states.Name(version.state) for version in response.model_version_status}

    def close(self):
        self._channel.close()

    def _call(self, method, request):
        import grpc

        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            hint = ". Is this the port of REST (protocol='rest')?" if "http1.x" in (error.details() or "") else ""
            raise from_code(error.code().name, f"{error.details()}{hint}") from error


def _described(signature_map):
    from tensorflow.core.framework import types_pb2

    return {
        name: tuple(
            {
                tensor: (types_pb2.DataType.Name(info.dtype), tuple(dim.size for dim in info.tensor_shape.dim))
                for tensor, info in tensors.items()
                if info.dtype
            }
            for tensors in (definition.inputs, definition.outputs)
        )
        for name, definition in signature_map.signature_def.items()
    }


_KSERVE_DTYPES = {"FP16": "HALF", "FP32": "FLOAT", "FP64": "DOUBLE", "BYTES": "STRING"}


def _tensorflow_dtype(name):
    return f"DT_{_KSERVE_DTYPES.get(name, name)}"


def _kserve_dtype(dtype):
    return "BYTES" if dtype.kind in "OSU" else dtype.name.upper().replace("FLOAT", "FP")
