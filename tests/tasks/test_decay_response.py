"""The response to the weight decay: the loss of training against plain NumPy, and the images and decays of an epoch."""

import dataclasses
import math

import keras
import numpy as np
import pytest

import keras_hypernet as kh
from keras_hypernet.tasks import DecayResponseTask
from keras_hypernet.tasks.decay_response import LEAST, MOST, ROWS

TASK = DecayResponseTask("digits", num_train=200, hidden_units=3)
RECIPE = kh.Recipe(width=8, depth=3, optimizer="adam", learning_rate=0.001, batch_size=50, epochs=1)


def _cross_entropy(logits, labels):
    return keras.ops.convert_to_numpy(
        keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    ).mean()


def test_the_loss_adds_the_decay_times_the_squares_of_the_written_weights():
    model = kh.build_model(TASK, "hyper", RECIPE)
    inputs, labels = next(iter(TASK.training_dataset(TASK.load("train"), 50, 0, 0)))
    logits = model(inputs, training=True)
    conditions = np.asarray(inputs["condition"])[:ROWS]
    assert len(conditions) == ROWS < 50
    expected = 0.0
    for condition in conditions:
        weights = model.generate(condition[np.newaxis])
        assert [*weights] == ["hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias"]
        squares = sum(np.square(np.asarray(weight, "float64")).sum() for weight in weights.values())
        expected += math.exp(condition[0]) * squares / ROWS
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-4)
    assert len(model.losses) == 1
    np.testing.assert_allclose(logits, model(inputs), rtol=1e-5, atol=1e-5)
    assert model.losses == []  # an evaluation has the cross-entropy alone
    measured = model.evaluate(inputs, labels, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(_cross_entropy(logits, labels), rel=1e-4)


def test_a_separate_classifier_has_the_loss_of_its_decay():
    task = dataclasses.replace(TASK, response=False, log_decay=-2.0)
    model = kh.build_model(task, "separate", RECIPE)
    images, labels = (array[:50] for array in task.load("test"))
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    squares = sum(np.square(weight).sum() for weight in model.get_weights())
    assert measured["cross_entropy"] == pytest.approx(_cross_entropy(model(images), labels), rel=1e-4)
    assert measured["loss"] - measured["cross_entropy"] == pytest.approx(math.exp(-2) * squares, rel=1e-3)
    assert kh.evaluate(model, task)["cross_entropy"] > 0


def test_an_epoch_repeats_the_images_with_other_decays():
    examples = TASK.load("train")
    assert len(examples[0]) == 200
    assert not np.array_equal(examples[0], dataclasses.replace(TASK, seed=1).load("train")[0])
    batches = list(TASK.training_dataset(examples, 100, 0, 0))
    decays = np.concatenate([np.asarray(inputs["condition"]) for inputs, _ in batches])
    images = np.concatenate([np.asarray(inputs["x"]) for inputs, _ in batches])
    assert decays.shape == (2000, 1)
    assert LEAST <= decays.min() < LEAST + 0.1 < MOST - 0.1 < decays.max() <= MOST
    _, counts = np.unique(images.reshape(2000, -1), axis=0, return_counts=True)
    _, expected = np.unique(examples[0].reshape(200, -1), axis=0, return_counts=True)
    np.testing.assert_array_equal(counts, 10 * expected)


def test_the_response_depends_on_the_decay_and_survives_saving(tmp_path):
    task = dataclasses.replace(TASK, hidden_units=0)
    model = kh.build_model(task, "hyper", RECIPE)
    kh.fit(model, task, dataclasses.replace(RECIPE, epochs=3), progress=False)
    norms = [
        sum(np.square(w).sum() for w in model.generate(np.array([[decay]], "float32")).values())
        for decay in (LEAST, MOST)
    ]
    assert norms[1] < 0.8 * norms[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert kh.evaluate(again, task) == kh.evaluate(model, task)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_train": 0}, "`num_train`"),
        ({"hidden_units": -1}, "`hidden_units`"),
        ({"response": "no"}, "`response` must be"),
        *(({"log_decay": decay}, "`log_decay` must be a finite") for decay in (math.inf, 1000, "3", True, None)),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        DecayResponseTask("digits", **arguments)


def test_more_images_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"at most 1,197. Received: 2,000"):
        DecayResponseTask("digits", num_train=2000).load("train")
