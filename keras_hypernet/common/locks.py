"""Locks of files and folders: one process at a time."""

import contextlib
import os
import pathlib
import time

from filelock import lock_descriptor


class BusyError(ValueError):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path, doing="writing", instead="another folder", seconds=0.0):
    """Keeps other processes that ask for the same lock from a file or a folder meanwhile.

    The lock is that of the file or folder itself, also where it is moved to. It ends with the process, however that
    ends. File systems without locks have none.

    Args:
        path: Path of a file or a folder, which exists.
        doing: What a process that holds the lock does, for the message: "adding to".
        instead: What to choose instead, for the message.
        seconds: For how long to wait for another process.

    Raises:
        BusyError: If another process holds the lock.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with locked(folder, "adding to", "another --out"), locked(folder, "adding to", "another --out"):
    ...     pass  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    keras_hypernet.common.locks.BusyError: Another process is adding to ... or choose another --out.
    """
    if os.name == "nt":  # where no folder can be opened, and a lock is also in the way of who holds it
        yield
        return
    descriptor = os.open(path, os.O_RDONLY if pathlib.Path(path).is_dir() else os.O_RDWR)
    try:
        end = time.monotonic() + seconds
        while not _lock(descriptor):
            if time.monotonic() >= end:
                raise BusyError(f"Another process is {doing} {path}. Wait until it is done, or choose {instead}.")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor):
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:  # a file system without locks
        return True
