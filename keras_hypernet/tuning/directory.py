"""SearchDirectory: the folder of a search, and what keeps two searches from sharing one."""

import contextlib
import pathlib
import uuid

from keras_hypernet.files import locked_folder, remove_folder, replacing, write_json
from keras_hypernet.parsing import check_schema, parse_json

# What every configuration of a search has.
_TYPES = {
    **{name: {"type": "object"} for name in ("task", "space", "recipe")},
    **{name: {"type": "string"} for name in ("oracle", "objective")},
    "method": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}
_CONFIG = {"type": "object", "required": list(_TYPES), "properties": _TYPES}
# What is written there of its trials. An entry stays: its card says what made it.
_MADE_OF_TRIALS = ("trials.csv", "depth.png", "parallel.png")
# For how many seconds a worker waits for others of its machine, which make the folder theirs at the same moment.
_PATIENCE = 10.0


class SearchDirectory:
    """The folder of a search: `search.json`, its configuration; `trials/`, keras-tuner's; `tensorboard/`.

    Args:
        path: Path of the folder, which need not exist.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @property
    def trials(self):
        """Folder of keras-tuner's files."""
        return self.path / "trials"

    def identifier(self):
        """What tells this search from all others, equal ones included; None if the folder holds none."""
        path = self.trials / "identifier"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def config(self):
        """Returns the configuration of the search that the folder holds, or None.

        Raises:
            ValueError: If `search.json` is not that of a search, or the path is not that of a folder.
        """
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

    def claim(self, config, resume, overwrite, identifier=None):
        """Makes it the folder of a search. More trials than before are no other search.

        Args:
            config: Its configuration: a dict that JSON can hold.
            resume: Whether to go on with the same search if the folder holds it.
            overwrite: Whether to delete a search that the folder holds, the same or another one.
            identifier: That of the search, if another process has begun it.

        Raises:
            ValueError: If the folder holds a search that is neither to be resumed nor to be deleted, or something that
                is not a search. Nothing is deleted then.
        """
        held = self.config()
        if held is None:
            strangers = [path.name for path in self.path.glob("*")]
            if strangers:
                raise ValueError(
                    f"{self.path} is not empty and holds no search, but {', '.join(sorted(strangers)[:3])}: choose "
                    "another directory (--directory)."
                )
        elif overwrite:
            # The configuration goes last: whenever this is interrupted, the folder is still one of a search.
            self._clear()
            for name in _MADE_OF_TRIALS:
                (self.path / name).unlink(missing_ok=True)
        elif self._is_of_a_worker():
            self._clear()
        else:
            self.check(config)
            if not resume:
                raise ValueError(
                    f"{self.path} holds this search already: go on with it (--resume), start anew (--overwrite), or "
                    "choose another directory (--directory)."
                )
        write_json(self.path / "search.json", config)
        if self.identifier() is None:
            with replacing(self.trials / "identifier") as temporary:
                temporary.write_text(identifier or uuid.uuid4().hex, encoding="utf-8")

    def join(self, config, overwrite, identifier):
        """Makes it the folder of a worker, unless it is that of its chief, too, or its own from an earlier start.

        What a worker has left of another search, an equal one included, is deleted: its trials have the same numbers.

        Args:
            config: The configuration of the search, for the worker.
            overwrite: Whether to delete a search that the folder holds, if it is not the chief's.
            identifier: That of the chief's search.

        Raises:
            ValueError: If the folder holds another search, which was made there, or something that is not a search.
        """

        def joined():
            if self.identifier() != identifier:
                return False
            return not self._is_of_a_worker() or self.config() == config

        if not joined():
            with self.locked(_PATIENCE):
                if not joined():
                    self.claim(config, False, overwrite, identifier)
        self.check(config)

    def _is_of_a_worker(self):
        """Whether it holds what a worker left whose chief was elsewhere: checkpoints, and no result."""
        results = (self.trials / "oracle.json").exists() or any(self.trials.glob("trial_*/trial.json"))
        return self.identifier() is not None and not results

    def _clear(self):
        for folder in (self.trials, self.path / "tensorboard"):
            if folder.exists():
                remove_folder(folder)  # in one step: a worker of the search that was there may still be writing

    def check(self, config):
        """Raises ValueError if the folder holds another search than this."""
        held, config = _flat(self.config() or config), _flat(config)
        names = [name for name in {**held, **config} if name != "trials" and held.get(name) != config.get(name)]
        if names:
            was, asked = ({name: what.get(name) for name in names} for what in (held, config))
            raise ValueError(
                f"{self.path} holds another search, {was}, and nothing of it was changed. Asked for: {asked}. Choose "
                "another directory (--directory), or delete that search (--overwrite)."
            )

    @contextlib.contextmanager
    def locked(self, seconds=0.0):
        """Keeps other processes from running a search in the folder meanwhile, which is created if there is none.

        Args:
            seconds: For how long to wait for another process that does so.

        Raises:
            BusyError: If another process does so.
            ValueError: If the path is that of a file.
            NotWritableError: If the folder takes no files.
        """
        self._check_folder()
        with locked_folder(self.path, "searching in", "another directory (--directory)", seconds):
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
