"""Atomic writes of files and folders, old content, locks, and the free space on the disk."""

import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

import keras_hypernet
from keras_hypernet.common.files import (
    NotWritableError,
    check_writable,
    heal,
    locked_folder,
    remove_folder,
    replacing,
    replacing_folder,
)
from keras_hypernet.common.locks import BusyError, locked


@pytest.fixture
def old(tmp_path):
    """A folder to replace."""
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
def test_a_path_of_another_kind_is_refused_and_kept(kind, old, tmp_path):
    path = tmp_path / "other"
    if kind == "file":
        path.write_text("kept")
    else:
        path.symlink_to(old if kind == "link to a folder" else tmp_path / "nothing")
    before = _left(tmp_path)
    message = f"other must be a folder, or not exist. Received: a {kind.split()[0]}"
    with pytest.raises(NotADirectoryError, match=message), replacing_folder(path) as temporary:
        (temporary / "new").touch()
    assert _left(tmp_path) == before
    assert path.is_symlink() or path.read_text() == "kept"


# Imports these modules only: the package would import TensorFlow.
_FILES = """
import os, pathlib, signal, sys, time, types
sys.modules["keras_hypernet"] = package = types.ModuleType("keras_hypernet")
package.__path__ = [sys.argv[1]]
from keras_hypernet.common import files, locks
path, where = sys.argv[2:]
"""

_KILLED = """
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
if where == "between the renames":
    rename = pathlib.Path.rename
    pathlib.Path.rename = lambda source, target: (rename(source, target), kill())
writing = files.replacing if where == "in a file" else files.replacing_folder
with writing(path) as temporary:
    if writing is files.replacing:
        temporary.write_text("half")
    else:
        (temporary / "new").touch()
    if where != "between the renames":
        kill()
"""

_HOLDS = """
with locks.locked(path):
    print(flush=True)
    time.sleep(600)
"""


def _command(script, path, where=""):
    return [sys.executable, "-c", _FILES + script, *keras_hypernet.__path__, str(path), where]


def _killed(path, where):
    assert subprocess.run(_command(_KILLED, path, where), check=False).returncode == -signal.SIGKILL


@pytest.mark.regression
@pytest.mark.parametrize("end", ["read", "write"])
def test_a_kill_between_the_renames_leaves_the_new_folder(end, old, tmp_path):
    _killed(old, "between the renames")
    assert not old.exists()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["new", "old"]
    if end == "read":
        heal(tmp_path)
        assert _left(tmp_path) == ["entry", "entry/new"]
    else:
        with replacing_folder(old) as temporary:
            assert _left(old) == ["new"]
            (temporary / "newer").touch()
        assert _left(tmp_path) == ["entry", "entry/newer"]


@pytest.mark.regression
@pytest.mark.parametrize("where", ["in a folder", "in a file"])
def test_leftovers_of_a_kill_go_with_the_next_write(where, old, tmp_path):
    _killed(old if where == "in a folder" else tmp_path / "notes.txt", where)
    assert any(".keras_hypernet-" in name for name in _left(tmp_path))
    with replacing(tmp_path / "another.txt") as temporary:
        temporary.touch()
    assert _left(tmp_path) == ["another.txt", "entry", "entry/old"]


@pytest.mark.regression
def test_the_folder_of_a_living_process_stays(old, tmp_path):
    with replacing_folder(old) as first:
        heal(tmp_path)
        with replacing_folder(old) as second:
            (second / "second").touch()
        (first / "first").touch()
    assert _left(tmp_path) == ["entry", "entry/first"]


def test_only_its_own_temporaries_are_removed(old, tmp_path):
    others = [".entry.keras_hypernet", ".entry.settings", "entry.keras_hypernet-12345678"]
    for name in others:
        (tmp_path / name).mkdir()
    with replacing_folder(old):
        pass
    assert _left(tmp_path) == sorted([*others, "entry"])


def test_a_folder_is_removed_with_its_content(old, tmp_path):
    remove_folder(old)
    assert _left(tmp_path) == []


def test_a_failure_leaves_no_created_folder(tmp_path):
    for writing in (replacing, replacing_folder):
        with pytest.raises(RuntimeError, match="No more."), writing(tmp_path / "a" / "b" / "c"):
            raise RuntimeError("No more.")
    assert _left(tmp_path) == []


def test_a_lock_ends_with_its_process(tmp_path):
    with subprocess.Popen(_command(_HOLDS, tmp_path), stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        message = f"Another process is adding to {tmp_path}. Wait until it is done, or choose another --out."
        with pytest.raises(BusyError) as caught, locked(tmp_path, "adding to", "another --out"):
            pass
        assert str(caught.value) == message
        process.kill()
        with locked(tmp_path, wait=True):
            pass


def test_a_folder_created_for_its_lock_goes_if_it_stays_empty(tmp_path):
    for name in ("empty", "full"):
        with locked_folder(tmp_path / name, "searching in", "another"):
            if name == "full":
                (tmp_path / name / "kept").touch()
    assert _left(tmp_path) == ["full", "full/kept"]


@pytest.mark.regression
@pytest.mark.parametrize("path", ["/proc/x", "/proc/x/y", "/dev/full", "/dev/full/x", "{}/old", "{}/old/x"])
def test_a_folder_that_takes_no_files_is_named(path, old):
    path = pathlib.Path(path.format(old))
    if not pathlib.Path("/proc").is_dir():
        pytest.skip("needs /proc")
    with pytest.raises(NotWritableError, match=f"^Nothing can be written to {path}: .*. Choose another folder.$"):
        check_writable(path)
    with pytest.raises(NotWritableError, match="^Nothing can be written to "), replacing(path / "file"):
        pass


@pytest.mark.regression
def test_a_disk_that_is_read_only_is_named(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in (small_disk, small_disk / "new"):
        with pytest.raises(NotWritableError, match=f"^Nothing can be written to {path}: Read-only file system. Choose"):
            check_writable(path)


@pytest.mark.regression
def test_a_disk_that_is_too_small_is_named(small_disk):
    check_writable(small_disk / "new")
    message = (
        rf"^There must be 1.1 MB free for {small_disk}/new. Received: 0.2 MB. Make room, or choose another folder.$"
    )
    with pytest.raises(NotWritableError, match=message):
        check_writable(small_disk / "new", 10_000)
    (small_disk / "kept").write_text("whole")
    for writing in (replacing, replacing_folder):
        message = f"^{small_disk}/.* cannot be written: No space left on device. Make room, or choose another folder.$"
        with pytest.raises(NotWritableError, match=message), writing(small_disk / "new" / "big") as temporary:
            (temporary if writing is replacing else temporary / "file").write_bytes(bytes(2**20))
        assert _left(small_disk) == ["kept"]
    assert (small_disk / "kept").read_text() == "whole"
