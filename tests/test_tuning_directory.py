"""The folder of a search: resumed, refused, never shared, and nothing of others deleted."""

import pytest
from tiny_search import column, plain, tiny_search

from keras_hypernet.tuning.directory import SearchDirectory


def test_an_equal_search_is_resumed_and_another_one_refused(tmp_path):
    found = tiny_search(depth=(2, 4), trials=2, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for changes in ({"depth": (2, 3)}, {"seed": 1}, {"method": "embed"}, {"epochs": 4}, {"oracle": "random"}):
        with pytest.raises(ValueError, match="holds another search, .* and nothing of it was changed. Asked for"):
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


def test_a_folder_has_one_search_at_a_time(tmp_path):
    with SearchDirectory(tmp_path).locked(), pytest.raises(ValueError, match="Another process is searching in"):
        tiny_search(directory=tmp_path)
