"""TensorFlow Serving's folder layout, `<model>/<version>/saved_model.pb`."""

import re

_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")  # in the order of TensorFlow's loader
_VERSIONS = 2**63  # TensorFlow Serving's are int64


def version_folders(base):
    """Returns a dict from each version in a model's folder, ascending, to the folder of the version.

    Names are decimal numbers, with leading zeros or not. Of several names for one number, the one with the fewest zeros
    counts, as in TensorFlow Serving.
    """
    paths = sorted(path for path in base.iterdir() if re.fullmatch("[0-9]+", path.name))
    folders = {int(path.name): path for path in paths if int(path.name) < _VERSIONS}
    return dict(sorted(folders.items()))


def find_graph(folder):
    """The file with the graph of a version, or None if it is not there (yet)."""
    return next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)


def check_contained(folder, base):
    """Raises ValueError if a version, or a link in it, leads out of the folder of its model, which has no links."""
    root = folder.resolve()
    if base not in root.parents:
        raise ValueError(f"{folder} must be in the folder of its model: copy it there. Received: a link to {root}")
    for path in root.rglob("*"):
        if root not in path.resolve().parents:
            raise ValueError(f"{folder} must hold its files: copy them there. Received: a link to {path.resolve()}")
