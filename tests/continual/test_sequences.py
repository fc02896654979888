"""Sequences of tasks: their batches against the images, their evaluations, and a resumed training."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_hypernet as kh
from keras_hypernet.continual import DigitSequence, OutputRegularizer, PolynomialSequence
from keras_hypernet.continual.digits import ErrorRate, entropy
from keras_hypernet.data.sources import get_source
from keras_hypernet.tasks import get_task

SPLIT = DigitSequence("digits", num_tasks=3, steps=4, batch=6)
PERMUTED = DigitSequence("digits", protocol="permuted", num_tasks=3, steps=4, batch=6)
sequences = pytest.mark.parametrize("task", [SPLIT, PERMUTED, PolynomialSequence(steps=4)], ids=str)


@sequences
def test_config_is_json_and_makes_the_same_task(task):
    assert get_task(**json.loads(json.dumps(task.config()))) == task
    assert hash(task) == hash(get_task(**task.config()))


@sequences
def test_an_epoch_has_one_task_and_repeats_itself(task):
    examples = task.load("train")
    for epoch in range(3):
        batches = list(task.training_dataset(examples, 1, 5, epoch))
        assert len(batches) == 4
        x, y = task.examples("train", epoch)
        known = {row.tobytes() + np.asarray(label).tobytes() for row, label in zip(x, y, strict=True)}
        for inputs, target in batches:
            assert inputs["condition"].numpy().tolist() == [epoch]
            pairs = zip(inputs["x"].numpy()[0], target.numpy()[0], strict=True)
            assert {row.tobytes() + np.asarray(label).tobytes() for row, label in pairs} <= known
        again = list(task.training_dataset(examples, 1, 5, epoch))
        np.testing.assert_array_equal(batches[-1][0]["x"], again[-1][0]["x"])
        assert not np.array_equal(batches[0][0]["x"], batches[-1][0]["x"])


@pytest.mark.parametrize("task", [SPLIT, PERMUTED], ids=str)
def test_an_evaluation_has_every_image_once(task):
    seen = {number: [] for number in range(3)}
    for inputs, labels in task.evaluation_dataset("test"):
        for x, number, y in zip(inputs["x"].numpy(), inputs["condition"].numpy(), labels.numpy(), strict=True):
            seen[int(number)] += list(zip(map(bytes, x[y >= 0]), y[y >= 0], strict=True))
    for number, pairs in seen.items():
        x, y = task.examples("test", number)
        assert sorted(pairs) == sorted(zip(map(bytes, x), y, strict=True))


def test_tasks_of_digits():
    labels = get_source("digits").load_labels("test")
    images = get_source("digits").load("test").reshape(300, -1)
    x, y = SPLIT.examples("test", 1)
    np.testing.assert_array_equal(x, images[(labels == 2) | (labels == 3)])
    np.testing.assert_array_equal(y, labels[(labels == 2) | (labels == 3)] - 2)
    first, second = (PERMUTED.examples("test", number) for number in (0, 1))
    np.testing.assert_array_equal(first[0], images)
    assert not np.array_equal(first[0], second[0])
    np.testing.assert_array_equal(np.sort(first[0]), np.sort(second[0]))
    np.testing.assert_array_equal(second[1], labels)


def test_polynomials():
    task = PolynomialSequence()
    x, y = task.examples("test", 0)
    np.testing.assert_allclose(y, x + 3, atol=1e-6)
    x, y = task.examples("test", 2)
    np.testing.assert_allclose(y, (x - 3) ** 3, atol=1e-5)
    x, y = task.examples("train", 1)
    assert x.shape == y.shape == (100, 1)
    assert np.std(y - (2 * x**2 - 1)) == pytest.approx(0.05, rel=0.3)


@sequences
@pytest.mark.parametrize("splits", [["train"], ["train", "validation"]], ids=len)
def test_each_task_of_a_training_has_its_examples_of_all_splits(task, splits):
    x, y = task.load_together(splits)
    for number in range(task.num_tasks):
        members = task.members((x, y), number)
        expected = [task.examples(split, number) for split in splits]
        assert len(members) == sum(len(one) for one, _ in expected)
        if not isinstance(task, DigitSequence):
            np.testing.assert_array_equal(x[members], np.concatenate([one for one, _ in expected]))


@pytest.mark.parametrize("method", ["hyper", "ewc"])
def test_networks_have_outputs_for_each_task(method):
    recipe = kh.Recipe(width=100, optimizer="adam", batch_size=1, epochs=3)
    model = kh.build_model(SPLIT, method, recipe)
    x = SPLIT.examples("test", 0)[0]
    logits = np.stack([SPLIT.predict(model, x[:5], number) for number in range(3)])
    assert logits.shape == (3, 5, 2)
    assert not np.allclose(logits[0], logits[1])
    single = model({"x": x[np.newaxis, :5], "condition": np.array([2], "int32")})
    np.testing.assert_allclose(np.asarray(single)[0], logits[2], atol=1e-4)
    errors = kh.evaluate(model, SPLIT)
    sizes = [len(SPLIT.examples("test", number)[1]) for number in range(3)]
    assert errors["error_rate"] == pytest.approx(np.average(SPLIT.errors(model, "test"), weights=sizes), abs=1e-6)
    assert errors["num_examples"] == sum(len(SPLIT.examples("test", task)[1]) for task in range(SPLIT.num_tasks))


def test_the_entropy_infers_the_task():
    logits = np.array([[5.0, 0.0], [0.1, 0.0]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(entropy(logits), -np.sum(probabilities * np.log(probabilities), axis=1))
    assert entropy(logits).argmin() == 0


@pytest.mark.full
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    task = PolynomialSequence(steps=5)

    def train(epochs, folder, resume=False):
        recipe = kh.Recipe(width=10, optimizer="adam", learning_rate=0.01, batch_size=1, epochs=epochs)
        model = kh.build_model(task, "hyper", recipe)
        kh.fit(model, task, recipe, folder, resume, progress=False)
        return model

    whole = train(3, tmp_path / "whole")
    train(2, tmp_path / "parts")
    keras.backend.clear_session()
    resumed = train(3, tmp_path / "parts", resume=True)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.regression
@pytest.mark.parametrize("optimizer", ["adagrad", "nadam", "adam"])
def test_each_task_begins_with_a_new_optimizer(optimizer):
    """The state of a new optimizer is not zero: Adagrad's sums begin at 0.1."""
    task, states = PolynomialSequence(steps=2), []

    class Keep(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            states.append([np.array(variable) for variable in self.model.optimizer.variables])

    recipe = kh.Recipe(width=10, optimizer=optimizer, learning_rate=0.01, batch_size=1, epochs=2)
    model = kh.build_model(task, "hyper", recipe)
    model.optimizer.build(model.trainable_variables)
    new = [np.array(variable) for variable in model.optimizer.variables]
    kh.fit(model, task, recipe, progress=False, callbacks=[Keep()])
    for state in states:
        for one, other in zip(state, new, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.regression
def test_error_rates_count_weights_and_take_labels_of_two_axes():
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    for labels, weights, expected in (([[0], [1]], None, 0.0), ([1, 1], None, 0.5), ([1, 1], [0.0, 1.0], 0.0)):
        rate = ErrorRate()
        rate.update_state(np.array(labels), logits, weights)
        assert float(rate.result()) == expected
    assert ErrorRate().name == "error_rate"
    assert ErrorRate.from_config(ErrorRate("mine").get_config()).name == "mine"


@pytest.mark.regression
def test_an_evaluation_does_not_take_another_loss_for_the_error_rate():
    layers = [kh.layers.StandardizeImage(), kh.layers.HyperDense(SPLIT.num_outputs)]
    model = kh.Hypernetwork(kh.layers.TaskEmbedding(SPLIT.num_tasks, 4), layers)
    model.compile("sgd", OutputRegularizer(0.1, SPLIT.base_loss()))
    with pytest.raises(ValueError, match="of the name 'error_rate', the task's metric. Received: "):
        kh.evaluate(model, SPLIT)


@pytest.mark.regression
def test_a_training_has_one_epoch_for_each_task_and_a_loss_that_remembers():
    task, recipe = PolynomialSequence(steps=2), kh.Recipe(width=10, batch_size=1, epochs=4)
    model = kh.build_model(task, "hyper", recipe)
    with pytest.raises(ValueError, match="`epochs` must be at most 3, one for each task"):
        kh.fit(model, task, recipe, progress=False)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be an `OutputRegularizer` or `ElasticWeights`"):
        kh.fit(model, task, dataclasses.replace(recipe, epochs=1), progress=False)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`protocol` must be one of"):
        DigitSequence("digits", protocol="rotated")
    with pytest.raises(ValueError, match="`num_tasks` must be an integer of at most 5"):
        DigitSequence("digits", num_tasks=6)
    with pytest.raises(ValueError, match="`hidden` must be a tuple of integers"):
        DigitSequence("digits", hidden=5)
    with pytest.raises(ValueError, match="`strength` must be a finite number"):
        PolynomialSequence(strength=-1.0)
    with pytest.raises(ValueError, match="`steps` must be an integer of at least 1"):
        PolynomialSequence(steps=0)
