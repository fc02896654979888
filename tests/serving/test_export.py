"""Exported SavedModels: the folder layout, the signature, and outputs in a process without Keras."""

import dataclasses
import importlib.metadata
import json
import resource
import subprocess
import sys

import keras
import numpy as np
import pytest
from cases import MODELS
from helpers import ROOT, array, mostly_full, normal, pixels
from servers import worded_model
from wired import wired

import keras_hypernet as kh
from keras_hypernet.common.files import replacing_folder
from keras_hypernet.layers import HyperDense
from keras_hypernet.serving import run_saved_model_script
from keras_hypernet.serving.local.cache import WeightCache, run_default
from keras_hypernet.serving.local.servable import Servable
from keras_hypernet.serving.run_saved_model import load
from keras_hypernet.serving.signatures import example, signatures
from keras_hypernet.serving.specialized import FORMATS, export_formats
from keras_hypernet.serving.warmup import read_warmup
from keras_hypernet.zoo.architectures import build_model

COMMITTED = ROOT / "saved_models"
PLAIN = "hypernetwork_images", "embedding"
CASES = mostly_full(MODELS, *PLAIN)


def _case_inputs(case):
    draw = pixels if case.dtype == "uint8" else normal
    return {"x": draw((5, *case.x_shape)), "condition": draw((5, *case.condition_shape), seed=1)}


@pytest.mark.parametrize(
    ("task", "method"),
    [
        *((kh.tasks.ParetoTask(problem), "linear") for problem in kh.tasks.pareto.PROBLEMS),
        *((kh.tasks.GaussianProcessTask("rbf"), method) for method in kh.tasks.GaussianProcessTask.methods),
    ],
    ids=str,
)
def test_numbers_are_served_as_values(task, method):
    model = build_model(task, method, kh.Recipe(width=4))
    for signature in signatures(model):
        if signature.name in ("serving_default", "apply"):
            assert [*signature.function(**example(signature))] == ["value"]


