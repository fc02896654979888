"""Loading entries: names, paths, and entries that are damaged, untrusted or do not match their card."""

import hashlib
import io
import json
import shutil
import zipfile

import h5py
import jsonschema
import keras
import numpy as np
import pytest

import keras_hypernet as kh
from keras_hypernet.training.checkpoints import _STATE
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.tuning.journal import _CONFIG, _EVENT
from keras_hypernet.zoo import store as zoo
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.card import _schema


def test_a_folder_is_loaded_like_a_name(entry, monkeypatch):
    weights = kh.load(entry).get_weights()
    monkeypatch.chdir(entry.parent)
    for path in ("./mine", "mine/"):
        np.testing.assert_array_equal(kh.load(path).get_weights()[0], weights[0])


def test_unknown_name_offers_the_closest():
    with pytest.raises(kh.EntryError, match="There is no entry 'rotation_mnist_hyer'; did you mean rotation_mnist_hyp"):
        kh.load("rotation_mnist_hyer")
    with pytest.raises(kh.EntryError, match="There is no entry 'resnet50'; `keras-hypernet list` shows all"):
        kh.load("resnet50")
    with pytest.raises(kh.EntryError, match="There is no folder './nothing'"):
        kh.load("./nothing")


@pytest.mark.parametrize("path", ["../rotation_mnist_hyper", "..", "zoo/../../elsewhere", "./a/../b"])
def test_a_path_with_two_dots_is_refused(path):
    with pytest.raises(kh.EntryError, match="must not contain '..'. Received"):
        kh.load(path)


def test_a_folder_without_a_card_is_refused(entry):
    (entry / "card.json").unlink()
    with pytest.raises(kh.EntryError, match="mine is not a zoo entry: it has no card.json"):
        kh.load(entry)


def test_a_card_without_weights_is_refused(entry):
    (entry / "model.keras").unlink()
    with pytest.raises(kh.EntryError, match="has a card but no model.keras"):
        kh.load(entry)


def test_a_checksum_that_does_not_match_is_refused(entry):
    card = json.loads((entry / "card.json").read_text())
    (entry / "card.json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    with pytest.raises(kh.EntryError, match="damaged or not the model of its card: its sha256 is .* the card's 0000"):
        kh.load(entry)


def test_a_truncated_model_is_refused(entry):
    content = (entry / "model.keras").read_bytes()
    (entry / "model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(kh.EntryError, match="is damaged or not the model of its card"):
        kh.load(entry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "three"}, "not valid at seed: 'three' is not of type 'integer'"),
        ({"sha256": "123"}, "not valid at sha256"),
        ({"metrics": {"test": {"error": 2}}}, "not valid at metrics"),
        pytest.param({"name": "mine\n"}, "not valid at name", marks=pytest.mark.regression),
        pytest.param({"date": "2026-01-01\n"}, "not valid at date", marks=pytest.mark.regression),
        ({"stars": 5}, "got an unexpected keyword argument 'stars'"),
    ],
)
def test_a_card_that_breaks_the_schema_is_refused(entry, change, message):
    card = json.loads((entry / "card.json").read_text())
    (entry / "card.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(kh.EntryError, match=message):
        kh.load(entry)


@pytest.mark.parametrize("schema", [_schema(), _STATE, _CONFIG, _EVENT], ids=["card", "training", "search", "journal"])
def test_schemas_are_valid(schema):
    """The schemas themselves are not checked when files are read."""
    jsonschema.validators.validator_for(schema).check_schema(schema)
    assert schema["type"] == "object"


def test_a_card_that_is_not_json_or_incomplete_is_refused(entry):
    (entry / "card.json").write_text("{")
    with pytest.raises(kh.EntryError, match="is not a card"):
        kh.load(entry)
    (entry / "card.json").write_text('{"name": "mine"}')
    with pytest.raises(kh.EntryError, match="missing 18 required positional arguments: 'description'"):
        kh.load(entry)


def test_parameter_counts_are_verified(entry):
    card = json.loads((entry / "card.json").read_text())
    card["num_parameters"]["primary"] += 1
    (entry / "card.json").write_text(json.dumps(card))
    with pytest.raises(kh.EntryError, match=r"has .*'primary': 7960.* parameters; its card says .*7961"):
        kh.verify_entry(entry)


@pytest.mark.regression
def test_a_card_that_is_nested_deeply_is_refused(entry):
    (entry / "card.json").write_text('{"name": ' + "[" * 100_000)
    with pytest.raises(kh.EntryError, match="is not a card: it is nested too deeply"):
        kh.load(entry)


@pytest.mark.regression
@pytest.mark.parametrize(
    "holds",
    [
        lambda x, code: keras.layers.Lambda(code)(x),
        lambda x, code: keras.ops.cond(keras.ops.sum(x) > 0, code, code),
    ],
    ids=["Lambda", "Cond"],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_code_in_a_model_file_is_not_run(entry, tmp_path, holds):
    """Safe mode does not load the bytecode of layers and operations that take a function, whatever the card says."""
    mark, x = tmp_path / "run", keras.Input((2,))
    path = str(mark)
    code = lambda *x: (open(path, "w").close(), x[0] if x else __import__("keras").ops.ones(()))[1]  # noqa: E731, PTH123
    keras.Model(x, holds(x, code)).save(entry / "model.keras")
    mark.unlink()  # building the model has run the code
    _with_checksum(entry)
    with pytest.raises(kh.EntryError, match="cannot be loaded: .*[Ll]ambda"):
        kh.load(entry)
    assert not mark.exists()
    keras.saving.load_model(entry / "model.keras", safe_mode=False)(np.zeros((1, 2)))
    assert mark.exists()  # the file does hold the code


def _with_checksum(entry):
    """Makes the card of an entry that of its model."""
    card = json.loads((entry / "card.json").read_text())
    card["sha256"] = hashlib.sha256((entry / "model.keras").read_bytes()).hexdigest()
    (entry / "card.json").write_text(json.dumps(card))


@pytest.mark.regression
def test_a_file_replaced_after_the_check_is_not_loaded(entry, monkeypatch):
    """The file is replaced at once when its checksum is known, as by another process."""
    expected = kh.load(entry).get_weights()
    other = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))

    def replaced(path):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        other.save(entry / "model.keras")
        return digest

    monkeypatch.setattr(zoo, "sha256", replaced)
    for loaded, weight in zip(kh.load(entry).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(loaded, weight)
    monkeypatch.undo()
    with pytest.raises(kh.EntryError, match="is damaged or not the model of its card"):
        kh.load(entry)


def _rewritten(path, name, change):
    """Writes a `.keras` file again, with other content of one of its members."""
    with zipfile.ZipFile(path) as archive:
        contents = {one: archive.read(one) for one in archive.namelist()}
    contents[name] = change(contents.get(name, b""))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, content in contents.items():
            archive.writestr(one, content)


def _zeros_without_bytes(_):
    """Weights of 8 GB that were never written, and are in no file."""
    file = io.BytesIO()
    with h5py.File(file, "w") as stored:
        stored.create_dataset("layers/dense/vars/0", (2**31,), "float32", chunks=(2**20,))
    return file.getvalue()


@pytest.mark.regression
@pytest.mark.parametrize(
    ("name", "change", "received"),
    [
        ("assets/zeros", lambda _: bytes(10**8), "contents of 1[0-9]{2},[0-9,]{7} bytes"),
        ("model.weights.h5", _zeros_without_bytes, "weights of 8,589,934,592 bytes"),
        # 3 weights and a bias for each unit, of 4 bytes each.
        ("config.json", lambda text: text.replace(b"1234", b"3000000000"), "a model of 48,000,000,000 bytes"),
    ],
)
def test_an_entry_that_unpacks_to_more_than_its_size_allows_is_refused(name, change, received, entry):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1234)]).save(entry / "model.keras")
    _rewritten(entry / "model.keras", name, change)
    _with_checksum(entry)
    message = (
        f"mine/model.keras cannot be loaded: it must not unpack to more than 16,777,216 bytes. Received: {received}"
    )
    with pytest.raises(kh.EntryError, match=message):
        kh.load(entry)
    with keras.StatelessScope():
        pass  # at its end Keras gives values to the weights that have none: there are none of the refused model


