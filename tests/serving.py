"""What the tests of the server share: exported models, and inputs for them."""

import contextlib
import os
import pathlib

import numpy as np
from helpers import normal, pixels

from keras_hypernet.serving.server import Server


def serve(folder, *names, **options):
    """A server of models on free ports, in a thread; a context manager."""
    return Server(folder, names, **{"rest_port": 0, "grpc_port": 0, "poll_seconds": 0.1, **options})


def example_inputs(model, batch=4, seed=0):
    """Inputs of a model as a dict, and as its `predict` takes them."""
    if not hasattr(model, "condition_shape"):
        (declared,) = model.inputs
        draw = pixels if declared.dtype == "uint8" else normal
        x = draw((batch, *declared.shape[1:]), seed)
        return {"x": x}, x
    inputs = {}
    for name, shape in (("x", model.x_shape), ("condition", model.condition_shape)):
        draw = pixels if len(shape) == 4 else normal
        inputs[name] = draw((batch, *(size or 5 for size in shape[1:])), seed + len(name))
    return inputs, inputs


def assert_close(received, expected, tolerance=1e-5):
    """That outputs agree, relative to the largest: float32 leaves the smaller ones no more digits than that."""
    assert received.dtype == np.float32
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@contextlib.contextmanager
def grpc_stubs(server):
    """The stubs of tensorflow-serving-api for a server."""
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=unlimited) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def predict_request(model, inputs, signature="", version=None):
    """A PredictRequest."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def resident_bytes(process=None):
    """The memory of a process, by default of this one."""
    pages = pathlib.Path(f"/proc/{process or 'self'}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
