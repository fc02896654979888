"""read_condition: one condition for a model, from a file."""

import pathlib

import numpy as np

from keras_hypernet.models import ConditionalModel
from keras_hypernet.models.shapes import fits
from keras_hypernet.serving.signatures import signatures

# The formats that Pillow decodes without external programs.
_IMAGES = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


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
