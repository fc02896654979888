"""Models, and g for one condition, as SavedModels, as files for LiteRT, ONNX and OpenVINO, or as weights.

Before a file is published, its runtime runs it on random inputs, and its outputs are compared with Keras's. A
safetensors file holds only weights, for other frameworks.
"""

import dataclasses
import functools
import importlib
import pathlib
import tempfile

import keras
import numpy as np

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import check_writable, replacing, replacing_folder
from keras_hypernet.models import ConditionalModel, Hypernetwork, specialize
from keras_hypernet.models.conditions import parts, symbolic
from keras_hypernet.models.shapes import fits
from keras_hypernet.serving.export import resolve, traceable, write_saved_model, write_version
from keras_hypernet.serving.run_saved_model import load
from keras_hypernet.serving.signatures import example, signatures
from keras_hypernet.training.checkpoints import num_bytes

_TOLERANCE = 1e-4  # relative to the largest output: rounding of float32 sums in another library
_INT8_TOLERANCE = 0.05  # for weights of eight bits
# The suffix of the file or, for OpenVINO, of the folder, after the model's name.
_ENDINGS = {"litert": ".tflite", "litert_int8": "_int8.tflite"}

# The formats that Pillow decodes without external programs.
_IMAGES = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported file or folder, its size, and the largest difference of outputs, relative to the largest output."""

    format: str
    path: pathlib.Path
    num_bytes: int
    difference: float


# LiteRT and OpenVINO convert the SavedModel, because the exporters of Keras 3.15 lose information. Keras's LiteRT
# exporter names inputs `inputs_1` and outputs `output_0`, and fails for models of uint8 images, to which it passes
# float32; its OpenVINO exporter names outputs after operations of the graph.
def _to_litert(model, name, path, int8=False):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        path.write_bytes(converter.convert())


def _to_onnx(model, name, path):
    import tensorflow as tf
    import tf2onnx

    function, specs = traceable(signatures(model)[0])
    graph, _ = tf2onnx.convert.from_function(tf.function(function, autograph=False), input_signature=specs, opset=17)
    graph.graph.name = name
    path.write_bytes(graph.SerializeToString())


def _to_openvino(model, name, folder):
    import openvino

    with tempfile.TemporaryDirectory() as saved_model:
        write_saved_model(model, saved_model)
        # `openvino.convert_model` would report its use to Intel, from dozens of processes that it forks.
        openvino.save_model(openvino.Core().read_model(saved_model), folder / "model.xml", compress_to_fp16=False)


def _to_safetensors(model, name, path):
    from safetensors.numpy import save_file

    save_file(named_weights(model), path, {"model": name})


def named_weights(model):
    """The variables of a model, a dict of arrays: `generator.<layer>.<variable>` and `primary.<layer>.<variable>`.

    The encoder of the embedding method is `embedding`. A model of x alone has `<layer>.<variable>`. The variables of a
    hyper layer are those of its basis, from which the weights are generated. Raises ValueError if two variables would
    have the same name.
    """
    encoder = getattr(model, "encoder", None)
    of_encoder = {id(variable) for variable in encoder.variables} if encoder else set()
    parts = "primary.", "generator." if isinstance(model, Hypernetwork) else "embedding."

    def name(variable):
        path = variable.path.removeprefix(f"{model.name}/")  # a loaded model does not have this prefix
        if encoder is None:
            return path.replace("/", ".")
        return parts[id(variable) in of_encoder] + path.removeprefix(f"{encoder.name}/").replace("/", ".")

    weights = {name(variable): np.array(variable) for variable in model.variables}
    if len(weights) < len(model.variables):
        raise ValueError(f"The variables of {model.name!r} need distinct names. Received: {sorted(weights)}")
    return weights


def _run_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return lambda inputs: runner(**inputs)


def _run_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def _run_openvino(folder):
    import openvino

    # By default, OpenVINO computes in bfloat16 on processors that support it.
    return openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


# Title, extra and modules of the runtime of a format, and its writer, which takes the path of a file, or of OpenVINO's
# folder.
_LITERT = "LiteRT", "lite", ["ai_edge_litert.interpreter"]
_RUNTIMES = {
    "litert": (*_LITERT, _to_litert),
    "litert_int8": (*_LITERT, functools.partial(_to_litert, int8=True)),
    "onnx": ("ONNX", "onnx", ["onnxruntime", "tf2onnx"], _to_onnx),
    "openvino": ("OpenVINO", "openvino", ["openvino"], _to_openvino),
    "safetensors": ("safetensors", "safetensors", ["safetensors.numpy"], _to_safetensors),
}
# Runners return the `serving_default` of a file as a function from a dict of arrays to a mapping of arrays by name.
RUNNERS = {
    "saved_model": load,
    "litert": _run_litert,
    "litert_int8": _run_litert,
    "onnx": _run_onnx,
    "openvino": _run_openvino,
}
FORMATS = (*RUNNERS, "safetensors")
DEFAULT_FORMATS = ("saved_model", "litert", "onnx")


def export_formats(model_or_name, to="saved_models", name=None, formats=DEFAULT_FORMATS, condition=None, keep=None):
    """Exports a model, or its g for one condition, in several formats; returns a list of `Exported`.

    Args:
        model_or_name, keep: As in `export`.
        to: Folder of all exported models. A SavedModel is written as by `export`. In this folder are `<name>.tflite`,
            `<name>_int8.tflite`, `<name>.onnx` and the folder `<name>.openvino`, with the signature `serving_default`
            alone, and `<name>.safetensors`, the weights: see `named_weights`.
        name: As for `export`; by default with `_specialized` at its end if there is a condition.
        formats: Some of `"saved_model"`, `"litert"` (or its earlier name, `"tflite"`), `"onnx"`, `"openvino"`,
            `"litert_int8"` and `"safetensors"`; by default the first three. `"litert_int8"` stores large weights as
            integers of eight bits (LiteRT's dynamic range quantization), and keeps inputs and outputs as they are.
        condition: One condition `[...]`, or a structure of its parts, without a batch, to bake in: the exported model
            is g, of x alone.

    Raises:
        ImportError: If the runtime of a format is not installed.
        RuntimeError: If the outputs of a file are not Keras's. Existing files are not changed.
        EntryError, TypeError, ValueError, NotWritableError: As `export`; ValueError too if the model has no condition,
            or of another shape.

    Example:

    >>> import numpy, tempfile
    >>> image = numpy.zeros((28, 28, 1), "uint8")
    >>> for file in export_formats("rotation_mnist_hyper", tempfile.mkdtemp(), formats=["onnx"], condition=image):
    ...     print(file.format, file.path.name, file.num_bytes < 40_000)
    onnx rotation_mnist_hyper_specialized.onnx True
    """
    formats = ["litert" if format == "tflite" else format for format in formats]
    if not formats or not set(formats) <= set(FORMATS):
        raise ValueError(f"`formats` must be some of {FORMATS}. Received: {list(formats)}")
    for title, extra, modules, _ in (_RUNTIMES[format] for format in formats if format in _RUNTIMES):
        with needs_extra(f"{title} files need", extra):
            for module in modules:
                importlib.import_module(module)
    model, served_as, card = resolve(model_or_name, name)
    if condition is not None:
        model, card = _specialized(model, condition), None  # the card is that of another model
        served_as = name or f"{served_as}_specialized"
    written, expected = [], functools.cache(functools.partial(_expected, model))
    for format in formats:
        if format == "saved_model":
            check = functools.partial(_difference, model, expected, format)
            path, difference = write_version(model, served_as, card, to, keep, check)
        else:
            check_writable(to, num_bytes(model.weights))
            path = pathlib.Path(to) / f"{served_as}{_ENDINGS.get(format, f'.{format}')}"
            with (replacing_folder if format == "openvino" else replacing)(path) as temporary:
                _RUNTIMES[format][-1](model, served_as, temporary)
                difference = _difference(model, expected, format, temporary)
        files = [file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
        written.append(Exported(format, path, sum(file.stat().st_size for file in files), difference))
    return written


def read_condition(path, model):
    """Reads one condition for a model, without the batch dimension.

    The path is that of a `.npy` file, or of a BMP, GIF, JPEG, PNG, PPM, TIFF or WebP image. Raises FileNotFoundError if
    the file does not exist, and ValueError if the file is not such an image or array, if it has another shape, or if
    the model's condition has several parts.
    """
    check_conditional(model)
    inputs = {tensor.name: tensor for tensor in signatures(model)[0].inputs}
    if "condition" not in inputs:
        names = ", ".join(sorted(set(inputs) - {"x"}))
        raise ValueError(
            f"A condition of {model.name!r} has several parts, {names}: pass it to `export_formats` in Python."
        )
    path, shape, dtype = pathlib.Path(path), inputs["condition"].shape[1:], inputs["condition"].dtype
    if not path.is_file():
        raise FileNotFoundError(f"The condition must be an image or a .npy file, and there is no file {path}.")
    try:
        array = np.lib.format.open_memmap(path, mode="r") if path.suffix == ".npy" else _read_image(path, shape)
    except Exception as error:  # any failure of a damaged file
        raise ValueError(f"{path} must be an image, or a .npy file of an array. Received: {error}") from error
    if not fits(array.shape, shape):
        raise ValueError(f"{path} must hold a condition of shape {shape}. Received: shape {array.shape}")
    kinds = "u" if dtype == "uint8" else "biuf" if "float" in dtype else "biu"
    if array.dtype.kind not in kinds or ("float" not in dtype and (array != array.astype(dtype)).any()):
        raise ValueError(f"{path} must hold values of {dtype}. Received: others, of {array.dtype}")
    return array.astype(dtype)


def check_conditional(model):
    """Raises ValueError unless a model takes a condition."""
    if not isinstance(model, ConditionalModel):
        raise ValueError(f"{model.name!r} is a network of x alone: there is no condition to bake in.")


def _read_image(path, shape):
    from PIL import Image

    with Image.open(path, formats=_IMAGES) as image:
        return np.atleast_3d(image.convert("L" if shape[-1:] == (1,) else "RGB"))


def _specialized(model, condition):
    check_conditional(model)
    structure = symbolic(model.condition_shape)
    if isinstance(structure, keras.KerasTensor):
        condition = np.asarray(condition)
    condition = keras.tree.map_structure(lambda part: np.asarray(part)[None], condition)
    received, expected = parts(condition), parts(structure)
    if set(received) == set(expected):
        for name, part in expected.items():
            shape, wanted = received[name].shape[1:], part.shape[1:]
            if not fits(shape, wanted):
                raise ValueError(f"The {name} must be of shape {wanted}, without a batch. Received: shape {shape}")
    return specialize(model, condition)


def _expected(model):
    """Returns random inputs and Keras's outputs."""
    signature = signatures(model)[0]
    inputs = example(signature, rows=4, rng=np.random.default_rng(0))
    return inputs, {name: np.asarray(values) for name, values in signature.function(**inputs).items()}


def _difference(model, expected, format, path):
    """Returns the difference of a file's outputs from the `expected` ones, relative to the largest output."""
    if format not in RUNNERS:  # weights alone
        from safetensors.numpy import load_file

        read, weights = load_file(path), named_weights(model)
        if read.keys() != weights.keys() or any(read[name].tobytes() != weights[name].tobytes() for name in weights):
            raise RuntimeError(f"The export of {model.name!r} does not hold its weights.")
        return 0.0
    tolerance = _INT8_TOLERANCE if format == "litert_int8" else _TOLERANCE
    (inputs, outputs), differences = expected(), []
    received = RUNNERS[format](path)(inputs)
    for output, values in outputs.items():
        difference = float(np.abs(received[output] - values).max() / max(np.abs(values).max(), 1e-6))
        if received[output].shape != values.shape or not difference <= tolerance:
            raise RuntimeError(
                f"The export of {model.name!r} does not give Keras's outputs: they differ by {difference:.2g} of "
                f"the largest, and may by {tolerance}."
            )
        differences.append(difference)
    return max(differences)
