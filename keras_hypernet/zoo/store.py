"""The pretrained models: finding, checking, loading and saving entries.

An entry is a folder with `card.json` and `model.keras`. A process reads the model once into a private copy, checks the
checksum against the card and the unpacked size, and loads the copy in Keras's safe mode.
"""

import concurrent.futures
import io
import json
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from typing import Any

import keras

from keras_hypernet.common.backends import require_tensorflow
from keras_hypernet.common.files import check_writable, heal, replacing_folder, sha256
from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.data import arrays
from keras_hypernet.models import ConditionalModel
from keras_hypernet.tasks import Task, get_task
from keras_hypernet.training.checkpoints import build_optimizer, num_bytes, read_training
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo import hub
from keras_hypernet.zoo.card import Card, EntryError
from keras_hypernet.zoo.descriptions import describe_model

_MODEL = "model.keras"
# Keras does not compress weights, so a file that unpacks to many times its size is not from Keras.
_EXPANSION, _LEAST = 10, 2**24


def load(name_or_path: str | os.PathLike[str]) -> Any:
    """Loads a pretrained model, compiled, ready to evaluate, fine-tune, specialize or export.

    The model is a `Hypernetwork`, an `EmbeddingMethod` or a `ConditionalNeuralProcess`; of an experiment without a
    condition, a plain Keras model.

    Args:
        name_or_path: Name of an entry, path to its folder with at least one separator, such as `"./mine"`, or address
            on the Hugging Face Hub, `"hf://user/repo"` or `"hf://user/repo@revision"` (extra `hub`).

    Raises:
        EntryError: If there is no such entry, if its card is missing or not valid, or if its weights are missing or do
            not match the card.
        ImportError: If an address is given, and the extra `hub` is not installed.

    Example:

    >>> model = load("rotation_mnist_hyper")
    >>> model.num_parameters()
    {'generator': 450310, 'primary': 7960}
    """
    return read_entry(name_or_path)[0]


def read_entry(name_or_path):
    """Returns the model of an entry and its `Card`; arguments and errors are those of `load`."""
    folder = find_entry(name_or_path)
    card, path = Card.read(folder), folder / _MODEL
    if not path.is_file():
        raise EntryError(f"{folder} has a card but no {_MODEL}.")
    with tempfile.TemporaryDirectory() as own:
        # Another process may replace the file between the check and the loading.
        copy = pathlib.Path(shutil.copy(path, own))
        received = sha256(copy)
        if received != card.sha256:
            raise EntryError(
                f"{path} is damaged or not the model of its card: its sha256 is {received}, the card's {card.sha256}. "
                "Get the entry again from its source."
            )
        try:
            _check_sizes(copy)
            return keras.saving.load_model(copy, safe_mode=True), card
        except Exception as error:  # any failure of an untrusted file
            raise EntryError(f"{path} cannot be loaded: {error or type(error).__name__}") from error


def list_entries() -> list[Card]:
    """Returns the cards of the entries that come with this package, ordered by name.

    Example:

    >>> [card.name for card in list_entries() if card.task == {"name": "rotation", "data": "mnist"}][:2]
    ['rotation_mnist_embed', 'rotation_mnist_hyper']
    """
    return [Card.read(path.parent) for path in sorted(zoo_folder().glob("[!.]*/card.json"))]


def find_entry(name_or_path):
    """Returns the folder of an entry, whose card `Card.read` checks; arguments and errors are those of `load`."""
    if isinstance(name_or_path, str) and name_or_path.startswith(hub.PREFIX):
        return hub.fetch(name_or_path)
    text = os.fspath(name_or_path)
    if ".." in pathlib.PurePath(text).parts:
        raise EntryError(f"The path of an entry must not contain '..'. Received: {text!r}")
    if not (isinstance(name_or_path, os.PathLike) or os.sep in text or "/" in text):
        names = sorted(path.parent.name for path in zoo_folder().glob("[!.]*/card.json"))
        if text not in names:
            advice = suggestion(text, names, "`keras-hypernet list` shows all.")
            raise EntryError(f"There is no entry {text!r}; {advice} (For a folder of your own: './{text}')")
        return zoo_folder() / text
    folder = pathlib.Path(text)
    if not folder.is_dir():
        heal(folder.parent)
    if not folder.is_dir():
        raise EntryError(f"There is no folder {text!r}.")
    return folder


