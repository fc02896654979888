"""The configuration files of TensorFlow Serving, parsed with its own protocol buffers where the package has them."""

import concurrent.futures

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from helpers import ROOT
from tensorflow_serving.config import model_server_config_pb2

import keras_hypernet as kh
from keras_hypernet.serving.config import FIRST_HALVES, read_models_config, write_configs
from keras_hypernet.serving.export import traceable
from keras_hypernet.serving.signatures import signatures

COMMITTED = ROOT / "saved_models"


def _parse_models(path):
    return text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig()).model_config_list.config


def _message(name, fields, nested=()):
    """A message class of `tensorflow.serving`. tensorflow-serving-api leaves the two config files below out, so their
    fields are declared here as in session_bundle_config.proto and monitoring_config.proto."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="t", syntax="proto3")
    for message, members in [*nested, (name, fields)]:
        descriptor = file.message_type.add(name=message)
        for number, (field, kind, label) in enumerate(members, start=1):
            added = descriptor.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, f".t.{kind}"
            else:
                added.type = kind
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}"))


INT64, STRING, BOOL = 3, 9, 8
ONE, MANY = 1, 3
BatchingParameters = _message(
    "BatchingParameters",
    [
        ("max_batch_size", "Int64Value", ONE),
        ("batch_timeout_micros", "Int64Value", ONE),
        ("max_enqueued_batches", "Int64Value", ONE),
        ("num_batch_threads", "Int64Value", ONE),
        ("thread_pool_name", "StringValue", ONE),
        ("allowed_batch_sizes", INT64, MANY),
        ("pad_variable_length_inputs", BOOL, ONE),
    ],
    [("Int64Value", [("value", INT64, ONE)]), ("StringValue", [("value", STRING, ONE)])],
)
MonitoringConfig = _message(
    "MonitoringConfig",
    [("prometheus_config", "PrometheusConfig", ONE)],
    [("PrometheusConfig", [("enable", BOOL, ONE), ("path", STRING, ONE)])],
)


@pytest.mark.parametrize("where", ["exported", "committed"])
def test_tensorflow_servings_protocol_buffers_parse_the_files(where, exported, tmp_path):
    folder = tmp_path
    if where == "committed":
        folder = COMMITTED
        if not folder.is_dir():
            pytest.skip("this is not a checkout: saved_models/ is not installed")
    else:
        exported(folder, "rotation_mnist_embed", "rotation_mnist_hyper")
    models = _parse_models(folder / "models.config")
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert [(model.name, model.base_path) for model in models] == [(name, f"/models/{name}") for name in folders]
    assert {model.model_platform for model in models} == {"tensorflow"}
    batching = text_format.Parse((folder / "batching.config").read_text(), BatchingParameters())
    assert batching.max_batch_size.value == 256
    monitoring = text_format.Parse((folder / "monitoring.config").read_text(), MonitoringConfig())
    assert (monitoring.prometheus_config.enable, monitoring.prometheus_config.path) == (
        True,
        "/monitoring/prometheus/metrics",
    )


def test_comments_in_models_config_are_kept(tmp_path):
    path = tmp_path / "models.config"
    write_configs(tmp_path, "one")
    path.write_text(path.read_text().replace("  config {", "  # not before Friday\n  config {"))
    before = path.read_text()
    write_configs(tmp_path, "another")
    assert path.read_text().startswith(before.removesuffix("}\n"))
    assert [model.name for model in _parse_models(path)] == ["one", "another"]
    # A file that does not end with the list is written anew.
    path.write_text('model_config_list < config < name: "one" base_path: "/models/one" > >')
    write_configs(tmp_path, "another")
    assert [(model.name, model.base_path) for model in _parse_models(path)] == [
        ("one", "/models/one"),
        ("another", "/models/another"),
    ]


def test_the_files_say_which_signatures_cannot_be_batched(tmp_path):
    """By TensorFlow's own batching, which has the rule and the words of TensorFlow Serving's."""
    import tensorflow as tf

    rows = 4
    write_configs(tmp_path, "some")
    comments = {
        name: " ".join(line[1:].strip() for line in (tmp_path / name).read_text().splitlines() if line.startswith("#"))
        for name in ("models.config", "batching.config")
    }
    for entry in ("rotation_mnist_hyper", "rotation_mnist_embed"):
        accepted, refused = [], []
        for signature in signatures(kh.load(entry)):
            # As in requests: one condition, or its weights, for all of x.
            equal = signature.name != "apply"
            sizes = [rows if equal or tensor.name == "x" else 1 for tensor in signature.inputs]
            inputs = [
                tf.zeros((size, *tensor.shape[1:]), tensor.dtype)
                for size, tensor in zip(sizes, signature.inputs, strict=True)
            ]
            function, _ = traceable(signature)
            batched = tf.nondifferentiable_batch_function(1, rows, 0, autograph=False)(
                lambda *given, function=function: list(function(*given).values())
            )
            try:
                batched(*inputs)
                accepted.append(signature.name)
            except tf.errors.InvalidArgumentError as error:
                refused.append((signature.name, "equal 0th-dimension size" in str(error)))
        assert refused == [("apply", True)]
        assert set(accepted) == {"serving_default", next(name for name in FIRST_HALVES if name in accepted)}
        for text in comments.values():
            assert all(name in text.split("apply")[0] for name in ("serving_default", "generate_weights"))
            assert "refused" in text.split("apply", 1)[1]
    assert '"equal 0th-dimension size"' in comments["models.config"]
    assert "embed. apply" in comments["models.config"]


def test_labels_and_policies_in_models_config_are_kept(tmp_path):
    write_configs(tmp_path, "first")
    models = read_models_config(tmp_path / "models.config")
    models["first"].version_labels["stable"] = 1
    models["first"].model_version_policy.specific.versions.extend([1, 2])
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.extend(models.values())
    (tmp_path / "models.config").write_text(text_format.MessageToString(config))
    (tmp_path / "batching.config").write_text("max_batch_size { value: 8 }")
    write_configs(tmp_path, "first")
    write_configs(tmp_path, "second")
    models = read_models_config(tmp_path / "models.config")
    assert list(models) == ["first", "second"]
    assert dict(models["first"].version_labels) == {"stable": 1}
    assert list(models["first"].model_version_policy.specific.versions) == [1, 2]
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 8 }"


def test_exports_at_the_same_time_all_add_their_model(tmp_path):
    names = [f"model_{number}" for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: write_configs(tmp_path, name), names))
    assert sorted(read_models_config(tmp_path / "models.config")) == sorted(names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model_config_list { config { nome: 'a' } }", "must be a ModelServerConfig in text format"),
        (
            "model_config_list {config {name: 'a'} config {name: 'a'}}",
            "must name every model once. Received: .'a'",
        ),
        ("\udcff", "must be a ModelServerConfig in text format"),
        ("", "must have a model_config_list. Received: an empty file"),
        ("custom_model_config {}", "must have a model_config_list. Received: custom_model_config {}"),
    ],
)
def test_a_broken_models_config_is_refused(content, message, tmp_path):
    (tmp_path / "models.config").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=message):
        read_models_config(tmp_path / "models.config")
