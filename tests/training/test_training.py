"""fit and evaluate: what they write, that a killed run resumes to the same weights, and divergence."""

import csv
import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import TESTS

import keras_hypernet as kh
from keras_hypernet.tasks import ApproximationTask, ClassificationTask, ColorizationTask, SyntheticTask
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model

TASK = kh.RotationTask("digits")
RECIPE = kh.paper_recipe(TASK, width=8, epochs=4, batch_size=16)  # 75 steps, 25 an execution

# Trains, and says when each epoch begins and when its first steps are done.
SCRIPT = """
import sys, keras
from test_training import RECIPE, TASK
from keras_hypernet.architectures import build_model
from keras_hypernet.training import fit

class Speak(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", self.epoch, flush=True)
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

fit(build_model(TASK, "hyper", RECIPE), TASK, RECIPE, sys.argv[1], resume=True, progress=False, callbacks=[Speak()])
"""


def _trained(directory=None, **options):
    model = build_model(TASK, "hyper", RECIPE)
    history = fit(model, TASK, RECIPE, directory, progress=False, **options)
    return model, history


def _trained_for(recipe, directory, **options):
    model = build_model(TASK, "hyper", recipe)
    fit(model, TASK, recipe, directory, progress=False, **options)
    return model


@pytest.fixture(scope="module")
def reference():
    return _trained()


def test_training_learns(reference):
    _, history = reference
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["val_accuracy"] > 1 / 12


def test_a_run_killed_in_an_epoch_resumes_to_the_same_weights(reference, tmp_path):
    directory = tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=TESTS) as process:
        for line in process.stdout:
            if line.strip() == "step 2":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL  # after the first of three executions of the third epoch
    state = json.loads((directory / "state.json").read_text())
    assert len(state["history"]) == 2

    model, history = _trained(directory, resume=True)
    assert len(history) == RECIPE.epochs
    for resumed, uninterrupted in zip(model.get_weights(), reference[0].get_weights(), strict=True):
        np.testing.assert_array_equal(resumed, uninterrupted)
    without_time = [{**epoch, "seconds": None} for epoch in history]
    assert without_time == [{**epoch, "seconds": None} for epoch in reference[1]]


def test_a_directory_keeps_one_checkpoint_the_state_and_the_logs(reference, tmp_path):
    pytest.importorskip("tensorboard")
    _, history = _trained(tmp_path, csv_log=True, tensorboard=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-4.weights.h5",
        "history.csv",
        "state.json",
        "tensorboard",
    ]
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == [epoch["val_loss"] for epoch in history]
    assert list((tmp_path / "tensorboard").rglob("*tfevents*"))
    state = json.loads((tmp_path / "state.json").read_text())
    assert Recipe(**state["recipe"]) == RECIPE
    assert state["versions"]["keras"] == keras.__version__


