"""The client with conditions of every kind: integers, words, and several parts, by REST and gRPC."""

import keras
import numpy as np
import pytest
from helpers import normal
from servers import assert_close, numbered_model, serve, worded_model

import keras_hypernet as kh
from keras_hypernet.serving import Client


def _model_of_parts():
    """A hypernetwork whose condition is a nested dict, and inputs of it."""
    places, numbers = keras.Input((2,), name="places"), keras.Input((1,), dtype="int32", name="numbers")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(10, 3)(numbers))
    inner = {"places": places, "more": {"numbers": numbers}}
    generator = keras.Model(inner, keras.layers.Multiply()([keras.layers.Dense(3)(places), embedded]))
    model = kh.Hypernetwork(generator, [kh.layers.HyperDense(4)])
    condition = {"places": normal((5, 2), seed=1), "more": {"numbers": np.int32([[3], [9], [0], [3], [7]])}}
    inputs = {"x": normal((5, 7)), "condition": condition}
    model(inputs)
    return model, inputs


@pytest.fixture(scope="module")
def models():
    """Pairs of a model and its inputs, by name."""
    return {"numbered": numbered_model(), "words": worded_model(), "parts": _model_of_parts()}


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models")
    for name, (model, _) in models.items():
        kh.export(model, folder, name)
    with serve(folder, *models) as running:
        yield running


@pytest.fixture(params=["rest", "grpc"])
def connect(request, server):
    """Returns a function that makes a client of a model, by either protocol."""
    port = server.rest_port if request.param == "rest" else server.grpc_port
    return lambda name, **options: Client(f"127.0.0.1:{port}", name, protocol=request.param, **options)


def test_conditions_may_be_integers(connect, models):
    model, inputs = models["numbered"]
    with connect("numbered") as client:
        assert client.metadata()["serving_default"][0]["condition"] == ("DT_INT32", (-1, 1))
        expected = model.predict(inputs, verbose=0)
        assert_close(client.predict(inputs["x"], inputs["condition"].astype("int64")), expected)
        weights = client.generate_weights(inputs["condition"])
        assert_close(client.apply(inputs["x"], weights), expected)
        with pytest.raises(ValueError, match="`condition` must be of dtype int32, .* Received: float64"):
            client.predict(inputs["x"], inputs["condition"] / 2)


@pytest.mark.regression
def test_conditions_may_be_words(connect, models):
    model, inputs = models["words"]
    expected = np.asarray(model({name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()}))
    with connect("words") as client:
        assert_close(client.predict(inputs["x"], inputs["condition"]), expected)
        for word in range(3):  # by the halves, of which the first is kept
            assert_close(client.predict(inputs["x"], inputs["condition"][word : word + 1])[word], expected[word])


@pytest.mark.regression
def test_a_condition_may_have_several_parts(connect, models):
    model, inputs = models["parts"]
    x, condition = inputs["x"], inputs["condition"]
    one = keras.tree.map_structure(lambda part: part[:1], condition)
    expected, under_one = (np.asarray(model({"x": x, "condition": given})) for given in (condition, one))
    with connect("parts", max_rows=2) as client:
        assert set(client.metadata()["serving_default"][0]) == {"x", "condition_places", "condition_more_numbers"}
        assert_close(client.predict(x, condition), expected)
        assert_close(client.predict(x, one), under_one)
        assert_close(client.apply(x, client.generate_weights(condition)), expected)
        with pytest.raises(ValueError, match="All inputs must have the same number of rows, or one row"):
            client.predict(x, {**condition, "places": condition["places"][:2]})
