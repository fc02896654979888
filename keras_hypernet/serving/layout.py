"""The folder layout of TensorFlow Serving: `<model>/<version>/saved_model.pb`, and what is accepted as a version."""

import re

# As TensorFlow's loader looks for them; TensorFlow Serving's versions are of 64 bits.
_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
_VERSIONS = 2**63


def version_folders(base):
    """The versions in the folder of a model.

    Their names are decimal numbers, with zeros before them or not. Of several names for one number that with the
    fewest zeros counts, as in TensorFlow Serving.

    Args:
        base: Folder of the model, a `pathlib.Path`.

    Returns:
        A dict from each version, ascending, to its folder.

    Raises:
        OSError: If the folder cannot be read.

    Example:

    >>> import pathlib, tempfile
    >>> base = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("9", "0010", "010", "latest"):
    ...     (base / name).mkdir()
    >>> {version: folder.name for version, folder in version_folders(base).items()}
    {9: '9', 10: '010'}
    """
    paths = sorted(path for path in base.iterdir() if re.fullmatch("[0-9]+", path.name))
    folders = {int(path.name): path for path in paths if int(path.name) < _VERSIONS}
    return dict(sorted(folders.items()))


def find_graph(folder):
    """The file of a version that holds its graph, or None if it is not there (yet)."""
    return next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)


def check_contained(folder, base):
    """Raises ValueError if a link leads out of a version, or the version is a link that leads out of its model.

    Args:
        folder: Folder of the version.
        base: Folder of the model, without links.
    """
    root = folder.resolve()
    if base not in root.parents:
        raise ValueError(f"{folder} must be in the folder of its model: copy it there. Received: a link to {root}")
    for path in root.rglob("*"):
        if root not in path.resolve().parents:
            raise ValueError(f"{folder} must hold its files: copy them there. Received: a link to {path.resolve()}")