def test_what_a_kill_has_left_of_checkpoints_is_removed(reference, tmp_path):
    _trained(tmp_path)
    mine = tmp_path / "my-epoch-3.weights.h5"
    for name in ("epoch-3.weights.h5", mine.name):
        (tmp_path / name).write_bytes(b"half")
    fit(build_model(TASK, "hyper", RECIPE), TASK, RECIPE, tmp_path, resume=True, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-4.weights.h5", mine.name, "state.json"]


def test_a_finished_run_is_not_trained_again(reference, tmp_path):
    _, first = _trained(tmp_path)
    model = build_model(TASK, "hyper", RECIPE)
    history = fit(model, TASK, RECIPE, tmp_path, resume=True, progress=False)
    assert len(history) == RECIPE.epochs
    assert history == first  # its seconds, too
    np.testing.assert_array_equal(model.get_weights()[0], reference[0].get_weights()[0])


def test_a_directory_in_use_is_not_overwritten(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds a training already: resume it .--resume., or choose another directory"):
        fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, progress=False)
    other = dataclasses.replace(recipe, learning_rate=0.02)
    with pytest.raises(
        ValueError, match="another training: {'learning_rate': 0.01}. Asked for: {'learning_rate': 0.02}"
    ):
        fit(build_model(TASK, "hyper", other), TASK, other, tmp_path, resume=True, progress=False)


def test_divergence_names_the_epoch_and_the_learning_rate_and_is_kept(tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e6)
    message = r"The loss became (nan|inf) in epoch 1 at the learning rate 1e\+06"
    for resume in (False, True):
        with pytest.raises(kh.TrainingDivergedError, match=message):
            fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, resume=resume, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


class _SpoilAt(keras.callbacks.Callback):
    """Spoils the weights when an epoch begins."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.set_weights([weight * np.nan for weight in self.model.get_weights()])


def test_a_run_that_diverges_keeps_the_epochs_before(reference, tmp_path):
    histories = []
    for resume in (False, True):
        model = build_model(TASK, "hyper", RECIPE)
        with pytest.raises(kh.TrainingDivergedError, match="The loss became nan in epoch 3") as raised:
            fit(model, TASK, RECIPE, tmp_path, resume=resume, progress=False, callbacks=[_SpoilAt(2)])
        histories.append(list(raised.value.history))
    without_time = [{**epoch, "seconds": None} for epoch in histories[0]]
    assert without_time == [{**epoch, "seconds": None} for epoch in reference[1][:2]]
    assert histories[0] == histories[1] == json.loads((tmp_path / "state.json").read_text())["history"]
    assert kh.TrainingDivergedError("The median one did.").history == ()


def test_logs_need_a_directory():
    model = build_model(TASK, "hyper", RECIPE)
    with pytest.raises(ValueError, match="need a `directory`"):
        fit(model, TASK, RECIPE, csv_log=True)


def test_progress_bar_counts_all_steps(capfd):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    fit(build_model(TASK, "hyper", recipe), TASK, recipe)
    assert "75/75" in capfd.readouterr().err


def test_evaluate_says_which_metric_it_needs(reference):
    model = kh.Hypernetwork.from_config(build_model(TASK, "hyper", RECIPE).get_config())
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(
        ValueError, match="must be compiled with the metric 'accuracy', for a task of classes. Received:"
    ):
        evaluate(model, TASK)


def test_evaluate_is_the_share_of_wrong_labels(reference):
    model, _ = reference
    metrics = evaluate(model, TASK, "validation")
    logits, labels = [], []
    for inputs, batch_labels in TASK.evaluation_dataset("validation", 77):
        logits.append(model.predict(inputs, verbose=0).astype("float64"))
        labels.append(batch_labels.numpy())
    logits, labels = np.concatenate(logits), np.concatenate(labels)
    assert metrics["num_examples"] == 300 == len(labels)
    assert metrics["error"] == np.mean(logits.argmax(axis=1) != labels)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(metrics["loss"], np.mean(log_sum - logits[np.arange(300), labels]), rtol=1e-5)


def _predictions(model, task, split):
    """What a model says of a split, and what it should say."""
    pairs = [(model(x), y) for x, y in task.evaluation_dataset(split, batch_size=400)]
    return (np.concatenate(arrays).astype("float64") for arrays in zip(*pairs, strict=True))


def _mse(model, task, split):
    predicted, y = _predictions(model, task, split)
    return pytest.approx(np.mean((predicted - y) ** 2), rel=1e-4)


SYNTHETIC = SyntheticTask("inner", dim=6, hidden_units=8, num_train=600, num_validation=70, num_test=1210)


@pytest.mark.parametrize(
    ("task", "method", "changes"),
    [
        (SYNTHETIC, "hyper", {"batch_size": 50}),
        (SYNTHETIC, "embed", {"batch_size": 50}),
        (ApproximationTask("uniform", num_samples=640), "network", {"epochs": 3}),
        (ColorizationTask("patches"), "hyper", {"epochs": 2}),
    ],
    ids=str,
)
def test_tasks_judged_by_the_squared_error_are_learned_and_measured(task, method, changes):
    recipe = kh.paper_recipe(task, **{"epochs": 5, **changes})
    model = build_model(task, method, recipe)
    before = evaluate(model, task)
    assert before == {"mse": _mse(model, task, "test"), "num_examples": task.num_examples("test")}
    history = fit(model, task, recipe, progress=False)
    assert [sorted(epoch) for epoch in history] == [["epoch", "loss", "seconds", "val_loss"]] * recipe.epochs
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["val_loss"] == _mse(model, task, "validation")
    # Now many batches are evaluated in one execution, the last of them smaller than the others.
    after = evaluate(model, task)
    assert after == {"mse": _mse(model, task, "test"), "num_examples": task.num_examples("test")}
    assert after["mse"] < before["mse"]


def test_a_model_that_was_used_before_is_trained_on_all_and_predicts_all(reference):
    model = build_model(TASK, "hyper", RECIPE)
    ((inputs, labels),) = TASK.evaluation_dataset("test")
    model.optimizer.learning_rate = 0.0
    model.fit(inputs, labels, batch_size=32, verbose=0)  # one step an execution, where the other fit takes 25
    model.predict(inputs, verbose=0)
    model.optimizer.learning_rate = RECIPE.learning_rate
    history = fit(model, TASK, RECIPE, progress=False)
    for weight, expected in zip(model.get_weights(), reference[0].get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert [epoch["val_loss"] for epoch in history] == [epoch["val_loss"] for epoch in reference[1]]
    np.testing.assert_allclose(model.predict(inputs, verbose=0), model(inputs), rtol=1e-4, atol=1e-4)


def test_a_regression_to_classes_is_judged_by_its_errors():
    task = ClassificationTask("digits")
    recipe = kh.paper_recipe(task, epochs=2)
    model = build_model(task, "network", recipe)
    history = fit(model, task, recipe, progress=False)
    assert history[-1]["val_accuracy"] > 0.5
    predicted, classes = _predictions(model, task, "test")
    assert evaluate(model, task) == {
        "error": np.mean(predicted.argmax(axis=1) != classes.argmax(axis=1)),
        "loss": pytest.approx(np.mean((predicted - classes) ** 2), rel=1e-4),
        "num_examples": 300,
    }


def test_principled_initialization_trains_too():
    recipe = dataclasses.replace(RECIPE, initialization="hyperfan_in", epochs=2, learning_rate=0.003)
    for method in ("hyper", "embed"):
        history = fit(build_model(TASK, method, recipe), TASK, recipe, progress=False)
        assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("width", 0), ("depth", 1), ("batch_size", 0), ("epochs", 0), ("seed", -1), ("epochs", 2.5)],
        *[("width", None), ("rank", 0), ("rank", 1.5), ("embedding_dim", 0)],
    ],
)
def test_recipe_refuses(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must be an integer of at least"):
        dataclasses.replace(RECIPE, **{field: value})


def test_recipe_refuses_rates_and_unknown_choices():
    for rate in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"`learning_rate` must be positive and finite. Received: {rate}"):
            dataclasses.replace(RECIPE, learning_rate=rate)
    with pytest.raises(ValueError, match="`initialization` must be one of .* Received: 'zeros'"):
        dataclasses.replace(RECIPE, initialization="zeros")
    for changes in ({"momentum": 1.0}, {"momentum": -0.5}, {"momentum": 0.5, "optimizer": "adam"}):
        message = rf"`momentum` must be in \[0, 1\), and 0 but for sgd. Received: {changes['momentum']}"
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(RECIPE, **changes)
    with pytest.raises(ValueError, match="`method` must be one of .* Received: 'both'"):
        build_model(TASK, "both", RECIPE)


def test_recipe_survives_json():
    new = dataclasses.replace(RECIPE, rank=3, embedding_dim=5, momentum=0.5, initialization="unit_norm_uniform")
    for recipe in (RECIPE, new):
        assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_another_method_is_not_resumed(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds another training: .*rotation_hyper.*Asked for: .*rotation_embed"):
        fit(build_model(TASK, "embed", recipe), TASK, recipe, tmp_path, resume=True, progress=False)


class _Spoil(keras.callbacks.Callback):
    """Spoils the weights after the loss of an epoch's last step was computed, as a last update can."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.set_weights([weight * np.nan for weight in self.model.get_weights()])


def test_weights_that_are_spoilt_by_the_last_step_are_not_kept(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=1197)
    with pytest.raises(kh.TrainingDivergedError, match="The loss became nan in epoch 1"):
        fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, progress=False, callbacks=[_Spoil()])
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tensorboard\]'"):
        fit(build_model(TASK, "hyper", RECIPE), TASK, RECIPE, tmp_path, progress=False, tensorboard=True)


