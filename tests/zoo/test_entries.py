"""The entries of the zoo: every number and every sentence on every card."""

import dataclasses
import functools
import hashlib

import keras
import numpy as np
import pytest
from helpers import ROOT, mostly_full, pixels
from PIL import Image

import keras_hypernet as kh
from keras_hypernet.data.sources import SOURCES
from keras_hypernet.experiments.entries import BLUEPRINTS, get_blueprint
from keras_hypernet.tasks import angle_labels, get_task
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.descriptions import describe
from keras_hypernet.zoo.store import num_parameters, zoo_folder

NAMES = sorted(path.parent.name for path in zoo_folder().glob("*/card.json"))
entries = pytest.mark.parametrize("name", NAMES)
# One of each kind; pytest runs the others with --full.
some_entries = pytest.mark.parametrize("name", mostly_full(NAMES, "rotation_mnist_hyper", "assumption1_uniform_f1"))


def _card(name):
    return kh.Card.read(zoo_folder() / name)


def test_entries_are_listed():
    assert [card.name for card in kh.list_entries()] == NAMES
    offline = {name for name in BLUEPRINTS if "_digits" in name or "_patches" in name}
    run = {name for name, blueprint in BLUEPRINTS.items() if (ROOT / f"results/{blueprint.experiment}.jsonl").exists()}
    assert set(NAMES) == (set(BLUEPRINTS) - offline) & run


def test_the_zoo_fits_into_one_wheel():
    assert sum(path.stat().st_size for path in zoo_folder().rglob("*") if path.is_file()) < 95e6


@some_entries
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


@functools.cache
def _fingerprint(task):
    return task.fingerprint()


@pytest.fixture
def same_source(source):
    """Returns a function that returns the data source of a card, or skips the test if it is not here as it was."""

    def get(card):
        if card.data["name"] not in SOURCES:
            return None
        found = source(card.data["name"])
        if _fingerprint(get_task(**card.task)) != card.data["test_sha256"]:
            pytest.skip(f"this machine has another copy of {found.name} than the card's")
        return found

    return get


@some_entries
def test_card_is_described_as_a_new_one_would_be(name, same_source):
    card = _card(name)
    same_source(card)
    blueprint = dataclasses.replace(get_blueprint(name), changes=_changes(card))
    setup, changes = blueprint.setup(card.seed), blueprint.changes
    facts = describe(name, blueprint.method, *setup, changes, card.data["note"], card.other_runs)
    assert {field: getattr(card, field) for field in facts} == facts


@some_entries
def test_metrics_on_the_card_are_recomputed(name, same_source):
    card = _card(name)
    same_source(card)
    model, task = kh.load(name), get_task(**card.task)
    for split in ("validation", "test"):
        measured, expected = kh.evaluate(model, task, split), card.metrics[split]
        assert measured["num_examples"] == expected["num_examples"]
        if "mse" in expected:
            assert measured["mse"] == pytest.approx(expected["mse"], rel=1e-4, abs=1e-10)
            continue
        # Another processor may round a logit differently, and so decide a tie of two labels differently.
        images = measured["num_examples"] * (100 if task.metric == "error_rate" else 1)  # examples are groups
        assert abs(measured[task.metric] - expected[task.metric]) * images <= 2
        assert measured.get("loss") == (expected.get("loss") and pytest.approx(expected["loss"], rel=1e-4))


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


@pytest.mark.full
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


@pytest.mark.parametrize("name", mostly_full([n for n in NAMES if n.startswith("rotation_")], "rotation_mnist_hyper"))
def test_entry_is_specialized_to_rounding(name):
    model = kh.load(name)
    shape = model.x_shape[1:]
    x, condition = pixels((50, *shape)), pixels((1, *shape), seed=1)
    expected = model.predict({"x": x, "condition": np.repeat(condition, 50, axis=0)}, verbose=0)
    network = kh.specialize(model, condition)
    np.testing.assert_allclose(network.predict(x, verbose=0), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert network.count_params() < model.count_params() / 10


@some_entries
def test_data_of_the_card_is_described(name):
    card = _card(name)
    if card.data["name"] in SOURCES:
        found = SOURCES[card.data["name"]]
        assert (card.data["origin"], card.data["license"]) == (found.origin, found.license)
    else:
        examples = get_task(**card.task).load("test")
        if isinstance(examples, tuple):  # x and y of all tasks of a sequence
            examples = {"x": examples[0]}
        x = examples["x"] if isinstance(examples, dict) else examples
        assert hashlib.sha256(x.tobytes()).hexdigest() == card.data["test_sha256"]
