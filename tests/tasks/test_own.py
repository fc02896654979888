"""A user's own task: one class that says little, its name, and the processes that find it."""

import dataclasses
import os
import sys

import numpy as np
import product_task
import pytest
from helpers import pixels
from product_task import Product

import keras_hypernet as kh
from keras_hypernet.runs.sources import load_source, task_sources
from keras_hypernet.serving.run_saved_model import load as load_saved_model
from keras_hypernet.tasks import get_task, register
from keras_hypernet.zoo.descriptions import describe
from keras_hypernet.zoo.store import save_training

TASK, RECIPE = Product(), kh.Recipe(width=4, depth=2, epochs=1, batch_size=8)


def test_a_task_of_a_user_is_trained_and_measured():
    model = kh.build_model(TASK, "hyper", RECIPE)
    assert model.primary[-1].name == "value"
    kh.fit(model, TASK, RECIPE, progress=False)
    examples = TASK.load("test")
    predicted = model.predict({name: examples[name] for name in ("x", "condition")}, verbose=0)
    expected = np.mean(np.square(predicted - examples["y"]))
    assert kh.evaluate(model, TASK) == {"mse": pytest.approx(expected, rel=1e-4), "num_examples": 24}


def test_an_epoch_has_every_row_once():
    inputs, y = zip(*TASK.training_dataset(TASK.load("train"), 10, seed=1, epoch=0), strict=True)
    x, condition = (np.concatenate([batch[name] for batch in inputs]) for name in ("x", "condition"))
    examples = TASK.load("train")
    assert x.dtype == np.float32
    np.testing.assert_array_equal(np.sort(x, axis=0), np.sort(examples["x"].astype("float32"), axis=0))
    assert (x != examples["x"].astype("float32")).any()
    np.testing.assert_allclose(np.concatenate(y), x * condition, atol=1e-7)


def test_a_task_of_a_user_is_found_by_its_name():
    assert get_task(**TASK.config()) == TASK
    assert register(Product) is Product
    again = dataclasses.make_dataclass("Product", [], bases=(kh.Task,), namespace={"name": "product"}, frozen=True)
    again.__module__ = Product.__module__
    assert register(again) is again  # as a notebook does that defines the class again
    register(Product)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["tfds", "arrays"])
def test_images_of_a_user_go_all_the_way(kind, prepare, tmp_path):
    """From a data set that the package has never heard of, or arrays, to a search, an export and an entry."""
    if kind == "tfds":
        prepare("tiny_shapes", {"train": 24, "test": 6})
    task = kh.RotationTask("tiny_shapes" if kind == "tfds" else pixels((30, 5, 7, 3)))
    recipe = kh.paper_recipe(task, width=4, depth=2, epochs=2, batch_size=8)
    model = kh.build_model(task, "hyper", recipe)
    kh.fit(model, task, recipe, tmp_path / "run", progress=False)
    (inputs, labels), *rest = task.evaluation_dataset("test")
    assert (rest, inputs["x"].shape[1:], len(labels)) == ([], (5, 7, 3), 6 if kind == "tfds" else 3)
    expected = model.predict(inputs, verbose=0)
    error = np.mean(expected.argmax(axis=1) != labels)
    measured = kh.evaluate(model, task)
    assert measured["error"] == pytest.approx(error)

    options = {"depth": [2], "recipe": recipe, "oracle": "grid", "progress": False}
    (row,) = kh.tuning.search(task, workers=2, directory=tmp_path / "search", **options).trials
    assert row["status"] == "finished"
    assert not row["worker"].endswith(f"-{os.getpid()}")
    assert row["validation_error"] == pytest.approx(kh.evaluate(model, task, "validation")["error"])

    card = kh.save_entry(model, tmp_path / "mine", task=task, recipe=recipe, command="python mine.py")
    assert save_training(tmp_path / "run", command="python mine.py").metrics == card.metrics
    assert card.metrics["test"] == measured
    for folder in (tmp_path / "mine", tmp_path / "run" / "entry"):
        assert kh.verify_entry(folder).task == task.config()
        np.testing.assert_array_equal(kh.load(folder).predict(inputs, verbose=0), expected)
    exported = load_saved_model(kh.export(tmp_path / "mine", tmp_path / "exported"))
    np.testing.assert_allclose(
        exported({name: value.numpy() for name, value in inputs.items()})["logits"], expected, atol=1e-5
    )