@pytest.fixture(scope="module")
def cases(request, tmp_path_factory):
    """Model, version and outputs in a process without Keras of each case, by name; one process runs all of them."""
    folder, made, arguments = tmp_path_factory.mktemp("cases"), {}, []
    selected = [case for case in MODELS if request.config.getoption("--full") or case.name in PLAIN]
    for case in selected:
        keras.utils.set_random_seed(0)
        model, inputs = case.make(), _case_inputs(case)
        model.predict(inputs, verbose=0)
        version = kh.export(model, folder, name=case.name)
        np.savez(folder / f"{case.name}.npz", **inputs)
        arguments += [str(version), str(folder / f"{case.name}.npz"), str(folder / f"{case.name}.out.npz")]
        made[case.name] = model, version
    program = (
        "import runpy, sys\n"
        "sys.modules['keras'] = None\n"
        f"main = runpy.run_path({str(run_saved_model_script())!r})['main']\n"
        "for first in range(1, len(sys.argv), 3): main(*sys.argv[first : first + 3])"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for case in selected:
        with np.load(folder / f"{case.name}.out.npz") as outputs:
            made[case.name] += (dict(outputs),)
    return made


@pytest.mark.parametrize("case", CASES, ids=str)
def test_saved_model_gives_the_models_outputs_without_keras(case, cases):
    (model, version, outputs), inputs = cases[case.name], _case_inputs(case)
    expected = model.predict(inputs, verbose=0)
    assert version.parts[-2:] == (case.name, "1")
    assert list(outputs) == ["logits"]
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)
    # The batch is free.
    one = load(version)({name: value[:1] for name, value in inputs.items()})
    np.testing.assert_allclose(one["logits"], expected[:1], atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_halves_make_the_whole(case, cases):
    import tensorflow as tf

    (model, version, _), inputs = cases[case.name], _case_inputs(case)
    expected = model.predict(inputs, verbose=0)
    served = tf.saved_model.load(str(version)).signatures
    (first,) = set(served) - {"serving_default", "apply"}
    assert first == ("embed" if isinstance(model, kh.EmbeddingMethod) else "generate_weights")
    weights = served[first](condition=tf.constant(inputs["condition"]))
    assert all(weight.shape[0] == 5 and weight.dtype == "float32" for weight in weights.values())
    outputs = served["apply"](x=tf.constant(inputs["x"]), **weights)
    np.testing.assert_allclose(outputs["logits"].numpy(), expected, atol=1e-5)
    # Many x under the weights of one condition.
    same = {**inputs, "condition": np.repeat(inputs["condition"][:1], 5, axis=0)}
    one = {name: weight[:1] for name, weight in weights.items()}
    outputs = served["apply"](x=tf.constant(inputs["x"]), **one)
    np.testing.assert_allclose(outputs["logits"].numpy(), model.predict(same, verbose=0), atol=1e-5)


def test_a_model_wired_by_hand_of_two_inputs_and_outputs_is_exported(tmp_path):
    model, inputs = wired(), {"x_a": normal((5, 5)), "x_b": normal((5, 2), seed=1)}
    condition = {"condition": normal((5, 4), seed=2)}
    expected = model.predict({"a": inputs["x_a"], "b": inputs["x_b"], **condition}, verbose=0)
    servable = Servable("wired", 1, kh.export(model, tmp_path, name="wired"))
    whole = servable.run("serving_default", {**inputs, **condition})
    halves = servable.run("apply", {**inputs, **servable.run("generate_weights", condition)})
    shared = run_default(servable, {**inputs, "condition": condition["condition"][1:2]}, WeightCache(10**6))
    alone = load(kh.export(kh.specialize(model, condition["condition"][1:2]), tmp_path, name="alone"))(inputs)
    for name, values in expected.items():
        np.testing.assert_allclose(whole[name], values, atol=1e-5)
        np.testing.assert_allclose(halves[name], values, atol=1e-5)
        np.testing.assert_allclose(shared[name][1], values[1], atol=1e-5)
        np.testing.assert_allclose(alone[name][1], values[1], atol=1e-5)


def test_the_number_of_points_is_free(tmp_path):
    (case,) = [case for case in MODELS if case.name == "hypernetwork_points"]
    model = case.make()
    inputs = {"x": normal((2, 9, *case.x_shape[1:])), "condition": normal((2, *case.condition_shape), seed=1)}
    model({"x": inputs["x"][:, :5], "condition": inputs["condition"]})
    outputs = load(kh.export(model, tmp_path))(inputs)
    np.testing.assert_allclose(outputs["logits"], array(model(inputs)), atol=1e-5)


@pytest.mark.parametrize("flat", [keras.layers.Flatten, lambda: keras.layers.Reshape((35,))])
def test_rows_that_a_layer_flattens_are_no_points(flat, tmp_path):
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [flat(), kh.layers.HyperDense(4)])
    inputs = {"x": normal((2, 5, 7)), "condition": normal((2, 6), seed=1)}
    expected = array(model(inputs))
    assert signatures(model)[0].inputs[0].shape == (None, 5, 7)
    np.testing.assert_allclose(load(kh.export(model, tmp_path))(inputs)["logits"], expected, atol=1e-5)


@pytest.mark.regression
@pytest.mark.parametrize("kind", mostly_full(["string", "file", "strict", "integer", "text"], "file"))
def test_lookups_are_exported_with_their_vocabulary(kind, tmp_path):
    import tensorflow as tf

    path = tmp_path / "words.txt"
    path.write_text("red\ngreen\nblue\n")
    model, inputs = worded_model(kind, str(path)) if kind == "file" else worded_model(kind)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    expected = array(model(tensors))
    whole, alone = (
        export_formats(model, tmp_path / "exported", formats=["saved_model"], condition=condition)[0]
        for condition in (None, inputs["condition"][1])
    )
    path.unlink()
    assert (whole.path / "assets" / "words.txt").is_file() == (kind == "file")
    served = tf.saved_model.load(str(whole.path)).signatures
    np.testing.assert_allclose(served["serving_default"](**tensors)["logits"].numpy(), expected, atol=1e-5)
    weights = served["generate_weights"](condition=tensors["condition"])
    np.testing.assert_allclose(served["apply"](x=tensors["x"], **weights)["logits"].numpy(), expected, atol=1e-5)
    assert len(read_warmup(whole.path)) == 3
    Servable("model", 1, whole.path)  # which runs the warm-up requests
    np.testing.assert_allclose(load(alone.path)({"x": inputs["x"]})["logits"][1], expected[1], atol=1e-5)


@pytest.mark.regression
def test_a_failed_conversion_leaves_nothing(tmp_path):
    model, _ = worded_model("text")
    with pytest.raises(Exception, match="No Op registered for StaticRegexReplace"):
        export_formats(model, tmp_path / "exported", "whole", ["onnx"])
    assert not list(tmp_path.glob("exported/*"))


