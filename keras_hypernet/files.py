"""Writing files and folders so that nothing half-written is ever found under their final name."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`, to write a file to; it replaces `path` if nothing is raised.

    Example:

    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with replacing(folder / "notes.txt") as temporary:
    ...     _ = temporary.write_text("kept")
    >>> [path.name for path in folder.iterdir()]
    ['notes.txt']
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: Keras and Matplotlib choose the format by it.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path, overwrite=True):
    """Yields a new temporary folder beside `path`, which becomes `path` if nothing is raised.

    What stood at `path` before is removed once the new folder is complete, and is back if the new one cannot take its
    place.

    Args:
        path: Path of the folder.
        overwrite: Whether a folder at `path` is replaced.

    Raises:
        FileExistsError: If `overwrite` is False and there is a folder at `path` by the time the new one is complete.
        NotADirectoryError: If there is something else at `path`, a link to a folder included.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o755)  # mkdtemp's folders are their owner's alone
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        if path.exists():
            if not overwrite:
                raise FileExistsError(f"{path} has come into being in the meantime, and is kept. Try again.")
            # The old folder moves into the new one's place among the temporaries, and goes with it.
            old = temporary.with_name(f"{temporary.name}.old")
            path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                old.rename(path)
                raise
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path, content):
    """Writes `content` as JSON, replacing the file in one step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