def test_the_csv_of_a_finished_run_is_written_on_request(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, progress=False)
    fit(build_model(TASK, "hyper", recipe), TASK, recipe, tmp_path, resume=True, progress=False, csv_log=True)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


ONE_EPOCH = dataclasses.replace(RECIPE, epochs=1)


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory):
    """A model that was trained for one epoch, and the folder of its training, which tests copy."""
    folder = tmp_path_factory.mktemp("one_epoch")
    return _trained_for(ONE_EPOCH, folder), folder


@pytest.mark.regression
def test_a_damaged_checkpoint_is_not_resumed(one_epoch, tmp_path):
    path = shutil.copytree(one_epoch[1], tmp_path / "run") / "epoch-1.weights.h5"
    content = path.read_bytes()
    message = f"^{path} is damaged: its sha256 is not that in state.json. .* delete the folder {path.parent} to train"
    for place in (100, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=message):
            _trained_for(ONE_EPOCH, path.parent, resume=True)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=message):
        _trained_for(RECIPE, path.parent, resume=True)  # of more epochs
    path.unlink()
    with pytest.raises(ValueError, match=f"^{path} is missing. Put the file back from a copy, or delete the folder"):
        _trained_for(ONE_EPOCH, path.parent, resume=True)
    path.write_bytes(content)
    _trained_for(ONE_EPOCH, path.parent, resume=True)


