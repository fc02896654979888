"""fit: learning, reproducibility, resumption after an interruption, divergence, logs."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import TESTS
from tiny_training import RECIPE, TASK, Call, train, without_time

import keras_hypernet as kh
from keras_hypernet.training.recipe import Recipe

# Trains, and prints the epoch after each execution.
SCRIPT = """
import sys
from tiny_training import Call, train

epochs = []
def on_step(model):
    print("step", epochs[-1], flush=True)
train(sys.argv[1], resume=True, callbacks=[Call(lambda model, epoch: epochs.append(epoch), on_step)])
"""


@pytest.fixture(scope="module")
def reference():
    return train()


def _check_same(trained, reference):
    for weight, expected in zip(trained[0].get_weights(), reference[0].get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert without_time(trained[1]) == without_time(reference[1])


def test_training_learns(reference):
    _, history = reference
    assert [sorted(epoch) for epoch in history] == [["epoch", "loss", "seconds", "val_loss"]] * 3
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]


def test_an_interrupted_training_resumes_to_the_same_weights(reference, tmp_path):
    def stop(model, epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[Call(stop)])
    assert len(json.loads((tmp_path / "state.json").read_text())["history"]) == 2
    _check_same(train(tmp_path, resume=True), reference)


@pytest.mark.full
def test_a_killed_training_resumes_to_the_same_weights(reference, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TESTS) as process:
        for line in process.stdout:
            if line.strip() == "step 2":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL  # after the first of three executions of the third epoch
    assert len(json.loads((tmp_path / "state.json").read_text())["history"]) == 2
    _check_same(train(tmp_path, resume=True), reference)


def test_a_directory_keeps_one_checkpoint_the_state_and_the_logs(tmp_path):
    pytest.importorskip("tensorboard")
    recipe = dataclasses.replace(RECIPE, epochs=2, batch_size=TASK.num_train)
    _, history = train(tmp_path, recipe, csv_log=True, tensorboard=True)
    names = ["epoch-2.weights.h5", "history.csv", "model.json", "state.json", "tensorboard"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == [epoch["val_loss"] for epoch in history]
    assert list((tmp_path / "tensorboard").rglob("*tfevents*"))
    state = json.loads((tmp_path / "state.json").read_text())
    assert Recipe(**state["recipe"]) == recipe
    assert state["versions"]["keras"] == keras.__version__


def test_divergence_names_the_epoch_and_the_learning_rate_and_is_kept(tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e12)
    for resume in (False, True):
        with pytest.raises(kh.TrainingDivergedError, match=r"became (nan|inf) in epoch 1 at the learning rate 1e\+12"):
            train(tmp_path, recipe, resume=resume)
    assert {path.name for path in tmp_path.iterdir()} == {"model.json", "state.json"}


def _spoil(model):
    model.set_weights([weight * np.nan for weight in model.get_weights()])


def test_a_diverged_training_keeps_the_epochs_before(reference, tmp_path):
    histories = []
    for resume in (False, True):
        spoil = Call(lambda model, epoch: _spoil(model) if epoch == 1 else None)
        with pytest.raises(kh.TrainingDivergedError, match="The loss became nan in epoch 2") as raised:
            train(tmp_path, resume=resume, callbacks=[spoil])
        histories.append(list(raised.value.history))
    assert without_time(histories[0]) == without_time(reference[1][:1])
    assert histories[0] == histories[1] == json.loads((tmp_path / "state.json").read_text())["history"]
    assert kh.TrainingDivergedError("The median one did.").history == ()


def test_weights_spoilt_by_the_last_update_are_not_kept(tmp_path):
    """The loss of the last step is computed before its update."""
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=TASK.num_train)
    with pytest.raises(kh.TrainingDivergedError, match="The loss became nan in epoch 1"):
        train(tmp_path, recipe, callbacks=[Call(on_step=_spoil)])
    assert {path.name for path in tmp_path.iterdir()} == {"model.json", "state.json"}


def test_a_model_in_use_is_trained_on_all_and_predicts_all(reference):
    model = kh.build_model(TASK, "hyper", RECIPE)
    ((inputs, y),) = TASK.evaluation_dataset("test")
    model.optimizer.learning_rate = 0.0
    model.fit(inputs, y, batch_size=32, verbose=0)  # one step per execution; `fit` of this package takes 25
    model.predict(inputs, verbose=0)
    model.optimizer.learning_rate = RECIPE.learning_rate
    _check_same((model, kh.fit(model, TASK, RECIPE, progress=False)), reference)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), model(inputs), rtol=1e-4, atol=1e-4)


def test_progress_bar_counts_all_steps(capfd):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    kh.fit(kh.build_model(TASK, "hyper", recipe), TASK, recipe)
    assert "75/75" in capfd.readouterr().err


def test_logs_need_a_directory_and_tensorboard(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="need a `directory`"):
        train(csv_log=True)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tensorboard\]'"):
        train(tmp_path, tensorboard=True)
