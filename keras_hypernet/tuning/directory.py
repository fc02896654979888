"""SearchDirectory: the folder of a search, which holds one search only."""

import pathlib

from keras_hypernet.common.files import locked_folder, remove_folder, write_json
from keras_hypernet.common.parsing import read_json

_PROPERTIES = {
    **{name: {"type": "object"} for name in ("task", "space", "recipe")},
    **{name: {"type": "string"} for name in ("oracle", "objective")},
    "method": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}
_CONFIG = {"type": "object", "required": list(_PROPERTIES), "properties": _PROPERTIES}
# Without `entry`, whose card says how it was made.
_CONTENT = ("trials", "tensorboard", "trials.csv", "depth.png", "parallel.png")


class SearchDirectory:
    """The folder of a search: `search.json`, its configuration; `trials/`, trainings and journal; `tensorboard/`."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.journal = self.path / "trials" / "journal.jsonl"

    def config(self):
        """Returns the configuration of the search in the folder, or None; ValueError if it is damaged."""
        path = self.path / "search.json"
        if not path.exists():
            return None
        fix = "Nothing was changed: choose another directory (--directory), or move that file away."
        return read_json(path, _CONFIG, "the configuration of a search", fix)

    def claim(self, config, resume, overwrite):
        """Makes this the folder of a search; ValueError if the folder has other content, which is kept.

        Another number of trials does not make another search.
        """
        current = self.config()
        if current is None:
            if strangers := sorted(path.name for path in self.path.glob("*")):
                raise ValueError(f"{self.path} holds {strangers[0]}, and no search: choose another --directory.")
        elif overwrite:
            # The configuration is replaced last: after an interruption the folder still belongs to a search.
            for path in filter(pathlib.Path.exists, (self.path / name for name in _CONTENT)):
                remove_folder(path)
        else:
            self._check_same(current, config)
            if not resume:
                raise ValueError(
                    f"{self.path} holds this search already: continue it (--resume), start anew (--overwrite), or "
                    "choose another directory (--directory)."
                )
        write_json(self.path / "search.json", config)

    def _check_same(self, current, config):
        current, config = _flat(current), _flat(config)
        names = [name for name in {**current, **config} if name != "trials" and current.get(name) != config.get(name)]
        if names:
            was, asked = ({name: values.get(name) for name in names} for values in (current, config))
            raise ValueError(
                f"{self.path} holds another search, {was}, and nothing of it was changed. Asked for: {asked}. Choose "
                "another directory (--directory), or delete that search (--overwrite)."
            )

    def locked(self):
        """Returns a context that creates the folder and locks it against searches of other processes."""
        return locked_folder(self.path, "searching in", "another directory (--directory)")


def _flat(config):
    """Returns a configuration in which dotted names stand for nested dicts."""
    flat = {}
    for name, value in config.items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat
