"""Files of a training: resumption, damage, concurrent trainings, full disks."""

import dataclasses
import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest
from tiny_training import RECIPE, TASK, Call, train

# An epoch is one batch, whose function is traced in half the time of the one that loops over many.
ONE_EPOCH = dataclasses.replace(RECIPE, epochs=1, batch_size=TASK.num_train)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Model, history and folder of a training of one epoch."""
    folder = tmp_path_factory.mktemp("one_epoch")
    return *train(folder, ONE_EPOCH), folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the folder."""
    return shutil.copytree(trained[2], tmp_path / "run")


def _resume(folder, recipe=ONE_EPOCH, **options):
    return train(folder, recipe, resume=True, **options)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_complete_training_is_not_repeated(trained, folder):
    model, history = _resume(folder)
    assert history == trained[1]  # with equal seconds
    for weight, expected in zip(model.get_weights(), trained[0].get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_leftover_checkpoints_are_removed_and_a_csv_is_written_on_request(folder):
    for name in ("epoch-3.weights.h5", "my-epoch-3.weights.h5"):
        (folder / name).write_bytes(b"half")
    _resume(folder, csv_log=True)
    assert _names(folder) == ["epoch-1.weights.h5", "history.csv", "model.json", "my-epoch-3.weights.h5", "state.json"]
    assert len((folder / "history.csv").read_text().splitlines()) == 2


def test_another_training_is_not_overwritten_or_resumed(folder):
    with pytest.raises(ValueError, match="already holds a training: resume it .--resume., or choose another directory"):
        train(folder, ONE_EPOCH)
    other = dataclasses.replace(ONE_EPOCH, learning_rate=0.02)
    with pytest.raises(ValueError, match="another training: {'learning_rate': 0.01}. Asked for: {'learning_rate': 0.0"):
        _resume(folder, other)
    with pytest.raises(ValueError, match="holds another training: .*synthetic_hyper.*Asked for: .*synthetic_embed"):
        _resume(folder, method="embed")


@pytest.mark.regression
def test_a_damaged_checkpoint_is_not_resumed(folder):
    path = folder / "epoch-1.weights.h5"
    content = path.read_bytes()
    message = f"^{path} is damaged: its sha256 is not that in state.json. .* delete the folder {folder} to train"
    for offset in (100, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        with pytest.raises(ValueError, match=message):
            _resume(folder)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=message):
        _resume(folder, dataclasses.replace(ONE_EPOCH, epochs=3))
    path.unlink()
    with pytest.raises(ValueError, match=f"^{path} is missing. Restore the file from a copy, or delete the folder"):
        _resume(folder)
    path.write_bytes(content)
    _resume(folder)


@pytest.mark.regression
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: "{", "Expecting property name"),
        (lambda state: "[" * 100_000, "it is nested too deeply"),
        (lambda state: [], r"at the top: \[\] is not of type 'object'"),
        (lambda state: state.pop("history") and state, "at the top: 'history' is a required property"),
        (lambda state: state | {"history": [{"epoch": 1}]}, "at history/0: 'loss' is a required property"),
        (lambda state: state | {"recipe": {"epochs": "1"}}, "at recipe/epochs: '1' is not of type 'integer'"),
        (lambda state: state | {"diverged": 3}, "at diverged: 3 is not of type 'string'"),
        (lambda state: json.dumps(state).replace('"loss": ', '"loss": 1e999, "x": '), "it holds 1e999, which is not a"),
    ],
)
def test_a_damaged_state_is_not_resumed(folder, change, message):
    state_file = folder / "state.json"
    changed = change(json.loads(state_file.read_text()))
    state_file.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    expected = f"^{state_file} must be the state of a training, .* Received: {message}.* or delete the folder"
    with pytest.raises(ValueError, match=expected):
        _resume(folder)


def test_a_checkpoint_of_an_earlier_release_is_resumed(trained, folder):
    state = json.loads((folder / "state.json").read_text())
    assert state.pop("sha256") == hashlib.sha256((folder / "epoch-1.weights.h5").read_bytes()).hexdigest()
    (folder / "state.json").write_text(json.dumps(state))
    model, _ = _resume(folder)
    for weight, expected in zip(model.get_weights(), trained[0].get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.regression
def test_a_folder_has_one_training_at_a_time(tmp_path):
    def again(model, epoch):
        message = f"^Another process is training in {tmp_path}. Wait until it is done, or choose another directory"
        for resume in (False, True):
            with pytest.raises(ValueError, match=message):
                train(tmp_path, ONE_EPOCH, resume=resume)

    train(tmp_path, ONE_EPOCH, callbacks=[Call(again)])
    assert _names(tmp_path) == ["epoch-1.weights.h5", "model.json", "state.json"]


@pytest.mark.regression
def test_room_for_the_checkpoints_is_checked_before_training(small_disk):
    begun = []
    with pytest.raises(OSError, match=f"^There must be .* MB free for {small_disk}/run. Received: 0.2 MB. Make room"):
        train(small_disk / "run", callbacks=[Call(lambda model, epoch: begun.append(epoch))])
    assert begun == []
    assert list(small_disk.iterdir()) == []


@pytest.mark.regression
def test_a_disk_that_fills_up_during_training_keeps_the_last_checkpoint(small_disk):
    """HDF5 ends the process if it cannot close a file."""
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)

    def fill(model, epoch):
        if epoch == 1:
            (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))

    recipe = dataclasses.replace(ONE_EPOCH, epochs=2)
    with pytest.raises(OSError, match="^There must be .* MB free for .* Make room, or choose another folder.$"):
        train(small_disk / "run", recipe, callbacks=[Call(fill)])
    assert _names(small_disk / "run") == ["epoch-1.weights.h5", "model.json", "state.json"]
    (small_disk / "other").unlink()
    _resume(small_disk / "run", recipe)
