"""export: a model as a SavedModel in the folder layout that TensorFlow Serving watches."""

import os
import pathlib

import keras

from keras_hypernet.card import Card
from keras_hypernet.files import replacing_folder
from keras_hypernet.layers import StandardizeImage
from keras_hypernet.models import ConditionalModel
from keras_hypernet.zoo import find_entry, load

# What a last layer may be called, for its output to be served under its name; others are served as the first.
OUTPUTS = ("logits", "value", "rgb")


def export(model_or_name, to="saved_models", name=None):
    """Writes `<to>/<name>/<version>/`, a SavedModel, with the next free integer as its version.

    Its signature `serving_default` takes `x` and `condition`, of any batch size (raw uint8 pixels for
    the image models; sets of any number of members, all of which count, for a `ConditionalNeuralProcess`),
    and returns `logits`, or `value` or `rgb` if that is the name of the last layer. The folder appears complete or
    not at all.

    Args:
        model_or_name: A built model of this package or a `keras.Sequential` of x alone, or what `load` takes.
        to: Folder of all exported models, the base of TensorFlow Serving's.
        name: Name to serve the model under; by default the entry's or the model's name.

    Returns:
        The `pathlib.Path` of the version's folder.

    Raises:
        EntryError: If there is no entry of this name.
        TypeError: If it is not such a model.
        ValueError: If the model has not been built, or the name is not one plain folder name.
        FileExistsError: If another export took this version while this one was written.

    Example:

    >>> import tempfile
    >>> path = export("rotation_mnist_hyper", tempfile.mkdtemp())
    >>> path.name, (path / "saved_model.pb").exists()
    ('1', True)
    """
    if isinstance(model_or_name, (str, os.PathLike)):
        model, default_name = load(model_or_name), Card.read(find_entry(model_or_name)).name
    else:
        model, default_name = model_or_name, getattr(model_or_name, "name", None)
    if not isinstance(model, (ConditionalModel, keras.Sequential)):
        raise TypeError(f"Only models of x and condition are exported. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError(f"Model {model.name!r} has no weights yet: call it on its inputs before `export`.")
    name = name or default_name
    if name in (".", "..") or pathlib.PurePath(name).name != name:
        raise ValueError(f"The name must be that of one folder. Received: {name!r}")
    base = pathlib.Path(to) / name
    version = base / str(_next_version(base))
    with replacing_folder(version, overwrite=False) as temporary:
        _write(model, temporary)
    return version


def _write(model, folder):
    import tensorflow as tf

    def spec(argument, shape, reads_pixels):
        return tf.TensorSpec((None, *shape), "uint8" if reads_pixels else "float32", name=argument)

    if isinstance(model, keras.Sequential):
        (declared,), last = model.inputs, model.layers[-1].name
        signature = [spec("x", declared.shape[1:], declared.dtype == "uint8")]
    else:
        encoder_input, last = getattr(model.encoder, "inputs", None), model.primary[-1].name
        signature = [
            spec("x", model.x_shape[1:], isinstance(model.primary[0], StandardizeImage)),
            spec("condition", model.condition_shape[1:], bool(encoder_input) and encoder_input[0].dtype == "uint8"),
        ]
    output = last if last in OUTPUTS else OUTPUTS[0]

    def serve(x, condition=None):
        inputs = x if condition is None else {"x": x, "condition": condition}
        return {output: keras.ops.cast(model(inputs), "float32")}

    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    archive.write_out(folder, verbose=False)


def _next_version(base):
    taken = [int(path.name) for path in base.glob("*") if path.name.isdecimal()]
    return max(taken, default=0) + 1
