"""Entries of every kind of the zoo through REST and gRPC, by three clients, beside `model.predict`."""

import functools

import numpy as np
import pytest
from helpers import mostly_full
from servers import assert_close, entries_of_each_kind, example_inputs, grpc_stubs, predict_request, serve

import keras_hypernet as kh

PLAIN = "rotation_mnist_hyper", "rotation_mnist_embed"
ENTRIES = entries_of_each_kind(*PLAIN)


@pytest.fixture(scope="module")
def server(request, tmp_path_factory, exported):
    names = ENTRIES if request.config.getoption("--full") else PLAIN
    with serve(exported(tmp_path_factory.mktemp("saved_models"), *names), *names) as running:
        yield running


@functools.cache
def _model(name):
    return kh.load(name)


@pytest.mark.parametrize("name", mostly_full(ENTRIES, *PLAIN))
def test_three_clients_get_what_predict_returns(server, name):
    import ovmsclient
    import tensorflow as tf

    inputs, given = example_inputs(_model(name))
    expected = _model(name).predict(given, verbose=0)
    for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
        with kh.serving.Client(f"localhost:{port}", name, protocol=protocol) as client:
            assert client.status() == {1: "AVAILABLE"}
            received = client.predict(**inputs)
            assert_close(received, expected)
            assert received.dtype == np.float32
    with grpc_stubs(server) as (prediction, _):
        response = prediction.Predict(predict_request(name, inputs))
        (output,) = response.outputs.values()
        assert_close(tf.make_ndarray(output), expected)
        assert response.model_spec.version.value == 1
        assert response.model_spec.signature_name == "serving_default"
    makers = {ovmsclient.make_grpc_client: server.grpc_port, ovmsclient.make_http_client: server.rest_port}
    for make, port in makers.items():
        client = make(f"localhost:{port}")
        assert_close(np.asarray(client.predict(inputs, name), "float32"), expected)
        assert client.get_model_status(name)[1]["state"] == "AVAILABLE"
    # By REST, ovmsclient expects the other names of OpenVINO's server.
    client = ovmsclient.make_grpc_client(f"localhost:{server.grpc_port}")
    assert set(client.get_model_metadata(name)["inputs"]) == set(inputs)


@pytest.mark.parametrize("name", mostly_full([name for name in ENTRIES if name.startswith("rotation")], *PLAIN))
def test_the_weights_of_one_condition_serve_many_x(server, name):
    inputs, _ = example_inputs(_model(name))
    same = {**inputs, "condition": np.repeat(inputs["condition"][:1], 4, axis=0)}
    expected, own = (_model(name).predict(given, verbose=0) for given in (same, inputs))
    for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
        with kh.serving.Client(f"localhost:{port}", name, protocol=protocol) as client:
            weights = client.generate_weights(inputs["condition"][:1])
            assert all(value.shape[0] == 1 and value.dtype == np.float32 for value in weights.values())
            # 2e-5: the weights are rounded to float32, and its sums are in another order.
            assert_close(client.apply(inputs["x"], weights), expected, 2e-5)
            all_weights = client.generate_weights(inputs["condition"])
            assert_close(client.apply(inputs["x"], all_weights), own, 2e-5)
