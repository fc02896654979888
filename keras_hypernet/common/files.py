"""Atomic writes of files and folders, and checks of the free space on the disk."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

from keras_hypernet.common.locks import BusyError, locked

# Error numbers of a full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Bytes for headers, graphs and cards, in addition to the weights.
_MARGIN = 2**20


class NotWritableError(OSError):
    """A folder is not writable, or its disk has too little space. Nothing was changed."""


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path to write a file to; the file replaces `path` if the block raises nothing.

    Raises NotWritableError if the folder takes no files, or the disk is full.

    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with replacing(folder / "notes.txt") as temporary:
    ...     _ = temporary.write_text("kept")
    >>> [path.name for path in folder.iterdir()]
    ['notes.txt']
    """
    path = pathlib.Path(path)
    with _beside(path) as folder:
        temporary = folder / path.name  # Keras and Matplotlib choose the format by the suffix
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def replacing_folder(path, overwrite=True):
    """Yields a new temporary folder, which becomes `path` if the block raises nothing.

    The old folder is removed once the new folder is complete, and restored if the new folder cannot replace it. After a
    kill, `heal` does the same. Raises FileExistsError if `overwrite` is False and `path` exists when the new folder is
    complete; NotADirectoryError if `path` is a file, or a link, even to a folder; and NotWritableError.
    """
    path = pathlib.Path(path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        kind = "a link" if path.is_symlink() else "a file"
        raise NotADirectoryError(f"{path} must be a folder, or not exist. Received: {kind}")
    with _beside(path) as temporary:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        for file in new.rglob("*"):
            _sync(file)
        if path.exists():
            if not overwrite:
                raise FileExistsError(f"{path} was created in the meantime, and is kept. Try again.")
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        _sync(path.parent)


def remove_folder(path):
    """Removes a folder and its content; the folder disappears in one step."""
    path = pathlib.Path(path)
    with _beside(path) as temporary:
        path.rename(temporary / "old")


def heal(folder):
    """Completes or removes the temporary folders of killed processes.

    A complete new folder is moved to its place; all other temporary folders are removed. Every write into the folder
    heals first; a reader heals if a file is missing.
    """
    for temporary in pathlib.Path(folder).glob(".*.keras_hypernet-*"):
        # A running process holds the lock of its folder; a reader may not have the right to write.
        with contextlib.suppress(BusyError, OSError), locked(temporary):
            path = temporary.with_name(temporary.name[1:].rpartition(".keras_hypernet-")[0])
            if all((temporary / name).exists() for name in ("new", "old")) and not path.exists():
                (temporary / "new").rename(path)
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked_folder(path, doing, instead):
    """Locks a folder as `locked` does. A missing folder is created first, and removed again if it stays empty.

    Raises NotWritableError if the folder cannot be created.
    """
    path = pathlib.Path(path)
    try:
        created = not path.is_dir()
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        with locked(path, doing, instead):
            yield
    finally:
        if created:
            with contextlib.suppress(OSError):
                path.rmdir()


def check_writable(path, num_bytes=0):
    """Raises NotWritableError unless a folder, which need not exist, takes files of `num_bytes` bytes in total."""
    path = pathlib.Path(path)
    try:
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=nearest):
            free = shutil.disk_usage(nearest).free
    except OSError as error:
        raise _not_writable(path, error) from error
    needed = num_bytes and num_bytes + _MARGIN
    if free < needed:
        raise NotWritableError(
            f"There must be {needed / 1e6:.1f} MB free for {path}. Received: {free / 1e6:.1f} MB. Make room, or choose "
            "another folder."
        )


def sha256(path):
    """Returns the SHA-256 checksum of a file in hexadecimal digits."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def write_text(path, text):
    """Writes a text, replacing the file in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Writes `content` as JSON, replacing the file in one step."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_table(path, rows):
    """Writes dicts as a CSV file with a column for each name, replacing the file in one step."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def _beside(path):
    """Yields a new folder beside `path`, on the same disk, and removes the folder at the end."""
    with contextlib.ExitStack() as stack:
        try:
            created = [folder for folder in path.parents if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            heal(path.parent)
            temporary = _locked_temporary(path, stack)
        except OSError as error:
            raise _not_writable(path.parent, error) from error
        try:
            yield temporary
        except OSError as error:
            if error.errno not in _FULL:
                raise
            reason = os.strerror(error.errno)
            message = f"{path} cannot be written: {reason}. Make room, or choose another folder."
            raise NotWritableError(message) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            for folder in created:
                with contextlib.suppress(OSError):  # the folder is not empty
                    folder.rmdir()


def _locked_temporary(path, stack):
    while True:
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.keras_hypernet-", dir=path.parent))
        # Another process may heal the folder between its creation and its lock.
        with contextlib.suppress(FileNotFoundError):
            stack.enter_context(locked(temporary, wait=True))
            if temporary.exists():
                return temporary


def _not_writable(path, error):
    return NotWritableError(f"Nothing can be written to {path}: {error.strerror or error}. Choose another folder.")


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