def test_mixed_precision_is_served_as_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_model(kh.RotationTask("digits"), "hyper", kh.paper_recipe(kh.RotationTask("digits")))
    inputs = {"x": pixels((4, 28, 28, 1)), "condition": pixels((4, 28, 28, 1), seed=1)}
    expected = model(inputs)
    assert keras.backend.standardize_dtype(expected.dtype) == "bfloat16"
    outputs = load(kh.export(model, tmp_path))(inputs)
    assert outputs["logits"].dtype == np.float32
    np.testing.assert_allclose(outputs["logits"], array(expected), atol=0.05)


@pytest.mark.regression
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(lambda: [], id="layer", marks=pytest.mark.full),
        pytest.param(lambda: [keras.Input((2,), dtype="int32")], id="declared"),
    ],
)
def test_ids_are_served_as_integers_also_in_mixed_precision(first, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    reads = [keras.layers.Embedding(1000, 4, "random_normal"), keras.layers.Flatten()]
    hyper = HyperDense(2, kernel_initializer=keras.initializers.RandomNormal(stddev=10.0))
    primary = [*([keras.Sequential([*first(), *reads])] if first() else reads), hyper]
    model = kh.Hypernetwork(keras.layers.CategoryEncoding(1000, dtype="float32"), primary)
    inputs = {"x": np.int32([[1, 999], [259, 777]]), "condition": np.int32([[1, 999], [259, 777]])}
    expected = array(model(inputs))
    outputs = load(kh.export(model, tmp_path))(inputs)
    np.testing.assert_allclose(outputs["logits"], expected, atol=0.1)
    alone = kh.specialize(model, inputs["condition"][:1])
    outputs = load(kh.export(alone, tmp_path, "alone"))({"x": inputs["x"]})
    np.testing.assert_allclose(outputs["logits"][:1], expected[:1], atol=0.1)


def test_an_earlier_concurrent_export_is_kept(tmp_path):
    def write():
        with replacing_folder(tmp_path / "1", overwrite=False) as temporary:
            (temporary / "second").touch()
            (tmp_path / "1").mkdir()
            (tmp_path / "1" / "first").touch()

    with pytest.raises(FileExistsError, match="was created in the meantime"):
        write()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["1", "1/first"]


def test_signature_is_named_and_of_free_batch(exported, tmp_path):
    import tensorflow as tf

    version = exported(tmp_path, "rotation_mnist_hyper") / "rotation_mnist_hyper" / "1"
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    assert {name: (tuple(spec.shape), spec.dtype.name) for name, spec in inputs.items()} == {
        "x": ((None, 28, 28, 1), "uint8"),
        "condition": ((None, 28, 28, 1), "uint8"),
    }
    (output,) = signature.structured_outputs.items()
    assert output[0] == "logits"
    assert (tuple(output[1].shape), output[1].dtype.name) == ((None, 12), "float32")


def test_weights_are_stored_once(exported, tmp_path):
    version = exported(tmp_path, "rotation_mnist_hyper") / "rotation_mnist_hyper" / "1"
    num_bytes = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
    assert num_bytes < 1.1 * 4 * kh.load("rotation_mnist_hyper").count_params()


@pytest.mark.full
def test_saved_model_cli_shows_the_signatures(exported, tmp_path, monkeypatch, capsys):
    from absl import logging

    command, *_ = importlib.metadata.entry_points(group="console_scripts", name="saved_model_cli")
    version = exported(tmp_path, "rotation_mnist_hyper") / "rotation_mnist_hyper" / "1"
    monkeypatch.setattr(sys, "argv", ["saved_model_cli", "show", "--dir", str(version), "--all"])
    verbosity = logging.get_verbosity()
    with pytest.raises(SystemExit) as stopped:
        command.load()()
    logging.set_verbosity(verbosity)  # which the command raises
    shown = capsys.readouterr().out
    assert not stopped.value.code
    for name in ("serving_default", "generate_weights", "apply"):
        assert f"signature_def['{name}']" in shown


def test_warmup_has_a_request_for_every_signature_and_all_of_them_run(exported, tmp_path):
    import tensorflow as tf

    for name in ("rotation_mnist_hyper", "rotation_mnist_embed", "assumption1_mnist_f1"):
        version = exported(tmp_path, name) / name / "1"
        served = tf.saved_model.load(str(version)).signatures
        requests = read_warmup(version)
        assert {request.model_spec.signature_name for request in requests} == set(served)
        for request in requests:
            assert request.model_spec.name == name
            inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
            outputs = served[request.model_spec.signature_name](**inputs)
            assert all(np.isfinite(value.numpy()).all() for value in outputs.values())
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"garbage" * 10)
    with pytest.raises(ValueError, match="must hold records of PredictionLog"):
        read_warmup(version)


