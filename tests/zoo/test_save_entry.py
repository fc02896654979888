"""save_entry: what it writes and replaces, and its errors."""

import dataclasses

import keras
import pytest

import keras_hypernet as kh
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.store import zoo_folder


def _facts():
    facts = dataclasses.asdict(kh.Card.read(zoo_folder() / "rotation_mnist_hyper"))
    del facts["num_parameters"], facts["sha256"]
    return facts


def test_save_entry_writes_an_entry_that_verifies_and_replaces_an_older_one(entry):
    model = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))
    card = kh.save_entry(model, entry, **_facts())
    assert kh.verify_entry(entry) == card
    assert card.num_parameters["generator"] < 50_000
    assert [path.name for path in entry.parent.iterdir()] == ["mine"]


def test_save_entry_leaves_nothing_half_written(tmp_path):
    model = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))
    for field, value in {"date": "yesterday", "name": "mine\n"}.items():
        with pytest.raises(kh.EntryError, match=f"not valid at {field}"):
            kh.save_entry(model, tmp_path / "mine", **{**_facts(), field: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.regression
@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (dict, "missing 16 required positional arguments: 'description', 'task', .* and 'limits'"),
        (lambda: {**_facts(), "stars": 5}, "got an unexpected keyword argument 'stars'"),
        (lambda: {**_facts(), "sha256": "0" * 64}, "got multiple values for keyword argument 'sha256'"),
    ],
)
def test_save_entry_says_which_facts_it_needs(facts, message, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=message):
        kh.save_entry(model, tmp_path / "mine", **facts())
    assert list(tmp_path.iterdir()) == []


def test_save_entry_replaces_entries_alone(tmp_path):
    model = build_model(kh.RotationTask("mnist"), "hyper", paper_recipe(kh.RotationTask("mnist"), width=4))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("all of it")
    for folder in (tmp_path / "thesis", tmp_path / "thesis" / "thesis.tex"):
        with pytest.raises(kh.EntryError, match="is not an entry, so it is not replaced. Choose another folder"):
            kh.save_entry(model, folder, **_facts())
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "all of it"
    (tmp_path / "empty").mkdir()
    card = kh.save_entry(model, tmp_path / "empty", **_facts())
    assert kh.verify_entry(tmp_path / "empty") == card
