"""The zoo: every number on every card, and what happens to entries that are not what they should be."""

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
from helpers import pixels
from PIL import Image

import keras_hypernet as kh
from keras_hypernet.data.sources import SOURCES
from keras_hypernet.experiments.entries import BLUEPRINTS, get_blueprint
from keras_hypernet.tasks import angle_labels, get_task
from keras_hypernet.training.recipe import Recipe, paper_recipe
from keras_hypernet.zoo import store as zoo
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.descriptions import describe
from keras_hypernet.zoo.store import num_parameters, zoo_folder

NAMES = sorted(path.parent.name for path in zoo_folder().glob("*/card.json"))
ROTATION = [name for name in NAMES if name.startswith("rotation_")]
entries = pytest.mark.parametrize("name", NAMES)


def _card(name):
    return kh.Card.read(zoo_folder() / name)


def test_entries_are_listed():
    assert [card.name for card in kh.list_entries()] == NAMES
    offline = {name for name in BLUEPRINTS if "_digits" in name or "_patches" in name}
    assert set(NAMES) == set(BLUEPRINTS) - offline


def test_the_zoo_fits_into_one_wheel():
    assert sum(path.stat().st_size for path in zoo_folder().rglob("*") if path.is_file()) < 95e6


@entries
def test_entry_verifies_and_its_parameters_are_counted(name):
    card = kh.verify_entry(name)
    task, loaded = get_task(**card.task), kh.load(name)
    if card.method == "target":
        assert card.num_parameters == num_parameters(task.target())
        for stored, rebuilt in zip(loaded.get_weights(), task.target().get_weights(), strict=True):
            np.testing.assert_array_equal(stored, rebuilt)
        return
    model = build_model(task, card.method, Recipe(**card.recipe))
    assert num_parameters(model) == card.num_parameters
    assert get_blueprint(name).setup(card.seed)[0] == task
    assert loaded.optimizer.learning_rate == np.float32(card.recipe["learning_rate"])


