"""The gRPC services: answers and status codes, by the stubs of tensorflow-serving-api."""

import grpc
import numpy as np
import pytest
from cases import MODELS
from servers import assert_close, grpc_stubs, predict_request, serve

import keras_hypernet as kh

NAME = "rotation_mnist_hyper"
(ProcessCase,) = [case for case in MODELS if case.name == "neural_process"]
IMAGES = np.zeros((2, 28, 28, 1), "uint8")


@pytest.fixture(scope="module")
def stubs(server):
    with grpc_stubs(server) as both:
        yield both


@pytest.fixture
def refused(stubs):
    """Returns a function that sends a Predict request and returns the code and the message of its refusal."""

    def refused(request):
        with pytest.raises(grpc.RpcError) as error:
            stubs[0].Predict(request, timeout=60)
        # The next request is answered.
        assert stubs[0].Predict(predict_request("other", {"x": np.float32([1])})).outputs
        return error.value.code().name, error.value.details()

    return refused


def _arrays(response):
    import tensorflow as tf

    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def test_values_may_be_in_any_field_of_the_message(stubs):
    import tensorflow as tf

    expected = np.float32([3.5, 4, 4.5])
    content = predict_request("other", {"x": np.float32([1, 2, 3])})
    assert content.inputs["x"].tensor_content
    values = predict_request("other", {})
    values.inputs["x"].dtype, values.inputs["x"].tensor_shape.dim.add().size = 1, 3
    values.inputs["x"].float_val.extend([1, 2, 3])
    for request in (content, values):
        np.testing.assert_array_equal(_arrays(stubs[0].Predict(request))["y"], expected)
    one = predict_request("other", {"x": np.float32([1])}, "unequal")
    one.inputs["x"].CopyFrom(tf.make_tensor_proto(7.0, shape=[5]))  # one value for all
    np.testing.assert_array_equal(_arrays(stubs[0].Predict(one))["all"], np.full(5, 7, "float32"))


def test_the_output_filter_chooses_the_outputs(stubs, refused):
    request = predict_request("other", {"x": np.float32([1, 2])}, "unequal")
    request.output_filter.append("one")
    assert set(_arrays(stubs[0].Predict(request))) == {"one"}
    request.output_filter[0] = "three"
    code, message = refused(request)
    assert code == "INVALID_ARGUMENT"
    assert message == "`output_filter` must be of all, one. Received: three"


def test_strings(stubs):
    request = predict_request("other", {"text": np.array([b"a", b"\xfe"])}, "strings")
    assert _arrays(stubs[0].Predict(request))["text_bytes"].tolist() == [b"a\xff", b"\xfe\xff"]


def test_an_empty_batch(stubs):
    for name, inputs in (("other", {"x": np.zeros(0, "float32")}), (NAME, {"x": IMAGES[:0], "condition": IMAGES[:0]})):
        ((_, output),) = _arrays(stubs[0].Predict(predict_request(name, inputs))).items()
        assert len(output) == 0
        assert output.dtype == np.float32


def test_nan_and_infinity_come_back(stubs):
    x = np.float32([np.nan, np.inf])
    np.testing.assert_array_equal(_arrays(stubs[0].Predict(predict_request("other", {"x": x})))["y"], x)


def test_metadata_and_status(stubs):
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

    prediction, models = stubs
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = NAME
    response = prediction.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "generate_weights", "apply"}
    assert response.model_spec.version.value == 1
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "other"
    (version,) = models.GetModelStatus(status).model_version_status
    assert (version.version, version.state, version.status.error_code) == (3, 30, 0)
    for change, code in (
        (lambda: request.metadata_field.append("other"), "INVALID_ARGUMENT"),
        (lambda: request.ClearField("metadata_field"), "INVALID_ARGUMENT"),
        (lambda: request.ClearField("model_spec"), "INVALID_ARGUMENT"),
    ):
        change()
        with pytest.raises(grpc.RpcError) as error:
            prediction.GetModelMetadata(request)
        assert error.value.code().name == code
    status.model_spec.version.value = 9
    with pytest.raises(grpc.RpcError, match="Could not find version 9 of model other") as error:
        models.GetModelStatus(status)
    assert error.value.code().name == "NOT_FOUND"


def test_unknown_models_versions_and_signatures_are_refused(refused):
    x = {"x": np.float32([1])}
    assert refused(predict_request("nothing", x)) == ("NOT_FOUND", "Servable not found for request: Latest(nothing)")
    specific = predict_request("other", x, version=7)
    assert refused(specific) == ("NOT_FOUND", "Servable not found for request: Specific(other, 7)")
    specific = predict_request("other", x, version=-1)
    assert refused(specific) == ("NOT_FOUND", "Servable not found for request: Specific(other, -1)")
    labelled = predict_request("other", x)
    labelled.model_spec.version_label = "nothing"
    assert refused(labelled) == ("INVALID_ARGUMENT", "Unrecognized servable version label: nothing")
    assert refused(predict_request("other", x, "nothing")) == (
        "FAILED_PRECONDITION",
        'Serving signature key "nothing" not found.',
    )
    from tensorflow_serving.apis import predict_pb2

    assert refused(predict_pb2.PredictRequest()) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_missing_and_extra_inputs_are_named(refused):
    code, message = refused(predict_request(NAME, {"x": IMAGES, "y": IMAGES}))
    assert code == "INVALID_ARGUMENT"
    assert message == "`inputs` must be all of condition, x. Received: x, y"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (IMAGES.astype("float32"), "Input 'x' must be of dtype DT_UINT8. Received: DT_FLOAT"),
        (IMAGES.astype("int64"), "Input 'x' must be of dtype DT_UINT8. Received: DT_INT64"),
        (IMAGES[0], "Input 'x' must have the shape [?,28,28,1]. Received: [28,28,1]"),
        (IMAGES[..., 0], "Input 'x' must have the shape [?,28,28,1]. Received: [2,28,28]"),
        (np.uint8(3), "Input 'x' must have the shape [?,28,28,1]. Received: []"),
        (np.array([b"image"]), "Input 'x' must be of dtype DT_UINT8. Received: DT_STRING"),
    ],
)
def test_invalid_images_are_refused(refused, x, message):
    assert refused(predict_request(NAME, {"x": x, "condition": IMAGES})) == ("INVALID_ARGUMENT", message)