@pytest.mark.parametrize(
    ("base", "name", "error", "message"),
    [
        (kh.Task, None, ValueError, "must be lower-case words such as 'my_task'. Received for .*Own: None"),
        (kh.Task, "My/Task", ValueError, "Received for .*Own: 'My/Task'"),
        (
            kh.RotationTask,
            "rotation",
            ValueError,
            r"needs a new name: 'rotation' is the name of .*\.RotationTask. R",
        ),
        (object, "mine", TypeError, "`register` decorates a subclass of keras_hypernet.Task. Received: <class"),
    ],
)
def test_names_that_no_task_can_have_are_refused(base, name, error, message):
    with pytest.raises(error, match=message):
        register(type("Own", (base,), {"name": name}))


def test_the_paper_has_no_recipe_for_a_task_of_a_user():
    message = r"Received: Product\(number=24\). For your own task, pass a recipe: keras_hypernet.Recipe\("
    with pytest.raises(ValueError, match=message):
        kh.paper_recipe(TASK)


def test_a_card_says_what_is_known_of_a_task_of_a_user():
    facts = describe("product_hyper", "hyper", TASK, RECIPE)
    assert facts["description"] == "Predicts the target of the task product: a hypernetwork."
    assert facts["task"] == {"name": "product", "number": 24}
    assert facts["data"]["origin"] == "The user's own."
    assert facts["provenance"] == {"text": [], "code": [], "ours": ["The task and its training."]}
    assert facts["deviations"] == []


@pytest.mark.parametrize("base", [kh.RotationTask, kh.tasks.ApproximationTask, kh.tasks.SyntheticTask])
def test_a_card_of_a_class_that_extends_a_task_says_nothing_of_the_paper(base):
    class Extended(base):
        name = "extended"

    class Again(Extended):
        deviations = ("The angles are mine.",)

    class Last(Again):
        pass

    task = Extended("inner" if base is kh.tasks.SyntheticTask else "digits")
    facts = describe("extended", "hyper" if base is kh.RotationTask else "network", task, RECIPE)
    assert facts["provenance"] == {"text": [], "code": [], "ours": ["The task and its training."]}
    assert (facts["deviations"], task.depth_experiment, "paper" in str(facts)) == ([], None, False)
    assert facts["limits"] == ["Data like those of the task extended; of other data nothing was measured."]
    assert facts["description"].startswith(base.purpose)
    assert Last.deviations == ("The angles are mine.",)
    with pytest.raises(ValueError, match="For your own task, pass a recipe"):
        kh.paper_recipe(task)


def test_a_card_says_that_images_are_the_users_own():
    facts = describe("own_images", "hyper", kh.RotationTask(pixels((30, 6, 5, 1))), RECIPE)
    assert facts["limits"][0] == (
        "Rotation of 6 x 5 images like those of the user's own arrays about their centre; nothing else."
    )
    assert facts["deviations"][0] == "The images of the user's own arrays are not of the paper's data sets."


@pytest.mark.parametrize(
    ("examples", "received"),
    [({"x": np.ones((2, 1)), "y": np.ones(2)}, r"a dict of \['x', 'y'\]"), (np.ones((2, 1)), "ndarray")],
)
def test_examples_in_another_form_are_named(examples, received):
    message = f"`load` of the task 'product' must return a dict of the arrays x, condition, y. Received: {received}. Or"
    with pytest.raises(ValueError, match=message):
        TASK.evaluation_dataset(examples)


def test_a_module_is_the_source_of_its_tasks(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    assert task_sources(TASK, tmp_path) == (product_task.__file__,)
    assert task_sources(kh.RotationTask("digits"), tmp_path) == ()
    (tmp_path / "tripled.py").write_text(
        "import keras_hypernet as kh\n\n@kh.tasks.register\nclass Tripled(kh.RotationTask):\n    name = 'tripled'\n"
    )
    path = str(tmp_path / "tripled.py")
    module = load_source(path)
    task = get_task("tripled", data="digits")
    assert type(task) is module.Tripled
    assert task_sources(task, tmp_path) == (path,)
