"""g alone for one condition, and whole models, as LiteRT, ONNX and OpenVINO, in their own runtimes, beside Keras."""

import re
import struct
import sys
import zlib

import keras
import numpy as np
import pytest
from cases import MODELS
from helpers import ROOT, array, mostly_full, normal, pixels
from servers import numbered_model

import keras_hypernet as kh
from keras_hypernet.serving.specialized import FORMATS, RUNNERS, export_formats, named_weights, read_condition

NAME = "rotation_mnist_hyper"
WHOLE = ["litert", "onnx", "openvino"]
# tf.lite's own interpreter, which is not the one that is used, is announced as deprecated when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")


@pytest.fixture(scope="module")
def mnist_model():
    return kh.load(NAME)


def _run(exported, inputs):
    """The output of a file, by the runtime of its format."""
    (output,) = RUNNERS[exported.format](exported.path)(inputs).values()
    return output


PLAIN = ("hypernetwork",)
# The others join the same layers; tests/serving/test_export.py runs all of them.
FULL = [f"hypernetwork_{name}" for name in ("points", "convolution", "any_layer")]
FULL += ["hypernetized", "embedding_images", "neural_process_images"]
CASES = [case for case in MODELS if case.name in (*PLAIN, *FULL)]


@pytest.mark.parametrize("case", mostly_full(CASES, *PLAIN), ids=str)
def test_whole_models_and_g_alone_give_keras_outputs(case, tmp_path):
    model, draw = case.make(), pixels if case.dtype == "uint8" else normal
    inputs = {"x": draw((5, *case.x_shape)), "condition": draw((5, *case.condition_shape), seed=1)}
    expected = model.predict(inputs, verbose=0)
    for exported in export_formats(model, tmp_path, "whole", WHOLE):
        np.testing.assert_allclose(_run(exported, inputs), expected, atol=1e-5)
    condition = inputs["condition"][0]
    expected = model.predict({**inputs, "condition": np.repeat(condition[None], 5, axis=0)}, verbose=0)
    files = export_formats(model, tmp_path, "g", condition=condition)
    assert [exported.format for exported in files] == ["saved_model", "litert", "onnx"]
    for exported in files:
        np.testing.assert_allclose(_run(exported, {"x": inputs["x"]}), expected, atol=1e-5)
        assert exported.difference < 1e-5


@pytest.mark.parametrize(
    "alone", [pytest.param(False, marks=pytest.mark.full, id="whole"), pytest.param(True, id="alone")]
)
def test_every_format_gives_keras_outputs_in_batches_of_any_size(alone, mnist_model, tmp_path):
    condition = pixels((28, 28, 1))
    files = export_formats(mnist_model, tmp_path, "model", RUNNERS, condition if alone else None)
    assert [exported.path.name for exported in files] == [
        *["1", "model.tflite", "model_int8.tflite", "model.onnx", "model.openvino"]
    ]
    for rows in (1, 3, 64):
        x = pixels((rows, 28, 28, 1), seed=rows)
        inputs = {"x": x, "condition": np.repeat(condition[None], rows, axis=0) if alone else x[:, ::-1]}
        expected = mnist_model.predict(inputs, verbose=0)
        for exported in files:
            difference = np.abs(_run(exported, {"x": x} if alone else inputs) - expected).max() / np.abs(expected).max()
            assert difference < (0.05 if exported.format == "litert_int8" else 1e-5), (exported.format, rows)
    sizes = {exported.format: exported.num_bytes for exported in files}
    assert sizes["litert_int8"] < 0.4 * sizes["litert"]


