"""Locks of files and folders: one process at a time."""

import contextlib
import os
import pathlib

from filelock import lock_descriptor


class BusyError(ValueError):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path, doing="writing", instead="another folder", wait=False):
    """Holds the lock of an existing file or folder during the block.

    The lock stays with the file or folder when that is moved, and ends with the process. File systems without locks
    and Windows take no lock.

    `doing` and `instead` are parts of the message: what the holder of the lock does, and what to choose instead. If
    another process holds the lock, the call waits for it if `wait` is True; otherwise, BusyError is raised.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with locked(folder, "adding to", "another --out"), locked(folder, "adding to", "another --out"):
    ...     pass  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    keras_hypernet.common.locks.BusyError: Another process is adding to ... or choose another --out.
    """
    if os.name == "nt":  # Windows cannot open a folder, and a lock would block its holder
        yield
        return
    descriptor = os.open(path, os.O_RDONLY if pathlib.Path(path).is_dir() else os.O_RDWR)
    try:
        free = True
        with contextlib.suppress(OSError):  # a file system without locks
            free = lock_descriptor(descriptor, blocking=wait)
        if not free:
            raise BusyError(f"Another process is {doing} {path}. Wait until it is done, or choose {instead}.")
        yield
    finally:
        os.close(descriptor)