def test_grpc_tensors_with_wrong_sizes_are_refused(refused):
    def spoiled(change):
        request = predict_request("other", {"x": np.float32([1, 2])})
        change(request.inputs["x"])
        code, message = refused(request)
        assert code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
        return message

    assert "of shape (2, 2) must hold 16 bytes. Received: 8" in spoiled(lambda x: x.tensor_shape.dim.add(size=2))
    assert "none negative. Received: (-2,)" in spoiled(lambda x: setattr(x.tensor_shape.dim[0], "size", -2))
    assert "unknown rank" in spoiled(lambda x: setattr(x.tensor_shape, "unknown_rank", True))
    assert "Received: number 1000" in spoiled(lambda x: setattr(x, "dtype", 1000))
    assert "Received: DT_RESOURCE" in spoiled(lambda x: setattr(x, "dtype", 20))

    def huge(x):
        x.ClearField("tensor_content")
        x.float_val.append(1)
        x.tensor_shape.dim[0].size = 2**40

    assert "is larger than the 1,048,576 bytes that are accepted" in spoiled(huge)

    def many_sizes(x):
        x.tensor_shape.ClearField("dim")
        for _ in range(10_000):
            x.tensor_shape.dim.add(size=2**62)

    assert "at most 32 sizes" in spoiled(many_sizes)

    def too_many_values(x):
        x.ClearField("tensor_content")
        x.float_val.extend([1, 2, 3])

    assert "tensor parsing error: x" in spoiled(too_many_values)


def test_limits(refused, stubs):
    code, message = refused(predict_request("other", {"x": np.zeros(65, "float32")}))
    assert (code, message) == ("RESOURCE_EXHAUSTED", "A request may have 64 rows. Received: 65. Send it in parts.")
    code, message = refused(predict_request("other", {"x": np.zeros(2**20, "float32")}))
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in message


def test_unsupported_grpc_methods_are_refused(stubs):
    from tensorflow_serving.apis import classification_pb2, inference_pb2, model_management_pb2, regression_pb2

    prediction, models = stubs
    for method, request in (
        (prediction.Classify, classification_pb2.ClassificationRequest()),
        (prediction.Regress, regression_pb2.RegressionRequest()),
        (prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        (models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ):
        with pytest.raises(grpc.RpcError) as error:
            method(request)
        assert error.value.code().name == "UNIMPLEMENTED"


@pytest.mark.regression
@pytest.mark.parametrize("signature", ["", "apply"])
@pytest.mark.parametrize(("rows", "others"), [(1, 0), (1, 2), (3, 2), (0, 2)])
def test_unequal_batches_are_refused(refused, stubs, signature, rows, others):
    """TensorFlow itself would answer if one input has one row or none."""
    x, one = np.zeros((rows, 28, 28, 1), "uint8"), {"condition": IMAGES[:1]}
    if signature:
        one = _arrays(stubs[0].Predict(predict_request(NAME, one, "generate_weights")))
    for name in one:
        inputs = {"x": x, **one, name: np.repeat(one[name], others, axis=0)}
        assert refused(predict_request(NAME, inputs, signature)) == (
            "INVALID_ARGUMENT",
            f"Input {name!r} must have one row, or as many as x, {rows}. Received: {others}",
        )
    outputs = _arrays(stubs[0].Predict(predict_request(NAME, {"x": x[:0], **one}, signature)))
    assert outputs["logits"].shape == (0, 12)


@pytest.mark.regression
def test_an_empty_set_is_refused(stubs, tmp_path):
    model = ProcessCase.make()
    x, sets = np.ones((2, *ProcessCase.x_shape), "float32"), np.ones((2, *ProcessCase.condition_shape), "float32")
    model({"x": x, "condition": sets})
    kh.export(model, tmp_path, "sets")
    with serve(tmp_path, "sets") as server, grpc_stubs(server) as (prediction, _):
        for signature, inputs in (("", {"x": x, "condition": sets}), ("embed", {"condition": sets})):
            assert prediction.Predict(predict_request("sets", inputs, signature)).outputs
            inputs["condition"] = sets[:, :0]
            with pytest.raises(grpc.RpcError) as error:
                prediction.Predict(predict_request("sets", inputs, signature))
            assert error.value.code().name == "INVALID_ARGUMENT"
            assert error.value.details() == "Not so: a set has a member."


def test_one_condition_for_all_x(stubs):
    x = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), "uint8")
    outputs = _arrays(stubs[0].Predict(predict_request(NAME, {"x": x, "condition": IMAGES[:1]})))
    expected = kh.load(NAME).predict({"x": x, "condition": np.repeat(IMAGES[:1], 5, axis=0)}, verbose=0)
    assert_close(outputs["logits"], expected, 2e-5)