@pytest.mark.regression
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: "{", "Expecting property name"),
        (lambda state: "[" * 100_000, "it is nested in more than 50 levels"),
        (lambda state: [], r"at the top: \[\] is not of type 'object'"),
        (lambda state: state.pop("history") and state, "at the top: 'history' is a required property"),
        (lambda state: state | {"history": [{"epoch": 1}]}, "at history/0: 'loss' is a required property"),
        (lambda state: state | {"recipe": {"epochs": "1"}}, "at recipe/epochs: '1' is not of type 'integer'"),
        (lambda state: state | {"diverged": 3}, "at diverged: 3 is not of type 'string'"),
        (lambda state: json.dumps(state).replace('"loss": ', '"loss": 1e999, "x": '), "it holds 1e999, which is not a"),
    ],
)
def test_a_damaged_state_is_not_resumed(one_epoch, tmp_path, change, message):
    state_file = shutil.copytree(one_epoch[1], tmp_path / "run") / "state.json"
    changed = change(json.loads(state_file.read_text()))
    state_file.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    expected = f"^{state_file} must be the state of a training, .* Received: {message}.* or delete the folder"
    with pytest.raises(ValueError, match=expected):
        _trained_for(ONE_EPOCH, state_file.parent, resume=True)


def test_a_checkpoint_of_an_earlier_release_is_resumed(one_epoch, tmp_path):
    model, folder = one_epoch
    state_file = shutil.copytree(folder, tmp_path / "run") / "state.json"
    state = json.loads(state_file.read_text())
    assert state.pop("sha256") == hashlib.sha256((folder / "epoch-1.weights.h5").read_bytes()).hexdigest()
    state_file.write_text(json.dumps(state))
    resumed = _trained_for(ONE_EPOCH, state_file.parent, resume=True)
    for weight, expected in zip(resumed.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


class _Call(keras.callbacks.Callback):
    """Calls a function when an epoch begins."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch, logs=None):
        self.function(epoch)


@pytest.mark.regression
def test_a_folder_has_one_training_at_a_time(tmp_path):
    def again(epoch):
        message = f"^Another process is training in {tmp_path}. Wait until it is done, or choose another directory"
        for resume in (False, True):
            with pytest.raises(ValueError, match=message):
                _trained_for(ONE_EPOCH, tmp_path, resume=resume)

    _trained_for(ONE_EPOCH, tmp_path, callbacks=[_Call(again)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-1.weights.h5", "state.json"]


@pytest.mark.regression
def test_room_for_the_checkpoints_is_looked_for_before_training(small_disk):
    begun = []
    with pytest.raises(OSError, match=f"^There must be .* MB free for {small_disk}/run. Received: 0.2 MB. Make room"):
        _trained_for(RECIPE, small_disk / "run", callbacks=[_Call(begun.append)])
    assert begun == []
    assert list(small_disk.iterdir()) == []


@pytest.mark.regression
def test_a_disk_that_fills_up_while_training_leaves_the_last_checkpoint(small_disk):
    """HDF5 ends the process if it cannot close a file."""
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)

    def fill(epoch):
        if epoch == 1:
            (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))

    recipe = dataclasses.replace(RECIPE, epochs=2)
    with pytest.raises(OSError, match="^There must be .* MB free for .* Make room, or choose another folder.$"):
        _trained_for(recipe, small_disk / "run", callbacks=[_Call(fill)])
    assert sorted(path.name for path in (small_disk / "run").iterdir()) == ["epoch-1.weights.h5", "state.json"]
    (small_disk / "other").unlink()
    _trained_for(recipe, small_disk / "run", resume=True)
