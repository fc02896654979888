"""Files and folders: nothing half-written is found under a final name, and there is room for what is written."""

import contextlib
import errno
import hashlib
import json
import math
import os
import pathlib
import shutil
import tempfile

from keras_hypernet.common.locks import BusyError, locked

# What a disk says that takes nothing more.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What is written beside the content of a file: headers, graphs, cards.
_MARGIN = 2**20


class NotWritableError(OSError):
    """A folder takes no files, or none of this size. Nothing was changed."""


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path, to write a file to; the file replaces `path` if nothing is raised.

    Raises:
        NotWritableError: If the folder takes no files, or the disk is full.

    Example:

    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with replacing(folder / "notes.txt") as temporary:
    ...     _ = temporary.write_text("kept")
    >>> [path.name for path in folder.iterdir()]
    ['notes.txt']
    """
    path = pathlib.Path(path)
    with _beside(path) as folder:
        temporary = folder / path.name  # with its suffix, by which Keras and Matplotlib choose the format
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def replacing_folder(path, overwrite=True):
    """Yields a new temporary folder, which becomes `path` if nothing is raised.

    What stood at `path` before is removed once the new folder is complete, and is back if the new one cannot take its
    place. After a kill, `heal` does the same.

    Args:
        path: Path of the folder.
        overwrite: Whether a folder at `path` is replaced.

    Raises:
        FileExistsError: If `overwrite` is False and there is a folder at `path` by the time the new one is complete.
        NotADirectoryError: If there is something else at `path`, a link to a folder included.
        NotWritableError: If the folder above takes no files, or the disk is full.

    Example:

    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "entry"
    >>> with replacing_folder(folder) as temporary:
    ...     (temporary / "notes.txt").touch()
    >>> [path.name for path in folder.iterdir()]
    ['notes.txt']
    """
    path = pathlib.Path(path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        kind = "a link" if path.is_symlink() else "a file"
        raise NotADirectoryError(f"{path} must be a folder, or not be there. Received: {kind}")
    with _beside(path) as temporary:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        for file in new.rglob("*"):
            _sync(file)
        if path.exists():
            if not overwrite:
                raise FileExistsError(f"{path} has come into being in the meantime, and is kept. Try again.")
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        _sync(path.parent)


def remove_folder(path):
    """Removes a folder: it is gone at once for whoever looks for it, and then what was in it."""
    path = pathlib.Path(path)
    with _beside(path) as temporary:
        path.rename(temporary / "old")


def heal(folder):
    """Ends what killed processes have begun in a folder: a new folder that is complete takes its place, the rest goes.

    Every write into the folder does so first. A reader does so where it finds nothing.
    """
    for temporary in pathlib.Path(folder).glob(".*.keras_hypernet-*"):
        # The lock of a living process is respected; a reader may have no right to write.
        with contextlib.suppress(BusyError, OSError), locked(temporary):
            path = temporary.with_name(temporary.name[1:].rpartition(".keras_hypernet-")[0])
            if all((temporary / name).exists() for name in ("new", "old")) and not path.exists():
                (temporary / "new").rename(path)
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked_folder(path, doing, instead, seconds=0.0):
    """Creates a folder if there is none, and locks it; see `locked`. One that was created and is empty then goes.

    Raises:
        BusyError: If another process holds the lock.
        NotWritableError: If the folder cannot be created.
    """
    path = pathlib.Path(path)
    try:
        created = not path.is_dir()
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        with locked(path, doing, instead, seconds):
            yield
    finally:
        if created:
            with contextlib.suppress(OSError):
                path.rmdir()


def check_writable(path, num_bytes=0):
    """Raises NotWritableError unless a folder, which need not exist, takes files of so many bytes in all.

    Example:

    >>> check_writable(tempfile.mkdtemp(), num_bytes=1000)
    """
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
    """Returns the checksum of a file, in hexadecimal digits."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def write_json(path, content):
    """Writes `content` as JSON, replacing the file in one step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _beside(path):
    """Yields a new folder beside `path`, on the same disk, which goes at the end with what is left in it."""
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
            raise NotWritableError(
                f"{path} cannot be written: {reason}. Make room, or choose another folder."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            for folder in created:
                with contextlib.suppress(OSError):  # it holds what was written
                    folder.rmdir()


def _locked_temporary(path, stack):
    while True:
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.keras_hypernet-", dir=path.parent))
        with contextlib.suppress(FileNotFoundError):
            stack.enter_context(locked(temporary, seconds=math.inf))
            if temporary.exists():
                return temporary
        # Another process has found it before it was locked, and has taken it for what a kill had left.


def _not_writable(path, error):
    return NotWritableError(f"Nothing can be written to {path}: {error.strerror or error}. Choose another folder.")


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
