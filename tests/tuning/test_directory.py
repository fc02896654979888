"""The folder of a search: resumed, refused, never shared, and nothing of others deleted."""

import pathlib
import shutil
import subprocess

import pytest
from tiny_search import TASK, column, plain, tiny_search

from keras_hypernet.common.files import NotWritableError, locked_folder
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.tuning.journal import claim
from keras_hypernet.tuning.result import SearchResult


@pytest.fixture
def folder(searched, tmp_path):
    """A copy of the folder of a search."""
    return pathlib.Path(shutil.copytree(searched.directory, tmp_path / "search"))


def test_an_equal_search_is_resumed_and_another_one_refused(searched, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for changes, differ in (
        ({"depth": (2, 3)}, r"{'space.depth': {'low': 2, 'high': 4}}"),
        ({"seed": 1}, r"{'recipe.seed': 0}"),
        ({"method": "embed"}, r"{'method': \['hyper'\]}"),
        ({"epochs": 4}, r"{'recipe.epochs': \d}"),
        ({"oracle": "random"}, r"{'oracle': 'grid'}"),
    ):
        with pytest.raises(ValueError, match=f"another search, {differ}, and nothing of it was changed. Asked for"):
            tiny_search(trials=2, directory=folder, **changes)
    with pytest.raises(ValueError, match="holds this search already: continue it .--resume., start anew"):
        tiny_search(trials=2, directory=folder, resume=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert plain(tiny_search(trials=2, directory=folder).trials) == plain(searched.trials)
    more = tiny_search(trials=3, directory=folder)  # more of the same
    assert plain(more.trials[:2]) == plain(searched.trials)
    assert sorted(column(more, "depth")) == [2, 3, 4]
    more.to_csv(folder / "trials.csv")
    other = tiny_search(depth=[2], directory=folder, overwrite=True)
    assert column(other, "depth") == [2]
    assert {path.name for path in folder.iterdir()} == {"search.json", "trials", "tensorboard"}


def test_a_folder_of_something_else_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds thesis.tex, and no search: choose another --directory"):
            tiny_search(directory=tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ('{"name": "my other project"}', "at the top: 'task' is a required property"),
        ("[1, 2]", r"at the top: \[1, 2\] is not of type 'object'"),
        pytest.param("[" * 100_000, "it is nested too deeply", marks=pytest.mark.regression),
        ('{"task": "rota\n', "Invalid control character"),
        ("", "Expecting value"),
    ],
)
def test_a_file_of_the_same_name_is_no_search(tmp_path, text, received):
    file, precious = tmp_path / "search.json", tmp_path / "trials" / "precious"
    file.write_text(text)
    precious.parent.mkdir()
    precious.write_text("of another project")
    expected = f"search.json must be the configuration of a search. Received: {received}.*: choose another directory"
    for options in ({}, {"overwrite": True}, {"resume": False}):
        with pytest.raises(ValueError, match=expected):
            tiny_search(directory=tmp_path, **options)
    with pytest.raises(ValueError, match=expected):
        SearchResult.read(tmp_path)
    assert (file.read_text(), precious.read_text()) == (text, "of another project")


def test_a_search_without_its_data_claims_no_folder_and_deletes_nothing(folder, tmp_path, monkeypatch):
    def unavailable(task, split):
        raise DataUnavailableError("The data are not to be had.")

    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(type(TASK), "load", unavailable)
    for name, overwrite in (("new", False), ("search", True)):
        with pytest.raises(DataUnavailableError, match="not to be had"):
            tiny_search(trials=1, directory=tmp_path / name, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["search"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(tiny_search(trials=1, directory=folder).trials) == 2  # no training is missing


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    for directory in (file, file / "below"):
        with pytest.raises(NotWritableError, match=f"^Nothing can be written to {directory}: "):
            tiny_search(directory=directory)
    assert file.read_text() == "precious"


def test_a_folder_has_one_search_at_a_time(tmp_path):
    locked = locked_folder(tmp_path, "searching in", "another")
    with locked, pytest.raises(ValueError, match="Another process is searching in"):
        tiny_search(directory=tmp_path)


def test_a_damaged_journal_is_named(folder):
    path = folder / "trials" / "journal.jsonl"
    path.write_text("{}\n" + path.read_text())
    for read in (SearchResult.read, lambda directory: tiny_search(directory=directory)):
        with pytest.raises(ValueError, match=f"{path} must be the journal of a search. Received in line 1"):
            read(folder)


@pytest.mark.regression
def test_a_trial_of_a_slow_worker_is_trained_elsewhere(searched, tmp_path):
    busy = tmp_path / "trials" / "trial_0000" / "seed-0"
    claim(tmp_path, searched.config, resume=False, overwrite=False)
    with locked_folder(busy, "training in", "another"):
        result = tiny_search(trials=1, directory=tmp_path)
    assert plain(result.trials) == plain(searched.trials[:1])
    assert column(result, "status") == ["finished"]


@pytest.mark.regression
def test_a_full_disk_ends_a_search_which_goes_on_when_there_is_room(small_disk):
    command = ["mount", "-o", "remount,size={}", str(small_disk)]
    with pytest.raises(
        NotWritableError, match="^There must be .* MB free for .*trial_0000/seed-0. Received: 0.[12] MB"
    ):
        tiny_search(depth=[2], directory=small_disk / "search")
    subprocess.run([word.format("8m") for word in command], check=True)
    assert column(tiny_search(depth=[2], directory=small_disk / "search"), "status") == ["finished"]