def zoo_folder():
    """Returns the folder that holds the entries, one folder each."""
    package = pathlib.Path(__file__).parents[1]
    installed = package / "_zoo"
    # In an editable installation, the zoo is at the top of the source tree.
    return installed if installed.is_dir() else package.parent / "zoo"


def save_entry(
    model: keras.Model,
    folder: str | os.PathLike[str],
    *,
    task: Task | dict[str, Any] | None = None,
    recipe: Recipe | dict[str, Any] | None = None,
    **facts: Any,
) -> Card:
    """Saves a model atomically as a zoo entry, a folder with `model.keras` and its card; returns the `Card`.

    If `task` is a `Task`, the fields of the card are filled from the task, the model, and an evaluation on the
    validation and test splits. `command` must be given, and `seed` if there is no recipe.

    Args:
        model: A built and compiled model of x, or of x and a condition, whose inputs have these names.
        folder: Path of the entry's folder. An existing entry is replaced; any other folder is an error.
        task: The `Task` that the model has learned; or the card's field as a dict, if all fields are given.
        recipe: The `Recipe` of the training, or the card's field as a dict; None if there was no recipe.
        **facts: Fields of a `Card`, which replace those that are filled. The model determines `num_parameters` and
            `sha256`.

    Raises:
        EntryError: If the facts do not form a valid card, or `folder` exists and is not an entry.
        TypeError: If a field of the card is missing or unknown.
        NotWritableError: If the folder is not writable, or its disk has too little space.
        RuntimeError: If Keras's backend is not TensorFlow. After any of these errors nothing is written.

    Example:

    >>> import tempfile
    >>> task, recipe = keras_hypernet.RotationTask("digits"), keras_hypernet.Recipe(width=4, epochs=1)
    >>> model = keras_hypernet.build_model(task, "hyper", recipe)
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "mine"
    >>> card = save_entry(model, folder, task=task, recipe=recipe, command="python train.py")
    >>> verify_entry(folder).name, card.seed
    ('mine', 0)
    """
    require_tensorflow("`save_entry`")
    folder = pathlib.Path(folder)
    if folder.exists() and not (folder / "card.json").is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise EntryError(f"{folder} exists and is not an entry, so it is not replaced. Choose another folder.")
    facts = {"name": folder.name, **facts}
    if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", str(facts["name"])):
        raise EntryError(
            f"The card is not valid at name: it must be lower-case words such as my_entry. Received: {facts['name']!r}"
        )
    if isinstance(task, Task):
        facts = {**({"seed": recipe.seed} if recipe else {}), **facts}  # type: ignore[union-attr]  # of a Task
        if lacking := ", ".join(sorted({"command", "seed"} - set(facts))):
            raise TypeError(f"The card also needs {lacking}: pass each by its name, command='python train.py'.")
        facts = {**describe_model(model, facts["name"], task, recipe, facts["seed"]), **facts}
    else:
        facts |= {name: value for name, value in (("task", task), ("recipe", recipe)) if value is not None}
    if model.optimizer is not None:
        build_optimizer(model)  # Keras warns when it loads the state of an optimizer that was never built
    check_writable(folder, num_bytes(model.weights))
    with replacing_folder(folder) as temporary:
        model.save(temporary / _MODEL)
        _drop_unset_options(temporary / _MODEL)
        card = Card(**facts, num_parameters=num_parameters(model), sha256=sha256(temporary / _MODEL))
        card.write(temporary)
    return card


