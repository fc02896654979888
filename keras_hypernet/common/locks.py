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
    """Holds the lock of an existing file or folder during the block.

    The lock stays with the file or folder when that is moved, and ends with the process. File systems without locks
    and Windows take no lock.

    `doing` and `instead` say, for the message, what the holder of the lock does, and what to choose instead. After
    waiting `seconds` for another process, BusyError is raised.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with locked(folder, "adding to", "another --out"), locked(folder, "adding to", "another --out"):
    ...     pass  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    keras_hypernet.common.locks.BusyError: Another process is adding to ... or choose another --out.
    """
    if os.name == "nt":  # Windows cannot open a folder, and a lock would block its own holder
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