def test_the_card_travels_with_an_entry(exported, tmp_path):
    version = exported(tmp_path, "rotation_mnist_hyper") / "rotation_mnist_hyper" / "1"
    assert kh.Card.read(version / "assets.extra").name == "rotation_mnist_hyper"


@pytest.fixture
def network():
    """A network of x alone, which takes little time to export."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="network")


def test_versions_count_up_and_nothing_else_is_left(network, tmp_path):
    assert kh.export(network, tmp_path).name == "1"
    files = ["batching.config", "models.config", "monitoring.config", "network"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    base = tmp_path / "network"
    (base / "7").mkdir()
    (base / "notes").mkdir()
    assert kh.export(network, tmp_path).name == "8"
    assert sorted(path.name for path in base.iterdir()) == ["1", "7", "8", "notes"]
    # The older versions are removed when the new version is complete.
    assert kh.export(network, tmp_path, keep=1).name == "9"
    assert sorted(path.name for path in base.iterdir()) == ["8", "9", "notes"]
    assert kh.export(network, tmp_path, keep=0).name == "10"
    assert sorted(path.name for path in base.iterdir()) == ["10", "notes"]
    with pytest.raises(ValueError, match="`keep` must be the number of older versions .* Received: -1"):
        kh.export(network, tmp_path, keep=-1)


@pytest.mark.regression
def test_a_failed_export_leaves_nothing(tmp_path):
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = kh.load("rotation_mnist_hyper")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))  # as if the disk were full
    try:
        with pytest.raises(OSError, match="^The SavedModel cannot be written: .*File too large"):
            kh.export(model, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.regression
def test_a_disk_that_is_too_small_is_named_before_an_export(small_disk):
    message = (
        f"^There must be 2.8 MB free for {small_disk}/new. Received: 0.2 MB. Make room, or choose another folder.$"
    )
    for format in FORMATS:
        with pytest.raises(OSError, match=message):
            export_formats("rotation_mnist_hyper", small_disk / "new", formats=[format])
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("content", ["nonsense", "model_config_list {config {name: 'a'} config {name: 'a'}}"])
def test_beside_an_unreadable_models_config_nothing_is_exported(content, network, tmp_path):
    (tmp_path / "models.config").write_text(content)
    with pytest.raises(ValueError, match="models.config must"):
        kh.export(network, tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["models.config"]


def test_unsupported_models_are_not_exported(tmp_path):
    with pytest.raises(TypeError, match="Only models of x and condition are exported. Received: Dense"):
        kh.export(keras.layers.Dense(3), tmp_path)
    model = MODELS[0].make()
    with pytest.raises(ValueError, match="call it on its inputs before `export`"):
        kh.export(model, tmp_path)


@pytest.mark.regression
def test_a_name_must_be_a_folder_name(network, tmp_path):
    for name in ("../elsewhere", "..", "a/b", "a:b", "a\n", "a\x1b[2J"):
        with pytest.raises(ValueError, match="must be that of one folder"):
            kh.export(network, tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


COMMITTED_NAMES = ["rotation_mnist_hyper", "rotation_cifar_hyper"]


def _committed(name):
    """The folder of the only version of a committed export."""
    if not COMMITTED.is_dir():
        pytest.skip("this is not a checkout: saved_models/ is not installed")
    (version,) = [path for path in (COMMITTED / name).iterdir() if path.name.isdecimal()]
    return version


@pytest.mark.parametrize("name", COMMITTED_NAMES)
def test_committed_exports_hold_the_cards_of_the_zoo(name):
    (card,) = [card for card in kh.list_entries() if card.name == name]
    copy = _committed(name) / "assets.extra" / "card.json"
    assert json.loads(copy.read_text()) == dataclasses.asdict(card), f"copy zoo/{name}/card.json there"


@pytest.mark.parametrize("name", mostly_full(COMMITTED_NAMES, "rotation_mnist_hyper"))
def test_committed_exports_give_the_outputs_of_the_zoo(name):
    version = _committed(name)
    model = kh.load(name)
    shape = model.x_shape[1:]
    inputs = {"x": pixels((4, *shape)), "condition": pixels((4, *shape), seed=1)}
    outputs = load(version)(inputs)
    np.testing.assert_allclose(outputs["logits"], model.predict(inputs, verbose=0), atol=1e-4, rtol=1e-4)