def save_training(directory, folder=None, data_note=None, **facts):
    """Makes an entry from the folder of `fit(directory=...)`; other arguments and errors are those of `save_entry`.

    Args:
        directory: Folder of the training. The class of your own task must be registered first.
        folder: Path of the entry's folder; by default `entry` in the directory.
        data_note: The card's note on an unusual copy of the data set.
        **facts: Fields of the card.
    """
    directory = pathlib.Path(directory)
    state, model = read_training(directory)
    for path in directory.glob("*.npz"):
        if re.fullmatch("[0-9a-f]{64}", path.stem):
            arrays.read(path)
    # An unfinished training is the training of a recipe with fewer epochs.
    recipe = Recipe(**{**state["recipe"], "epochs": len(state["history"])})
    task, known = get_task(**state["task"]), {name: state[name] for name in ("versions", "date")}
    known["name"] = directory.resolve().name
    if "validation" in state.get("splits", ()):
        known["selection"] = "one training, on the validation split too: its result is on training examples"
    if data_note:
        known["data"] = {**task.data_facts(), "note": data_note, "test_sha256": task.fingerprint()}
    return save_entry(model, folder or directory / "entry", task=task, recipe=recipe, **{**known, **facts})


def verify_entry(name_or_path: str | os.PathLike[str]) -> Card:
    """Checks an entry against its card: schema, checksum, loading, numbers of parameters. Returns the `Card`.

    Raises the errors of `load`, and EntryError if the numbers of parameters are not those of the card.

    Example:

    >>> verify_entry("rotation_mnist_hyper").task
    {'name': 'rotation', 'data': 'mnist'}
    """
    model, card = read_entry(name_or_path)
    counted = num_parameters(model)
    if counted != card.num_parameters:
        raise EntryError(f"{name_or_path} has {counted} parameters; its card says {card.num_parameters}.")
    return card


def push(name_or_path: str | os.PathLike[str], address: str, private: bool | None = None) -> str:
    """Checks an entry, and uploads it to the Hugging Face Hub with a README.md made from its card; returns a URL.

    Log in first: `hf auth login`, or the environment variable `HF_TOKEN`.

    Args:
        name_or_path: Name of an entry, or path to its folder.
        address: `"hf://user/repo"`, which is created if it does not exist; or `"hf://user/repo@branch"`.
        private: Whether a new repository is private; None for the default of its owner.

    Raises:
        EntryError: If the entry or the address is not valid, or the Hub does not accept the files.
        ImportError: If the extra `hub` is not installed.
    """
    verify_entry(name_or_path)
    return hub.upload(find_entry(name_or_path), address, private)


def num_parameters(model):
    """Returns the number of parameters of each part of a model, as on its card."""
    return model.num_parameters() if isinstance(model, ConditionalModel) else {"network": model.count_params()}


def _check_sizes(file):
    """Raises ValueError if a `.keras` file unpacks to too many bytes for its size, or its model is too large."""
    import h5py

    most = max(_EXPANSION * file.stat().st_size, _LEAST)

    def check(what, size):
        if size > most:
            raise ValueError(f"it must not unpack to more than {most:,} bytes. Received: {what} of {size:,} bytes")

    with zipfile.ZipFile(file) as archive:
        check("contents", sum(info.file_size for info in archive.infolist()))
        config, weights = json.loads(archive.read("config.json")), io.BytesIO(archive.read("model.weights.h5"))
    datasets = []
    with h5py.File(weights, "r") as stored:
        stored.visititems(lambda _, item: datasets.append(item.nbytes) if isinstance(item, h5py.Dataset) else None)
    check("weights", sum(datasets))
    # In a thread that ends, because Keras keeps weights without values in a list of the thread, to initialize them
    # later.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        check("a model", thread.submit(_model_bytes, config).result())


def _model_bytes(config):
    with keras.StatelessScope(initialize_variables=False):  # weights have shapes, but no values
        model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
    return num_bytes(model.weights)


def _drop_unset_options(path):
    """Removes `quantization_config` if it is None, because Keras 3.11 cannot load this option."""

    def set_options(options):
        return {name: value for name, value in options.items() if name != "quantization_config" or value is not None}

    with zipfile.ZipFile(path) as archive:
        contents = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in contents.items():
            if info.filename == "config.json":
                content = json.dumps(json.loads(content, object_hook=set_options)).encode()
            archive.writestr(info, content)
