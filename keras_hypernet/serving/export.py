"""export: a model as a SavedModel in the folder layout of TensorFlow Serving."""

import os
import pathlib

import keras

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.files import NotWritableError, check_writable, remove_folder, replacing_folder
from keras_hypernet.models import ConditionalModel, as_hypernetwork
from keras_hypernet.models.by_hand import is_wired_by_hand
from keras_hypernet.models.graphs import is_graph
from keras_hypernet.serving.config import MODELS, read_models_config, version_folders, write_configs
from keras_hypernet.serving.signatures import signatures
from keras_hypernet.serving.warmup import write_warmup
from keras_hypernet.training.checkpoints import num_bytes
from keras_hypernet.zoo.store import read_entry


def export(
    model_or_name: keras.Model | str | os.PathLike[str],
    to: str | os.PathLike[str] = "saved_models",
    name: str | None = None,
    keep: int | None = None,
) -> pathlib.Path:
    """Writes `<to>/<name>/<version>/`, a SavedModel, with the next free integer as its version; returns the path.

    All signatures take any batch size, and any number of points unless a layer fixes it, and return float32:

    - `serving_default` takes `x` and `condition` (raw uint8 pixels for the image models; sets with any number of
      members for a `ConditionalNeuralProcess`), and returns `logits`, or `value` or `rgb` if the last layer has that
      name. Several inputs are called `x_<name>`, `condition_<name>`; several outputs have their names.
    - `generate_weights` takes the `condition` alone and returns the weights of g, under names like `hidden_kernel`.
      The embedding method has `embed` instead, which returns `embedding`.
    - `apply` takes `x` and these weights, of one condition for all of x or of one for each, and returns the outputs of
      `serving_default`.

    `assets.extra` holds the card of a zoo entry and TensorFlow Serving's warm-up requests; the folder `to` holds the
    configuration files of the server. The folder of the version appears complete or not at all.

    Args:
        model_or_name: A built model of this package; a functional model of hyper layers with an input named
            `condition`; a Sequential or functional model of x alone; or an argument of `load`.
        to: Folder of all exported models, the base of TensorFlow Serving's.
        name: Name to serve the model under; by default the name of the entry or model.
        keep: Number of older versions to keep; by default all.

    Raises:
        EntryError: If there is no entry of this name.
        TypeError: If it is not such a model.
        ValueError: If the model is not built, the name is not one plain folder name, `keep` is negative, or there is an
            unreadable `models.config`. Nothing is written then.
        FileExistsError: If another export has taken the version meanwhile.
        NotWritableError: If the folder takes no files, or has too little room.
        RuntimeError: If Keras's backend is not TensorFlow.

    Example:

    >>> import tempfile
    >>> path = export("rotation_mnist_hyper", tempfile.mkdtemp())
    >>> path.name, (path / "saved_model.pb").exists()
    ('1', True)
    """
    model, name, card = resolve(model_or_name, name)
    return write_version(model, name, card, to, keep)[0]


def write_version(model, name, card, to, keep=None, check=lambda folder: None):
    """Writes the model, name and card that `resolve` returns as the next version; other arguments as for `export`.

    Returns the path of the version's folder, and the result of `check`, which receives the complete folder under a
    temporary name. If `check` raises, nothing has changed.
    """
    if keep is not None and (not isinstance(keep, int) or keep < 0):
        raise ValueError(f"`keep` must be the number of older versions to keep, 0 or more. Received: {keep!r}")
    check_writable(to, num_bytes(model.weights))
    read_models_config(pathlib.Path(to) / MODELS)  # raises its errors before a version is live
    base = pathlib.Path(to) / name
    version = base / str(max(versions(base), default=0) + 1)
    with replacing_folder(version, overwrite=False) as temporary:
        write_saved_model(model, temporary, name)
        if card is not None:
            card.write(temporary / "assets.extra")
        checked = check(temporary)
    write_configs(to, name)
    if keep is not None:  # last, so that any earlier failure leaves the older versions
        for folder in list(versions(base).values())[: -keep - 1]:
            remove_folder(folder)  # atomically: no server sees a partial version
    return version, checked


def resolve(model_or_name, name=None):
    """Returns the model, the name to serve it under, and the card of an entry or None; arguments as for `export`."""
    require_tensorflow("An export")
    is_name = isinstance(model_or_name, (str, os.PathLike))
    model, card = read_entry(model_or_name) if is_name else (model_or_name, None)
    if not isinstance(model, (ConditionalModel, keras.Sequential)) and not is_graph(model):
        raise TypeError(f"Only models of x and condition are exported. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError(f"Model {model.name!r} has no weights yet: call it on its inputs before `export`.")
    model = as_hypernetwork(model) if is_wired_by_hand(model) else model
    name = name or (card.name if card else model.name)
    # A colon and a slash have a meaning in the server's URLs.
    if name in (".", "..") or pathlib.PurePath(name).name != name or ":" in name or not name.isprintable():
        raise ValueError(f"The name must be that of one folder, without control characters. Received: {name!r}")
    return model, name, card


def write_saved_model(model, folder, name=None):
    """Writes a SavedModel into an empty folder.

    With `name`, the name in a server, adds warm-up requests. Without `name`, writes `serving_default` alone, for the
    conversion to other formats.
    """
    import tensorflow as tf

    exported = signatures(model) if name else signatures(model)[:1]
    archive = keras.export.ExportArchive()
    # Resources beside variables, such as lookup tables. Tracking the model itself would store its variables twice.
    for part in tf.train.TrackableView(model).descendants():
        if isinstance(part, tf.saved_model.experimental.TrackableResource):
            archive.track(part)
    for signature in exported:
        archive.add_endpoint(signature.name, *traceable(signature))
    try:
        archive.write_out(folder, verbose=False)
        if name:
            write_warmup(exported, folder, name)
    except tf.errors.OpError as error:
        raise NotWritableError(f"The SavedModel cannot be written: {error.message}") from error


def traceable(signature):
    """A signature as a function of positional tensors, and their specifications."""
    import tensorflow as tf

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in signature.inputs]

    def function(first, *others):
        names = (tensor.name for tensor in signature.inputs)
        return signature.function(**dict(zip(names, (first, *others), strict=True)))

    return function, specs


def versions(base):
    """The versions of a model and their folders, ascending; none without a folder of the model."""
    return version_folders(base) if base.is_dir() else {}