@entries
def test_entry_is_the_seed_of_median_validation_error(name):
    card = _card(name)
    if card.method == "target":
        return  # chosen with f1, and not trained
    if get_blueprint(name).second:
        assert {run["validation"] for run in card.seeds} == {None}
        assert card.seed == _card(name.replace("_f2", "_f1")).seed
        return
    assert len({run["seed"] for run in card.seeds}) == len(card.seeds) >= 3  # fewer would have no median worth it
    ranked = sorted(card.seeds, key=lambda run: np.inf if run["diverged"] else run["validation"])
    median = ranked[(len(ranked) - 1) // 2]
    assert median["seed"] == card.seed
    metric = get_task(**card.task).metric
    for split in ("validation", "test"):
        assert median[split] == pytest.approx(card.metrics[split][metric], rel=1e-4)


@entries
def test_card_says_what_deviates_from_the_paper(name):
    card = _card(name)
    for field, value in _changes(card).items():
        assert any(sentence.startswith(f"{field} is {value}") for sentence in card.deviations), field


def _changes(card):
    """Fields of a card's recipe that are not as in its experiment."""
    expected = get_blueprint(card.name).setup(card.seed)[1].to_dict()
    return {field: value for field, value in card.recipe.items() if value != expected[field]}


@pytest.fixture
def same_source(source):
    """Returns a function that returns the data source of a card, or skips the test if it is not here as it was."""

    def get(card):
        if card.data["name"] not in SOURCES:
            return None
        found = source(card.data["name"])
        if get_task(**card.task).fingerprint() != card.data["test_sha256"]:
            pytest.skip(f"this machine has another copy of {found.name} than the card's")
        return found

    return get


@entries
def test_card_is_described_as_a_new_one_would_be(name, same_source):
    card = _card(name)
    same_source(card)
    blueprint = dataclasses.replace(get_blueprint(name), changes=_changes(card))
    facts = describe(blueprint, *blueprint.setup(card.seed), card.data["note"], card.other_runs)
    assert {field: getattr(card, field) for field in facts} == facts


@pytest.mark.parametrize("split", ["validation", "test"])
@entries
def test_metrics_on_the_card_are_recomputed(name, split, same_source):
    card = _card(name)
    same_source(card)
    measured = kh.evaluate(kh.load(name), get_task(**card.task), split)
    expected = card.metrics[split]
    assert measured["num_examples"] == expected["num_examples"]
    if "mse" in expected:
        assert measured["mse"] == pytest.approx(expected["mse"], rel=1e-4, abs=1e-10)
        return
    # Another processor may round a logit differently, and tip an example that is a tie but for that.
    assert abs(measured["error"] - expected["error"]) * measured["num_examples"] <= 2
    assert measured["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def _error_with_pil(name, images):
    """Other angles than the card's, and none of this package's pipeline but the model."""
    angles = np.random.default_rng(1).uniform(0, 360, len(images))
    rotated = [
        np.asarray(Image.fromarray(image.squeeze()).rotate(angle)) for image, angle in zip(images, angles, strict=True)
    ]
    x = np.stack(rotated).reshape(images.shape)
    labels = np.argmin(np.abs(angles[:, None] - 30 * np.arange(12)), axis=1)
    predicted = kh.load(name).predict({"x": x, "condition": images}, batch_size=500, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(labels, angle_labels(keras.ops.convert_to_tensor(angles)))
    return np.mean(predicted != labels)


@pytest.mark.parametrize(("data", "goal"), [("mnist", 0.11), ("cifar", 0.09)])
def test_errors_hold_on_images_rotated_by_pil(data, goal, same_source):
    errors = {}
    for method in ("hyper", "embed"):
        card = _card(f"rotation_{data}_{method}")
        images = same_source(card).load("test")
        errors[method] = error = _error_with_pil(card.name, images)
        # Four standard deviations of the difference of two such measurements.
        assert abs(error - card.metrics["test"]["error"]) < 4 * np.sqrt(2 * error * (1 - error) / len(images))
    assert errors["hyper"] <= goal
    assert errors["hyper"] < errors["embed"]


@pytest.mark.parametrize("name", ROTATION)
def test_entry_is_specialized_to_rounding(name):
    model = kh.load(name)
    shape = model.x_shape[1:]
    x, condition = pixels((50, *shape)), pixels((1, *shape), seed=1)
    expected = model.predict({"x": x, "condition": np.repeat(condition, 50, axis=0)}, verbose=0)
    network = kh.specialize(model, condition)
    np.testing.assert_allclose(network.predict(x, verbose=0), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert network.count_params() < model.count_params() / 10


@pytest.fixture
def entry(tmp_path):
    return shutil.copytree(zoo_folder() / "rotation_mnist_hyper", tmp_path / "mine")


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
        ({"stars": 5}, r"unknown \['stars'\]"),
    ],
)
def test_a_card_that_breaks_the_schema_is_refused(entry, change, message):
    card = json.loads((entry / "card.json").read_text())
    (entry / "card.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(kh.EntryError, match=message):
        kh.load(entry)


def test_a_card_that_is_not_json_or_incomplete_is_refused(entry):
    (entry / "card.json").write_text("{")
    with pytest.raises(kh.EntryError, match="is not a card"):
        kh.load(entry)
    (entry / "card.json").write_text('{"name": "mine"}')
    with pytest.raises(kh.EntryError, match=r"missing \['architecture'"):
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
    with pytest.raises(kh.EntryError, match="is not a card: it is nested in more than 50 levels"):
        kh.load(entry)


def test_weights_with_code_inside_are_not_run(entry, tmp_path):
    """A Lambda layer holds Python bytecode: safe mode refuses to load it, whatever the card says."""
    mark = str(tmp_path / "run")
    layer = keras.layers.Lambda(lambda x, path: (open(path, "w").close(), x)[1], arguments={"path": mark})  # noqa: PTH123
    model = keras.Sequential([keras.Input((2,)), layer])
    model.save(entry / "model.keras")
    (tmp_path / "run").unlink()  # it was run when the model was built
    _with_checksum(entry)
    with pytest.raises(ValueError, match="unsafe|safe_mode|Lambda"):
        kh.load(entry)
    assert not (tmp_path / "run").exists()


def _with_checksum(entry):
    """Makes the card of an entry that of its model."""
    card = json.loads((entry / "card.json").read_text())
    card["sha256"] = hashlib.sha256((entry / "model.keras").read_bytes()).hexdigest()
    (entry / "card.json").write_text(json.dumps(card))


@pytest.mark.regression
def test_what_is_checked_is_what_is_loaded(entry, monkeypatch):
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
def test_a_model_that_keras_did_not_save_is_refused(entry):
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
def test_a_folder_that_is_no_entry_is_told_from_one(entry, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(
        kh.EntryError, match="run is not a zoo entry: it has no card.json. Give the folder that `train`"
    ):
        kh.load(tmp_path / "run")
    (tmp_path / "run" / "state.json").write_text("{}")
    message = (
        "run is not a zoo entry: it has no card.json, but the checkpoint of a training. `keras_hypernet.fit` with r"
    )
    with pytest.raises(kh.EntryError, match=message):
        kh.load(tmp_path / "run")
    shutil.move(entry, tmp_path / "run" / "entry")
    with pytest.raises(kh.EntryError, match="no card.json. Give the folder of the entry: .*run/entry$"):
        kh.load(tmp_path / "run")


def _facts():
    facts = dataclasses.asdict(_card("rotation_mnist_hyper"))
    del facts["num_parameters"], facts["sha256"]
    return facts


def test_save_entry_writes_an_entry_that_verifies_and_replaces_an_older_one(entry):
    model = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))
    card = kh.save_entry(model, _facts(), entry)
    assert kh.verify_entry(entry) == card
    assert card.num_parameters["generator"] < 50_000
    assert [path.name for path in entry.parent.iterdir()] == ["mine"]


def test_save_entry_leaves_nothing_half_written(tmp_path):
    model = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))
    for field, value in {"date": "yesterday", "name": "mine\n"}.items():
        with pytest.raises(kh.EntryError, match=f"not valid at {field}"):
            kh.save_entry(model, {**_facts(), field: value}, tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.regression
@pytest.mark.parametrize(
    ("facts", "received"),
    [
        (dict, r"a dict without \['architecture', .*'versions'\], and with \[\]"),
        (lambda: {**_facts(), "stars": 5}, r"a dict without \[\], and with \['stars'\]"),
        (lambda: {**_facts(), "sha256": "0" * 64}, r"a dict without \[\], and with \['sha256'\]"),
    ],
)
def test_save_entry_says_which_facts_it_needs(facts, received, tmp_path):
    message = f"^`facts` must hold the fields of a `keras_hypernet.Card`, .* Received: {received}. For an example, see"
    with pytest.raises(TypeError, match=message):
        kh.save_entry(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), facts(), tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_save_entry_replaces_entries_alone(tmp_path):
    model = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("all of it")
    for folder in (tmp_path / "thesis", tmp_path / "thesis" / "thesis.tex"):
        with pytest.raises(kh.EntryError, match="is not an entry, and is not replaced by one. Choose another folder"):
            kh.save_entry(model, _facts(), folder)
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "all of it"
    (tmp_path / "empty").mkdir()
    card = kh.save_entry(model, _facts(), tmp_path / "empty")
    assert kh.verify_entry(tmp_path / "empty") == card


def test_names_cannot_leave_the_zoo():
    for name in ("/etc", "a b", "", "."):
        with pytest.raises(kh.EntryError, match="There is no entry|is not a zoo entry"):
            kh.load(name)


@entries
def test_data_of_the_card_is_described(name):
    card = _card(name)
    if card.data["name"] in SOURCES:
        found = SOURCES[card.data["name"]]
        assert (card.data["origin"], card.data["license"]) == (found.origin, found.license)
    else:
        examples = get_task(**card.task).load("test")
        x = examples["x"] if isinstance(examples, dict) else examples
        assert hashlib.sha256(x.tobytes()).hexdigest() == card.data["test_sha256"]
