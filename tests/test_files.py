"""Files and folders that appear complete or not at all, and what stood in their place before."""

import shutil

import pytest

from keras_hypernet.files import replacing_folder


@pytest.fixture
def old(tmp_path):
    """A folder that is to be replaced."""
    folder = tmp_path / "entry"
    folder.mkdir()
    (folder / "old").touch()
    return folder


def _left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_is_replaced(old, tmp_path):
    with replacing_folder(old) as temporary:
        (temporary / "new").touch()
        assert _left(old) == ["old"]
    assert _left(tmp_path) == ["entry", "entry/new"]


def test_the_old_folder_is_back_if_the_new_one_cannot_take_its_place(old, tmp_path):
    with pytest.raises(FileNotFoundError), replacing_folder(old) as temporary:
        shutil.rmtree(temporary)
    assert _left(tmp_path) == ["entry", "entry/old"]


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to nothing"])
def test_what_is_no_folder_is_refused_and_kept(kind, old, tmp_path):
    path = tmp_path / "other"
    if kind == "file":
        path.write_text("kept")
    else:
        path.symlink_to(old if kind == "link to a folder" else tmp_path / "nothing")
    before = _left(tmp_path)
    message = f"other must be a folder, or not be there. Received: a {kind.split()[0]}"
    with pytest.raises(NotADirectoryError, match=message), replacing_folder(path) as temporary:
        (temporary / "new").touch()
    assert _left(tmp_path) == before
    assert path.is_symlink() or path.read_text() == "kept"