@pytest.mark.regression
def test_files_not_saved_by_keras_are_refused(entry):
    for content in (b"", b"PK", (entry / "model.keras").read_bytes()[:-100]):
        (entry / "model.keras").write_bytes(content)
        _with_checksum(entry)
        with pytest.raises(kh.EntryError, match="mine/model.keras cannot be loaded: File is not a zip file"):
            kh.load(entry)
    with zipfile.ZipFile(entry / "model.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    _with_checksum(entry)
    with pytest.raises(kh.EntryError, match="cannot be loaded: .*There is no item named 'config.json' in the archive"):
        kh.load(entry)


@pytest.mark.regression
def test_an_entry_whose_replacement_was_killed_is_loaded(entry):
    """A kill between the two renames leaves both the old entry and the new one in a temporary folder."""
    temporary = entry.parent / ".mine.keras_hypernet-12345678"
    shutil.copytree(entry, temporary / "old")
    shutil.move(entry, temporary / "new")
    (temporary / "old" / "model.keras").write_bytes(b"of the old one")
    assert kh.verify_entry(entry).name == "rotation_mnist_hyper"
    assert [path.name for path in entry.parent.iterdir()] == ["mine"]


@pytest.mark.regression
def test_the_error_about_another_folder_names_the_right_one(entry, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(
        kh.EntryError, match="run is not a zoo entry: it has no card.json. Give the folder that `train`"
    ):
        kh.load(tmp_path / "run")
    (tmp_path / "run" / "state.json").write_text("{}")
    message = "run is not a zoo entry: it has no card.json, but the folder of a training. `keras-hypernet entry "
    with pytest.raises(kh.EntryError, match=message):
        kh.load(tmp_path / "run")
    shutil.move(entry, tmp_path / "run" / "entry")
    with pytest.raises(kh.EntryError, match="no card.json. Give the folder of the entry: .*run/entry$"):
        kh.load(tmp_path / "run")


def test_names_cannot_leave_the_zoo():
    for name in ("/etc", "a b", "", "."):
        with pytest.raises(kh.EntryError, match="There is no entry|is not a zoo entry"):
            kh.load(name)
