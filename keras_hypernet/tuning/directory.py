"""SearchDirectory: the folder of a search, and what keeps two searches from sharing one."""

import contextlib
import pathlib

from keras_hypernet.common.files import locked_folder, remove_folder, write_json
from keras_hypernet.common.parsing import check_schema, parse_json

# What every configuration of a search has.
_TYPES = {
    **{name: {"type": "object"} for name in ("task", "space", "recipe")},
    **{name: {"type": "string"} for name in ("oracle", "objective")},
    "method": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}
_CONFIG = {"type": "object", "required": list(_TYPES), "properties": _TYPES}
# What is made of the trials. An entry is not among them: its card says what made it.
_MADE_OF_TRIALS = ("trials.csv", "depth.png", "parallel.png")


class SearchDirectory:
    """The folder of a search: `search.json`, its configuration; `trials/`, its trainings and journal; `tensorboard/`.

    Args:
        path: Path of the folder, which need not exist.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.journal = self.path / "trials" / "journal.jsonl"

    def config(self):
        """Returns the configuration of the search that the folder holds, or None; ValueError if it is not that."""
        self._check_folder()
        path = self.path / "search.json"
        if not path.exists():
            return None
        try:
            held = parse_json(path.read_text(encoding="utf-8"))
            check_schema(held, _CONFIG)
        except ValueError as error:  # neither JSON nor text, or not a configuration
            raise ValueError(_foreign(path, error)) from error
        return held

    def _check_folder(self):
        """Raises ValueError if a file is where the folder, or one above it, is to be."""
        nearest = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise ValueError(
                f"The directory of a search must be a folder, or not exist yet. Received: {self.path}, where "
                f"{nearest} is a file. Choose another directory (--directory)."
            )

    def claim(self, config, resume, overwrite):
        """Makes this the folder of a search, of this configuration. More trials than before are no other search.

        Args:
            config: A dict that JSON can hold.
            resume: Whether to go on with the same search if the folder holds it.
            overwrite: Whether to delete a search that the folder holds, the same or another one.

        Raises:
            ValueError: If the folder holds something else. Nothing is deleted then.
        """
        held = self.config()
        if held is None:
            strangers = sorted(path.name for path in self.path.glob("*"))
            if strangers:
                raise ValueError(
                    f"{self.path} is not empty and holds no search, but {', '.join(strangers[:3])}: choose another "
                    "directory (--directory)."
                )
        elif overwrite:
            # The configuration goes last: if this is interrupted, the folder is still that of a search.
            for name in ("trials", "tensorboard"):
                if (self.path / name).exists():
                    remove_folder(self.path / name)
            for name in _MADE_OF_TRIALS:
                (self.path / name).unlink(missing_ok=True)
        else:
            self._check_same(held, config)
            if not resume:
                raise ValueError(
                    f"{self.path} holds this search already: go on with it (--resume), start anew (--overwrite), or "
                    "choose another directory (--directory)."
                )
        write_json(self.path / "search.json", config)

    def _check_same(self, held, config):
        """Raises ValueError if the folder holds another search, or one that version 0.1 began."""
        held, config = _flat(held), _flat(config)
        names = [name for name in {**held, **config} if name != "trials" and held.get(name) != config.get(name)]
        if names:
            was, asked = ({name: what.get(name) for name in names} for what in (held, config))
            raise ValueError(
                f"{self.path} holds another search, {was}, and nothing of it was changed. Asked for: {asked}. Choose "
                "another directory (--directory), or delete that search (--overwrite)."
            )
        if (self.path / "trials" / "oracle.json").exists():
            raise ValueError(
                f"{self.path} holds a search of version 0.1, which only that version can go on with: start anew "
                "(--overwrite), or choose another directory (--directory)."
            )

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes from running a search in the folder meanwhile, which is created if there is none.

        Raises:
            BusyError: If another process does so.
            ValueError: If the path is that of a file.
            NotWritableError: If the folder takes no files.
        """
        self._check_folder()
        with locked_folder(self.path, "searching in", "another directory (--directory)"):
            yield


def _flat(config):
    """A configuration, with what is in its recipe, its space and its task under names of their own."""
    nested = {name: value for name, value in config.items() if isinstance(value, dict)}
    inner = {f"{name}.{key}": value for name, values in nested.items() for key, value in values.items()}
    return {**{name: value for name, value in config.items() if name not in nested}, **inner}


def _foreign(path, received):
    return (
        f"{path} must be the configuration of a search, as a search writes it. Received: {received}. Nothing was "
        "changed: choose another directory (--directory), or move that file away."
    )
