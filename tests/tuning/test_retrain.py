"""The best of a search as an entry of the zoo."""

import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_search import TASK, tiny_search

import keras_hypernet as kh
from keras_hypernet.tasks import RotationSetTask, get_task


def test_the_best_is_trained_on_training_and_validation_data_as_an_entry(searched, tmp_path):
    result = dataclasses.replace(searched, directory=tmp_path)
    card = result.retrain(data_note="A note.", progress=False)
    assert card == kh.verify_entry(tmp_path / "entry")
    model = kh.load(tmp_path / "entry")
    for split in ("validation", "test"):
        assert kh.evaluate(model, TASK, split) == pytest.approx(card.metrics[split], rel=1e-6)
    assert card.name == "synthetic_hyper_tuned"
    assert (card.seeds[0]["validation"], card.recipe) == (result.best_trial["validation_mse"], result.best.to_dict())
    assert "Trained on 80 examples, including the validation split" in card.deviations[-1]
    assert card.selection == "the lowest validation mse of 2 trials of a grid search over depth"
    # The same as a training on examples that were joined by hand.
    other = kh.build_model(TASK, "hyper", result.best)
    train, validation = TASK.load("train"), TASK.load("validation")
    joined = {name: np.concatenate([train[name], validation[name]]) for name in train}
    for epoch in range(result.best.epochs):
        other.fit(TASK.training_dataset(joined, result.best.batch_size, 0, epoch), shuffle=False, verbose=0)
    for trained, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(trained, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_a_card_describes_a_search_in_python(tmp_path):
    options = {"depth": (2, 3), "learning_rate": [0.01, 0.02], "width": [8], "trials": 1, "progress": False}
    result = tiny_search(("hyper", "embed"), "random", seed=3, directory=tmp_path / "search", **options)
    command = result.retrain(progress=False).command
    assert command.startswith("keras_hypernet.tuning.search(keras_hypernet.tasks.SyntheticTask(family='inner', dim=4, ")
    searched = []
    calls = {"keras_hypernet": SimpleNamespace(Recipe=kh.Recipe, tasks=kh.tasks, tuning=SimpleNamespace())}
    again = functools.partial(kh.tuning.search, directory=tmp_path / "again", progress=False)
    calls["keras_hypernet"].tuning.search = lambda *args, **kwargs: searched.append(again(*args, **kwargs))
    eval(command.removesuffix(".retrain()"), calls)
    assert searched[0].config == result.config


@pytest.mark.full
def test_the_card_names_the_seeds_of_a_mean(tmp_path):
    options = {"epochs": 1, "executions_per_trial": 2, "directory": tmp_path, "progress": False}
    result = kh.tuning.search(kh.RotationTask("digits"), "hyper", depth=[2], objective="validation_loss", **options)
    card = result.retrain(progress=False)
    assert card.name == "rotation_digits_hyper_tuned"
    assert card.selection == "the lowest validation loss, the mean of 2 seeds, of 1 trials of a grid search over depth"
    assert card.deviations[-1].endswith("trained without the validation split, the mean of 2 seeds.")
    assert card.seeds[0]["validation"] == result.best_trial["validation_error"]


@pytest.mark.full
def test_a_neural_process_becomes_an_entry(tmp_path):
    task = RotationSetTask("digits")
    result = kh.tuning.search(task, "process", depth=[2], epochs=1, directory=tmp_path, progress=False)
    card = result.retrain(progress=False)
    assert card == kh.verify_entry(tmp_path / "entry")
    assert (card.name, card.method) == ("rotation_set_digits_process_tuned", "process")
    assert get_task(**card.task) == task
    model = kh.load(tmp_path / "entry")
    assert isinstance(model, kh.ConditionalNeuralProcess)
    assert kh.evaluate(model, task, "test") == pytest.approx(card.metrics["test"], rel=1e-6)
    assert card.architecture["embedding"].startswith("of each member, 784 -> 50")
    assert card.architecture["embedding"].endswith(f"-> {model.embedding.output_shape[-1]}; then the mean over the set")
    assert card.deviations[:2] == [
        "The images of digits are not of the paper's data sets.",
        "epochs is 1; the paper's is 10.",
    ]
    assert "Trained and measured with sets of 4" in card.limits[-1]
