"""read_condition: one condition for a model, from an untrusted file."""

import pathlib
import warnings

import numpy as np

from keras_hypernet.models import ConditionalModel
from keras_hypernet.models.shapes import fits
from keras_hypernet.serving.signatures import signatures

# The formats that Pillow decodes itself; for others it starts programs.
_IMAGES = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def read_condition(path, model):
    """Reads one condition for a model, without a batch, and checks its shape before its values.

    The path is that of a `.npy` file, or of a BMP, GIF, JPEG, PNG, PPM, TIFF or WebP image. Raises FileNotFoundError if
    there is no such file, and ValueError if the file is not such an image or array, or of another shape, or the model
    takes several parts.
    """
    check_conditional(model)
    inputs = {tensor.name: tensor for tensor in signatures(model)[0].inputs}
    if "condition" not in inputs:
        names = ", ".join(sorted(set(inputs) - {"x"}))
        raise ValueError(
            f"A condition of {model.name!r} has several parts, {names}: give it to `export_formats` in Python."
        )
    path, shape, dtype = pathlib.Path(path), inputs["condition"].shape[1:], inputs["condition"].dtype
    if not path.is_file():
        raise FileNotFoundError(f"The condition must be an image or a .npy file, and there is no file {path}.")
    if path.suffix == ".npy":
        array = _read_array(path, shape)
    elif len(shape) == 3 and shape[-1] in (1, 3):
        array = _read_image(path, shape)
    else:
        raise ValueError(f"The conditions of {model.name!r} are of shape {shape}: give a .npy. Received: {path}")
    if dtype == "uint8" and array.dtype != "uint8":
        raise ValueError(f"{path} must hold pixels of 0 to 255, uint8. Received: {array.dtype}")
    exact = "float" not in dtype
    if array.dtype.kind not in ("biu" if exact else "biuf") or (exact and (array != array.astype(dtype)).any()):
        raise ValueError(f"{path} must hold values of {dtype}. Received: others, of {array.dtype}")
    return array.astype(dtype)


def check_conditional(model):
    """Raises ValueError unless a model takes a condition."""
    if not isinstance(model, ConditionalModel):
        raise ValueError(f"{model.name!r} is a network of x alone: there is no condition to bake in.")


def _read_array(path, shape):
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:
        raise ValueError(f"{path} must be a .npy file of an array. Received: {error}") from error
    _check_shape(path, array.shape, shape)
    return array


def _read_image(path, shape):
    from PIL import Image

    array = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_IMAGES) as image:
                received = (*image.size[::-1], shape[-1])
                if fits(received, shape):
                    array = np.asarray(image.convert("L" if shape[-1] == 1 else "RGB")).reshape(received)
    except Exception as error:
        raise ValueError(f"{path} must be an image. Received: {error}") from error
    _check_shape(path, received, shape)
    return array


def _check_shape(path, received, expected):
    if not fits(received, expected):
        raise ValueError(f"{path} must hold a condition of shape {expected}. Received: shape {received}")
