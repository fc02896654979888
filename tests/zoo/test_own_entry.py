"""Entries of a user's own models: the fields of the card that are filled, and those that must be given."""

import json
import shutil

import keras
import numpy as np
import product_task
import pytest
from helpers import normal
from product_task import Product
from servers import started
from tiny_search import TASK

import keras_hypernet as kh
from keras_hypernet.serving.run_saved_model import load as load_saved_model

X, CONDITION = normal((40, 3)), normal((40, 2), seed=1)


@pytest.fixture(scope="module")
def task():
    return kh.ArrayTask(x=X, condition=CONDITION, y=X[:, 0] * CONDITION[:, 0], name="own_product")


@pytest.fixture(scope="module")
def trained(task, tmp_path_factory):
    """The folder of a training, its model and its recipe."""
    folder, recipe = tmp_path_factory.mktemp("trained") / "mine", kh.Recipe(width=4, epochs=2, seed=3)
    model = kh.build_model(task, "hyper", recipe)
    kh.fit(model, task, recipe, folder, progress=False)
    return folder, model, recipe


def _by_hand():
    """A model wired by hand, compiled."""
    x, condition = keras.Input((3,), name="x"), keras.Input((2,), name="condition")
    z = keras.layers.Dense(4, activation="relu")(condition)
    model = keras.Model({"x": x, "condition": condition}, kh.layers.HyperDense(1)(x, z))
    model.compile("sgd", "mse")
    return model


def test_the_card_is_filled_from_task_recipe_and_model(task, trained, tmp_path):
    _, model, recipe = trained
    card = kh.save_entry(model, tmp_path / "mine", task=task, recipe=recipe, command="python mine.py", limits=["None."])
    assert kh.verify_entry(tmp_path / "mine") == card
    measured = kh.evaluate(kh.load(tmp_path / "mine"), task)
    assert card.metrics["test"] == measured
    assert (card.name, card.method, card.seed, card.limits) == ("mine", "hyper", 3, ["None."])
    assert (card.task, card.recipe) == (task.config(), recipe.to_dict())
    assert card.seeds[0]["test"] == measured["mse"]
    assert card.architecture == {
        "generator": "Dense(4) -> Dense(4) -> Dense(4)",
        "primary": "HyperDense(10) -> HyperDense(1)",
    }


def test_a_model_wired_by_hand_is_an_entry(task, tmp_path):
    model, folder = _by_hand(), tmp_path / "wired"
    with pytest.raises(TypeError, match="The card also needs command, seed"):
        kh.save_entry(model, folder, task=task)
    card = kh.save_entry(model, folder, task=task, command="python wired.py", seed=5)
    assert (card.seed, card.seeds[0]["seed"]) == (5, 5)
    assert (card.method, card.recipe, card.architecture["network"].rpartition(" -> ")[2]) == (
        "hyper",
        {},
        "HyperDense(1)",
    )
    inputs = {"x": X, "condition": CONDITION}
    np.testing.assert_array_equal(kh.load(folder)(inputs), model(inputs))


def test_a_hypernetized_model_is_an_entry(task, tmp_path):
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    model = kh.hypernetize(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), generator, base="zeros")
    model.compile("adam", "mse")
    model({"x": X, "condition": CONDITION})
    card = kh.save_entry(model, tmp_path / "own", task=task, command="python own.py", seed=5)
    assert (card.method, card.architecture) == ("hyper", {"generator": "Dense(4)", "primary": "HyperDense(1)"})
    inputs = {"x": X, "condition": CONDITION}
    np.testing.assert_array_equal(
        kh.load(tmp_path / "own").predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )


def test_the_folder_of_a_training_becomes_an_entry(task, trained, run_command, tmp_path):
    folder, model, _ = trained
    done = run_command("entry", folder, "--name", "own_product_hyper", "--json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert card["command"] == f"keras-hypernet entry {folder} --name own_product_hyper"
    assert card["name"] == "own_product_hyper"
    inputs = {"x": X, "condition": CONDITION}
    expected = model(inputs)
    np.testing.assert_array_equal(kh.load(folder / "entry")(inputs), expected)
    (arrays,) = folder.glob("*.npz")
    done = run_command("evaluate", folder / "entry", "--source", arrays, "--json")
    assert json.loads(done.stdout)["mse"] == pytest.approx(card["metrics"]["test"]["mse"])
    assert run_command("info", folder / "entry").returncode == 0
    assert run_command("export", folder / "entry", "--to", tmp_path).returncode == 0
    outputs = load_saved_model(tmp_path / "own_product_hyper" / "1")(inputs)
    np.testing.assert_allclose(outputs["value"], expected, atol=1e-6)


def test_the_file_of_a_task_is_the_source_of_an_entry(tmp_path, run_command):
    recipe = kh.Recipe(width=4, epochs=1)
    model = kh.build_model(Product(), "hyper", recipe)
    kh.fit(model, Product(), recipe, tmp_path / "run", progress=False)
    done = run_command("entry", tmp_path / "run", "--source", product_task.__file__, "--json")
    assert json.loads(done.stdout)["task"] == {"name": "product", "number": 24}
    done = run_command("evaluate", tmp_path / "run" / "entry", "--source", product_task.__file__, "--json")
    assert json.loads(done.stdout)["mse"] == pytest.approx(kh.evaluate(model, Product())["mse"])


@pytest.mark.full
def test_an_entry_is_served_by_its_path_and_exported_again_when_it_changes(task, trained, tmp_path):
    _, model, recipe = trained
    inputs = {"x": X[:2], "condition": CONDITION[:2]}
    for changed, versions in ((True, ["1"]), (False, ["1"]), (True, ["1", "2"])):
        if changed:
            kh.save_entry(model, tmp_path / "mine", task=task, recipe=recipe, command="python mine.py")
        with (
            started(tmp_path / "models", tmp_path / "mine") as (_, ports, _),
            kh.serving.Client(f"127.0.0.1:{ports['rest']}", "mine") as client,
        ):
            expected = model.predict(inputs, verbose=0)
            np.testing.assert_allclose(client.predict(X[:2], CONDITION[:2]), expected, atol=1e-6)
        assert sorted(path.name for path in (tmp_path / "models" / "mine").iterdir()) == versions


def test_the_card_of_an_unfinished_training_says_how_long_it_was_and_what_was_noted(tmp_path, run_command):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    recipe, folder = kh.paper_recipe(TASK, width=4, epochs=3), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        kh.fit(kh.build_model(TASK, "hyper", recipe), TASK, recipe, folder, progress=False, callbacks=[Stop()])
    (folder / "predictions.npz").write_bytes(b"of the user's own")
    card = json.loads(run_command("entry", folder, "--data-note", "Drawn twice.", "--json").stdout)
    assert (card["recipe"], card["data"]["note"]) == (recipe.to_dict() | {"epochs": 1}, "Drawn twice.")
    assert card["data"]["test_sha256"] == TASK.fingerprint()
    assert card["deviations"] == ["width is 4; the paper's is 100.", "epochs is 1; the paper's is 30."]
    assert (card["selection"], card["seeds"][0]["learning_rate"]) == ("one training; of how many, is not stated", 0.01)


def test_a_name_that_no_card_can_have_is_refused_at_once(task, trained, tmp_path):
    _, model, recipe = trained
    with pytest.raises(kh.EntryError, match="lower-case words such as my_entry. Received: 'My-Run'"):
        kh.save_entry(model, tmp_path / "My-Run", task=task, recipe=recipe, command="python mine.py")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "state.json").unlink(), "holds no training"),
        (lambda folder: (folder / "model.json").unlink(), "has no model.json"),
        (lambda folder: (folder / "model.json").write_text("{"), "model.json cannot be loaded"),
        (lambda folder: (folder / "epoch-2.weights.h5").write_bytes(b""), "epoch-2.weights.h5 is damaged"),
    ],
)
def test_a_folder_without_a_whole_training_is_refused(trained, tmp_path, run_command, change, message):
    folder = shutil.copytree(trained[0], tmp_path / "run", ignore=shutil.ignore_patterns("entry"))
    change(folder)
    done = run_command("entry", folder)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert not (folder / "entry").exists()