def test_the_earlier_name_of_litert_is_known(tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    (exported,) = export_formats(network, tmp_path, "network", ["tflite"])
    assert (exported.format, exported.path.name) == ("litert", "network.tflite")


@pytest.mark.full
@pytest.mark.parametrize("name", ["rotation_mnist_hyper", "rotation_cifar_hyper"])
def test_openvino_reads_the_committed_saved_models(name):
    import openvino

    if not (ROOT / "saved_models").is_dir():
        pytest.skip("this is not a checkout: saved_models/ is not installed")
    model = kh.load(name)
    x, condition = (pixels((64, *model.x_shape[1:]), seed) for seed in (0, 1))
    expected = model.predict({"x": x, "condition": condition}, verbose=0)
    compiled = openvino.Core().compile_model(
        ROOT / "saved_models" / name / "1", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for rows in (1, 3, 64):
        received = compiled({"x": x[:rows], "condition": condition[:rows]})["logits"]
        difference = np.abs(received - expected[:rows]).max() / np.abs(expected).max()
        print(f"{name}, {rows} rows: {difference:.1e}")
        assert difference < 2e-5


@pytest.mark.regression
@pytest.mark.parametrize(
    "case",
    mostly_full([case for case in MODELS if case.name in ("hypernetwork", "neural_process")], *PLAIN),
    ids=str,
)
def test_the_batch_rule_holds_in_onnx_and_openvino(case, tmp_path):
    import onnxruntime

    model, x, condition = case.make(), normal((5, *case.x_shape)), normal((5, *case.condition_shape), seed=1)
    model({"x": x, "condition": condition})
    expected = array(model({"x": x, "condition": condition[:1]}))
    unequal = [(x[:1], condition), (x[:4], condition[:2])]
    empty = [(x, condition[:, :0])] if condition.ndim > 2 else []  # which OpenVINO answers
    fail = onnxruntime.capi.onnxruntime_pybind11_state.Fail
    refusals = {"onnx": ([*unequal, *empty], fail, "check_that_"), "openvino": (unequal, RuntimeError, "the shape of")}
    for exported in export_formats(model, tmp_path, "whole", refusals):
        np.testing.assert_allclose(_run(exported, {"x": x, "condition": condition[:1]}), expected, atol=1e-5)
        refused, error, message = refusals[exported.format]
        for inputs in refused:
            with pytest.raises(error, match=message):
                _run(exported, dict(zip(("x", "condition"), inputs, strict=True)))


@pytest.mark.full
def test_conditions_may_be_integers(tmp_path):
    model, inputs = numbered_model()
    expected = model.predict(inputs, verbose=0)
    for exported in export_formats(model, tmp_path, "whole", WHOLE):
        np.testing.assert_allclose(_run(exported, inputs), expected, atol=1e-5)
    np.save(tmp_path / "nine.npy", [9])
    nine = read_condition(tmp_path / "nine.npy", model)
    assert nine.dtype == "int32"
    expected = model.predict({**inputs, "condition": np.full((5, 1), 9)}, verbose=0)
    for exported in export_formats(model, tmp_path, "g", condition=nine):
        np.testing.assert_allclose(_run(exported, {"x": inputs["x"]}), expected, atol=1e-5)
    for wrong in ([8.5], [2**40]):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(ValueError, match="wrong.npy must hold values of int32. Received: others, of (float|int)64"):
            read_condition(tmp_path / "wrong.npy", model)


@pytest.mark.full
def test_conditions_may_be_true_or_false(tmp_path):
    flags = keras.Input((3,), dtype="bool")
    generator = keras.Model(flags, keras.layers.Dense(2)(keras.ops.cast(flags, "float32")))
    model = kh.Hypernetwork(generator, [kh.layers.HyperDense(4)])
    inputs = {"x": normal((5, 7)), "condition": normal((5, 3), seed=1) > 0}
    expected = model.predict(inputs, verbose=0)
    for exported in export_formats(model, tmp_path, "whole", WHOLE):
        np.testing.assert_allclose(_run(exported, inputs), expected, atol=1e-5)


def test_g_alone_is_small(tmp_path):
    image = pixels((28, 28, 1))
    for exported in export_formats(NAME, tmp_path, condition=image):
        assert exported.path.name == {"saved_model": "1"}.get(exported.format, exported.path.name)
        assert "rotation_mnist_hyper_specialized" in str(exported.path)
        # 7,960 weights of four bytes, and what describes the graph.
        assert 4 * 7960 < exported.num_bytes < 4 * 7960 + 25_000


def test_weights_of_generated_and_trained_parts_have_names(tmp_path, mnist_model):
    safetensors = pytest.importorskip("safetensors.numpy")
    condition = pixels((28, 28, 1))
    whole, g = (
        safetensors.load_file(exported.path)
        for options in ({}, {"condition": condition})
        for exported in export_formats(mnist_model, tmp_path, formats=["safetensors"], **options)
    )
    parts = [f"generator.hidden_{number}.{name}" for number in (1, 2, 3) for name in ("bias", "kernel")]
    assert sorted(whole) == [*parts, "primary.hidden.kernel_basis", "primary.logits.kernel_basis"]
    for layer in ("hidden", "logits"):
        basis = mnist_model.get_layer(layer).variables[0]
        np.testing.assert_array_equal(whole[f"primary.{layer}.kernel_basis"], basis)
    generated = mnist_model.generate(condition[None])
    for name, weight in generated.items():
        np.testing.assert_allclose(g[name.replace("/", ".")], weight[0], rtol=1e-6)
    built = kh.build_model(kh.RotationTask("mnist"), "hyper", kh.paper_recipe(kh.RotationTask("mnist")))
    assert named_weights(built).keys() == whole.keys()  # as before it was saved and loaded
    embed = export_formats("synthetic_width_embed", tmp_path, formats=["safetensors"])[0]
    assert {name.split(".")[0] for name in safetensors.load_file(embed.path)} == {"embedding", "primary"}


@pytest.mark.regression
def test_a_file_of_other_weights_does_not_appear(tmp_path, monkeypatch):
    safetensors = pytest.importorskip("safetensors.numpy")
    save = safetensors.save_file
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    for wrong in (lambda weights: {}, lambda weights: {name: weights[name] + 1 for name in weights}):
        monkeypatch.setattr(
            safetensors, "save_file", lambda weights, *others, wrong=wrong: save(wrong(weights), *others)
        )
        with pytest.raises(RuntimeError, match="does not hold its weights"):
            export_formats(network, tmp_path, NAME, ["safetensors"])
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", mostly_full(["litert", "onnx", "openvino", "saved_model"], "litert", "saved_model"))
def test_a_wrong_file_does_not_appear(format, tmp_path, monkeypatch):
    """Existing files stay as they are: older versions beyond those to keep, and models.config."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    export_formats(network, tmp_path, NAME, ["saved_model", "saved_model", format])
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert {tmp_path / NAME / version for version in ("1", "2")} < set(before)
    run = RUNNERS[format]

    def wrong(path):
        return lambda inputs: {"logits": run(path)(inputs)["logits"] + 1}

    def failing(path):
        raise OSError("this file cannot be run")

    errors = (RuntimeError, "does not give Keras's outputs: they differ by"), (OSError, "this file cannot be run")
    for runner, (error, message) in zip((wrong, failing), errors, strict=True):
        monkeypatch.setitem(RUNNERS, format, runner)
        for name in (NAME, "new"):
            with pytest.raises(error, match=message):
                export_formats(network, tmp_path, name, [format], keep=0)
    after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*") if path != tmp_path / "new"}
    assert after == before
    assert list(tmp_path.glob("new*/**")) in ([], [tmp_path / "new"])  # an empty folder at most


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("ai_edge_litert.interpreter", r"LiteRT files need .* pip install 'keras_hypernet\[lite\]'"),
        ("tf2onnx", r"ONNX files need .* pip install 'keras_hypernet\[onnx\]'"),
        ("onnxruntime", r"ONNX files need .* pip install 'keras_hypernet\[onnx\]'"),
        ("openvino", r"OpenVINO files need .* pip install 'keras_hypernet\[openvino\]'"),
    ],
)
def test_missing_runtimes_are_named(module, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        export_formats(NAME, tmp_path, formats=FORMATS)
    assert list(tmp_path.iterdir()) == []


def test_conditions_are_read_from_images_and_arrays(tmp_path, mnist_model):
    from PIL import Image

    model, image = mnist_model, pixels((28, 28, 1))
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    np.save(tmp_path / "image.npy", image)
    for name in ("image.png", "image.npy"):
        np.testing.assert_array_equal(read_condition(tmp_path / name, model), image)
    image = pixels((32, 32, 1))
    Image.fromarray(image[..., 0]).save(tmp_path / "grey.png")
    colour = read_condition(tmp_path / "grey.png", kh.load("rotation_cifar_hyper"))
    np.testing.assert_array_equal(colour, np.repeat(image, 3, axis=-1))


def test_bad_conditions_are_refused(tmp_path, mnist_model):
    model, network = mnist_model, kh.load("assumption1_mnist_f1")
    np.save(tmp_path / "floats.npy", np.zeros((28, 28, 1)))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="must hold values of uint8. Received: others, of float64"):
        read_condition(tmp_path / "floats.npy", model)
    with pytest.raises(ValueError, match="must be an image, or a .npy file of an array. Received: cannot identify"):
        read_condition(tmp_path / "text.png", model)
    with pytest.raises(FileNotFoundError, match=r"an image or a .npy file, and there is no file \S+nothing.png"):
        read_condition(tmp_path / "nothing.png", model)
    with pytest.raises(ValueError, match="there is no condition to bake in"):
        read_condition(tmp_path / "text.png", network)
    with pytest.raises(ValueError, match="there is no condition to bake in"):
        export_formats(network, tmp_path, condition=pixels((28, 28, 1)))
    with pytest.raises(ValueError, match=r"must be of shape \(28, 28, 1\), without a batch. Received: shape \(1, 28"):
        export_formats(model, tmp_path, condition=pixels((1, 28, 28, 1)))
    with pytest.raises(ValueError, match="`formats` must be some of .* Received: .'pickle'"):
        export_formats(model, tmp_path, formats=["pickle"])


_EXPECTED = "must be an image, or a .npy file of an array. Received: "


def _png(width, height, pixels=b""):
    """A PNG file of one bit a pixel that says to be of this size, whatever is in it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def _npy(shape, content=b"", dtype="|u1"):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.regression
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bomb.png", _png(60_000, 60_000), f"{_EXPECTED}Image size (3600000000 pixels) exceeds limit"),
        (
            "wide.png",
            _png(40, 28, bytes(28 * 6)),
            "must hold a condition of shape (28, 28, 1). Received: shape (28, 40, 1)",
        ),
        ("short.png", _png(28, 28)[:-30], _EXPECTED),
        ("empty.png", b"", f"{_EXPECTED}cannot identify"),
        ("vector.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n", f"{_EXPECTED}cannot "),
        ("bomb.npy", _npy((10**6, 10**6)), f"{_EXPECTED}mmap length is greater than"),
        ("huge.npy", _npy((10**12, 10**12, 10**12)), _EXPECTED),
        ("flat.npy", _npy((784,), bytes(784)), "must hold a condition of shape (28, 28, 1). Received: shape (784,)"),
        ("short.npy", _npy((28, 28, 1), bytes(700)), _EXPECTED),
        ("pickle.npy", _npy((28, 28, 1), bytes(784 * 8), "|O"), _EXPECTED),
        ("text.npy", _npy((28, 28, 1), bytes(784 * 4), "<U1"), "must hold values of uint8. Received: others, of <U1"),
        ("broken.npy", b"\x93NUMPY\x01\x00\x10\x00{{{{{{{{{{{{{{{{", _EXPECTED),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[-5:] else "",
)
def test_invalid_condition_files_are_refused(tmp_path, mnist_model, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{name} {message}")):
        read_condition(tmp_path / name, mnist_model)
