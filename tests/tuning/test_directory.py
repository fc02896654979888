"""The folder of a search: resumed, refused, never shared, and nothing of others deleted."""

import subprocess

import pytest
from tiny_search import TASK, column, plain, tiny_search

from keras_hypernet.common.files import NotWritableError, locked_folder
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.result import SearchResult


def test_an_equal_search_is_resumed_and_another_one_refused(tmp_path):
    found = tiny_search(depth=(2, 4), trials=2, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for changes, differ in (
        ({"depth": (2, 3)}, r"{'space.depth': {'low': 2, 'high': 4}}"),
        ({"seed": 1}, r"{'recipe.seed': 0}"),
        ({"method": "embed"}, r"{'method': \['hyper'\]}"),
        ({"epochs": 4}, r"{'recipe.epochs': \d}"),
        ({"oracle": "random"}, r"{'oracle': 'grid'}"),
    ):
        with pytest.raises(ValueError, match=f"another search, {differ}, and nothing of it was changed. Asked for"):
            tiny_search(trials=2, directory=tmp_path, **changes)
    with pytest.raises(ValueError, match="holds this search already: go on with it .--resume., start anew"):
        tiny_search(trials=2, directory=tmp_path, resume=False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert plain(tiny_search(trials=2, directory=tmp_path).trials) == plain(found.trials)
    more = tiny_search(trials=3, directory=tmp_path)  # more of the same
    assert plain(more.trials[:2]) == plain(found.trials)
    assert sorted(column(more, "depth")) == [2, 3, 4]
    more.to_csv(tmp_path / "trials.csv")
    other = tiny_search(depth=[2], directory=tmp_path, overwrite=True)
    assert column(other, "depth") == [2]
    assert {path.name for path in tmp_path.iterdir()} == {"search.json", "trials", "tensorboard"}


def test_a_folder_of_something_else_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="is not empty and holds no search, but thesis.tex"):
            tiny_search(directory=tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ('{"name": "my other project"}', "at the top: 'task' is a required property"),
        ("[1, 2]", r"at the top: \[1, 2\] is not of type 'object'"),
        pytest.param("[" * 100_000, "it is nested in more than 50 levels", marks=pytest.mark.regression),
        ('{"task": "rota\n', "Invalid control character"),
        ("", "Expecting value"),
    ],
)
def test_a_file_of_the_same_name_is_no_search(tmp_path, text, received):
    file, precious = tmp_path / "search.json", tmp_path / "trials" / "precious"
    file.write_text(text)
    precious.parent.mkdir()
    precious.write_text("of another project")
    expected = f"search.json must be the configuration of a search, .* Received: {received}.*: choose another directory"
    for options in ({}, {"overwrite": True}, {"resume": False}):
        with pytest.raises(ValueError, match=expected):
            tiny_search(directory=tmp_path, **options)
    with pytest.raises(ValueError, match=expected):
        SearchResult.read(tmp_path)
    assert (file.read_text(), precious.read_text()) == (text, "of another project")


def test_a_search_without_its_data_claims_no_folder_and_deletes_nothing(tmp_path, monkeypatch):
    def unavailable(task, split):
        raise DataUnavailableError("The data are not to be had.")

    tiny_search(trials=1, directory=tmp_path / "old")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(type(TASK), "load", unavailable)
    for folder, overwrite in (("new", False), ("old", True)):
        with pytest.raises(DataUnavailableError, match="not to be had"):
            tiny_search(trials=1, directory=tmp_path / folder, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(tiny_search(trials=1, directory=tmp_path / "old").trials) == 1  # there is nothing to train


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    for directory in (file, file / "below"):
        with pytest.raises(
            ValueError, match=f"must be a folder, or .* Received: {directory}, where {file} is a file. C"
        ):
            tiny_search(directory=directory)
    assert file.read_text() == "precious"


def test_a_folder_has_one_search_at_a_time(tmp_path):
    with SearchDirectory(tmp_path).locked(), pytest.raises(ValueError, match="Another process is searching in"):
        tiny_search(directory=tmp_path)


def test_a_damaged_journal_is_named(tmp_path):
    tiny_search(depth=[2, 3], directory=tmp_path)
    path = tmp_path / "trials" / "journal.jsonl"
    path.write_text("{}\n" + path.read_text())
    for read in (SearchResult.read, lambda directory: tiny_search(depth=[2, 3], directory=directory)):
        with pytest.raises(ValueError, match=f"{path} must be what the search has written there. Received in line 1"):
            read(tmp_path)


@pytest.mark.regression
def test_a_trial_that_a_slow_worker_still_trains_is_trained_elsewhere(tmp_path):
    expected = tiny_search(depth=[2], directory=tmp_path / "alone")
    folder = tmp_path / "search" / "trials" / "trial_0000" / "seed-0"
    place = SearchDirectory(tmp_path / "search")
    place.claim(expected.config, False, False)
    with locked_folder(folder, "training in", "another"):
        found = tiny_search(depth=[2], directory=tmp_path / "search")
    assert plain(found.trials) == plain(expected.trials)
    assert column(found, "status") == ["finished"]


@pytest.mark.regression
def test_a_full_disk_ends_a_search_which_goes_on_when_there_is_room(small_disk):
    command = ["mount", "-o", "remount,size={}", str(small_disk)]
    with pytest.raises(
        NotWritableError, match="^There must be .* MB free for .*trial_0000/seed-0. Received: 0.[12] MB"
    ):
        tiny_search(depth=[2], directory=small_disk / "search")
    subprocess.run([word.format("8m") for word in command], check=True)
    assert column(tiny_search(depth=[2], directory=small_disk / "search"), "status") == ["finished"]


def test_a_search_of_version_0_1_is_refused(tmp_path):
    tiny_search(depth=[2], directory=tmp_path)
    (tmp_path / "trials" / "oracle.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a search of version 0.1, which only that version can go on with"):
        tiny_search(depth=[2], directory=tmp_path)
    tiny_search(depth=[2], directory=tmp_path, overwrite=True)
    tiny_search(depth=[2], directory=tmp_path)
