"""Models, and g alone under one condition, as files for small runtimes: LiteRT and ONNX.

Before a file appears, its runtime runs it on random inputs, and must give Keras's outputs.
"""

import dataclasses
import pathlib

import keras
import numpy as np

from keras_hypernet.common.files import check_writable, replacing
from keras_hypernet.models import specialize
from keras_hypernet.models.conditions import parts, symbolic
from keras_hypernet.models.shapes import fits
from keras_hypernet.serving.conditions import check_conditional
from keras_hypernet.serving.export import resolve, write_version
from keras_hypernet.serving.runtimes import RUNNERS, WRITERS, import_runtimes
from keras_hypernet.serving.signatures import example, signatures
from keras_hypernet.training.checkpoints import num_bytes

FORMATS = tuple(RUNNERS)
_TOLERANCE = 1e-4  # relative to the largest output: rounding of float32 sums in another library
_EXAMPLES, _FREE = 4, 3


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported file or folder.

    Attributes:
        format: One of `FORMATS`.
        path: Its `pathlib.Path`.
        num_bytes: Its size.
        difference: Largest difference of its outputs from Keras's, relative to the largest output.
    """

    format: str
    path: pathlib.Path
    num_bytes: int
    difference: float


def export_formats(model_or_name, to="saved_models", name=None, formats=FORMATS, condition=None, keep=None):
    """Exports a model, or its g under one condition, in several formats.

    Args:
        model_or_name, keep: As for `export`.
        to: Folder of all exported models. A SavedModel is written as by `export`; the files are `<name>.tflite` and
            `<name>.onnx` in this folder, with the signature `serving_default` alone.
        name: As for `export`; by default with `_specialized` at its end if there is a condition.
        formats: Some of `"saved_model"`, `"tflite"` and `"onnx"`.
        condition: One condition `[...]`, or a structure of its parts, without a batch, to bake in: the exported model
            is g, of x alone.

    Returns:
        A list of `Exported`.

    Raises:
        ImportError: If the runtime of a format is not installed.
        RuntimeError: If a file does not give Keras's outputs. Existing files stay as they were.
        EntryError, TypeError, ValueError, NotWritableError: As `export`; ValueError too if the model has no condition,
            or of another shape.

    Example:

    >>> import numpy, tempfile
    >>> image = numpy.zeros((28, 28, 1), "uint8")
    >>> for file in export_formats("rotation_mnist_hyper", tempfile.mkdtemp(), formats=["onnx"], condition=image):
    ...     print(file.format, file.path.name, file.num_bytes < 40_000)
    onnx rotation_mnist_hyper_specialized.onnx True
    """
    unknown = [format for format in formats if format not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"`formats` must be some of {FORMATS}. Received: {list(formats)}")
    import_runtimes(formats)
    model, served_as, card = resolve(model_or_name, name)
    if condition is not None:
        model = _specialized(model, condition)
        served_as = name or f"{served_as}_specialized"
        card = None  # that of another model
    written = []
    for format in formats:
        if format == "saved_model":
            path, difference = write_version(
                model, served_as, card, to, keep, lambda folder: _difference(model, RUNNERS["saved_model"](folder))
            )
        else:
            check_writable(to, num_bytes(model.weights))
            path = pathlib.Path(to) / f"{served_as}.{format}"
            with replacing(path) as temporary:
                temporary.write_bytes(WRITERS[format](model, served_as))
                difference = _difference(model, RUNNERS[format](temporary))
        files = [file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
        written.append(Exported(format, path, sum(file.stat().st_size for file in files), difference))
    return written


def _specialized(model, condition):
    check_conditional(model)
    structure = symbolic(model.condition_shape)
    if isinstance(structure, keras.KerasTensor):
        condition = np.asarray(condition)
    condition = keras.tree.map_structure(lambda part: np.asarray(part)[None], condition)
    received, expected = parts(condition), parts(structure)
    if set(received) == set(expected):
        for name, part in expected.items():
            if not fits(received[name].shape[1:], part.shape[1:]):
                raise ValueError(
                    f"The {name} must be of shape {part.shape[1:]}, without a batch. "
                    f"Received: shape {received[name].shape[1:]}"
                )
    return specialize(model, condition)


def _difference(model, run):
    """Returns the difference of outputs of `run` from Keras's on random inputs, relative to the largest output."""
    signature = signatures(model)[0]
    rng, inputs, taken = np.random.default_rng(0), {}, example(signature)
    for tensor in signature.inputs:
        sizes = zip(tensor.shape[1:], taken[tensor.name].shape[1:] if taken else tensor.shape[1:], strict=True)
        shape = (_EXAMPLES, *(size or max(least or 0, _FREE) for size, least in sizes))
        if tensor.values or tensor.dtype == "string":
            values = rng.choice(np.array(tensor.values or [""]), shape)
        elif "float" in tensor.dtype:
            values = rng.normal(size=shape)
        else:  # pixels, or ids of the smallest vocabulary
            values = rng.integers(0, 256 if tensor.dtype == "uint8" else 2, shape)
        inputs[tensor.name] = values.astype(object if tensor.dtype == "string" else tensor.dtype)
    ((output, expected),) = signature.function(**inputs).items()
    expected, received = np.asarray(expected), run(inputs)[output]
    difference = float(np.abs(received - expected).max() / max(np.abs(expected).max(), 1e-6))
    if received.shape != expected.shape or not difference <= _TOLERANCE:
        raise RuntimeError(
            f"What was exported of {model.name!r} does not give Keras's outputs: they differ by {difference:.2g} of "
            f"the largest, and may by {_TOLERANCE}."
        )
    return difference
