"""Repository: the served models, whose versions are loaded and unloaded while requests run."""

import contextlib
import dataclasses
import gc
import pathlib
import threading

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from keras_hypernet.serving.config import MODELS, check_contained, find_graph, read_models_config, version_folders
from keras_hypernet.serving.errors import ServingError, invalid
from keras_hypernet.serving.local import events
from keras_hypernet.serving.local.servable import Servable


@dataclasses.dataclass
class _Version:
    state: str = "LOADING"  # LOADING, AVAILABLE, UNLOADING or END, as in TensorFlow Serving
    error: str = ""
    servable: Servable | None = None
    users: int = 0
    files: dict | None = None  # before loading; a failed version is loaded again if its files change


class Repository:
    """Models in `<folder>/<name>/<version>/`, and their loaded versions.

    `models.config` in the folder selects the served versions (`model_version_policy`, by default the latest) and labels
    some of them (`version_labels`). `on_unload` is called with name and version when a version is no longer used.
    Raises ValueError if there are no names, or a name is not that of a folder in `folder`; and ServingError for an
    unknown model, version or label.
    """

    def __init__(self, folder, names, on_unload=lambda name, version: None):
        self.folder = pathlib.Path(folder).resolve()
        self._on_unload = on_unload
        self._lock = threading.Lock()
        self._config, self._config_changed = {}, None
        self._models = {name: {} for name in names}
        if not self._models:
            raise ValueError("There is no model to serve: name one or more.")
        for name in self._models:
            # The folder of a model may be a link of its owner, but a name must not lead elsewhere.
            plain = name not in ("", "..") and pathlib.PurePath(name).name == name
            if not plain or not (self.folder / name).is_dir():
                raise ValueError(f"There is no folder {name!r} in {self.folder}: export the model first.")

    def names(self):
        return list(self._models)

    def poll(self):
        """Loads new versions, then unloads old ones, each after its last request.

        If a folder cannot be read, its loaded versions stay, the other models are updated, and OSError is raised. One
        thread polls at a time.
        """
        failures, there = [], {path.name for path in self.folder.iterdir()}
        self._read_config()
        for name in self._models:
            try:
                self._poll_model(name, self._wanted(name) if name in there else {})
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    @contextlib.contextmanager
    def use(self, name, version=None, label=None):
        """Yields the `Servable` of a version, by default the latest, which stays loaded during the block."""
        with self._lock:
            used = self._find(name, version, label)
            used.users += 1
        try:
            yield used.servable
        finally:
            with self._lock:
                used.users -= 1
            self._end_if_unused(used)

    def status(self, name, version=None, label=None):
        """Returns `(version, state, error)` of all versions of a model, the latest first, or of one version."""
        versions = {each[0]: each for each in self.states().get(name, ())}
        version = self._number(name, version, label, versions)
        if version is not None and version not in versions:
            raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")
        if not versions:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        return list(versions.values()) if version is None else [versions[version]]

    def states(self):
        """Returns a dict from the name of each model to the `(version, state, error)` of its versions, latest first."""
        with self._lock:
            return {
                name: [(number, versions[number].state, versions[number].error) for number in sorted(versions)[::-1]]
                for name, versions in self._models.items()
            }

    def unavailable(self):
        """The names of the models without an available version."""
        states = {name: {state for _, state, _ in versions} for name, versions in self.states().items()}
        return [name for name in states if "AVAILABLE" not in states[name]]

    def _find(self, name, version, label):
        available = {n: v for n, v in self._models.get(name, {}).items() if v.state == "AVAILABLE"}
        version = self._number(name, version, label, available)
        if version is None and available:
            return available[max(available)]
        if version not in available:
            request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {request}")
        return available[version]

    def _number(self, name, version, label, versions):
        """The version that a request asks for, or None for the latest."""
        if label is not None:
            labels = self._config.get(name, ModelConfig()).version_labels
            if label not in labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            return labels[label]
        # Clients of OpenVINO Model Server request version 0 for the latest.
        return None if version == 0 and 0 not in versions else version

    def _read_config(self):
        # A file that is gone, empty or broken may be about to be replaced: the configuration stays, as in TF Serving.
        path = self.folder / MODELS
        if not path.is_file():
            return
        facts = path.stat()
        changed = (facts.st_size, facts.st_mtime_ns)  # two writes of one moment may have the same time
        if changed != self._config_changed:
            self._config_changed = changed
            try:
                self._config = read_models_config(path)
            except ValueError as error:
                events.log("models.config is not read", failed=True, error=str(error))

    def _poll_model(self, name, wanted):
        versions = self._models[name]
        for number, folder in wanted.items():
            self._load(name, number, folder)
        if not wanted or any(versions[number].state == "AVAILABLE" for number in wanted):
            for version in [version for number, version in versions.items() if number not in wanted]:
                with self._lock:
                    if version.state == "AVAILABLE":
                        version.state, version.files = "UNLOADING", None
                self._end_if_unused(version)

    def _wanted(self, name):
        """The versions to serve that are on the disk, the newest first, and their folders."""
        base = (self.folder / name).resolve()  # at every poll, because the target of a link may change
        # A folder without a graph is still being written.
        complete = {number: path for number, path in version_folders(base).items() if find_graph(path) is not None}
        newest = sorted(complete, reverse=True)
        policy = self._config.get(name, ModelConfig()).model_version_policy
        if policy.HasField("specific"):
            newest = [version for version in newest if version in policy.specific.versions]
        elif not policy.HasField("all"):
            newest = newest[: max(1, policy.latest.num_versions)]
        return {version: complete[version] for version in newest}

    def _load(self, name, number, folder):
        versions = self._models[name]
        known = versions.get(number, _Version("END"))
        if known.state != "END" or known.files == (files := _files(folder)):
            return
        version = _Version(files=files)
        with self._lock:
            versions[number] = version
        try:
            check_contained(folder, folder.parent)
            servable = Servable(name, number, folder)
        except Exception as error:  # after any failure, the other versions are served
            message = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            with self._lock:
                version.state, version.error = "END", message
            events.log("not loaded", failed=True, model=name, version=number, error=message)
            return
        with self._lock:
            version.servable, version.state = servable, "AVAILABLE"
        events.log("loaded", model=name, version=number)

    def _end_if_unused(self, version):
        with self._lock:
            if version.state != "UNLOADING" or version.users:
                return
            servable, version.servable, version.state = version.servable, None, "END"
        self._on_unload(servable.name, servable.version)
        events.log("unloaded", model=servable.name, version=servable.version)
        del servable
        gc.collect()  # a loaded graph and its weights are in reference cycles


def _files(folder):
    """The size and the time of each file of a version; some files may still be missing."""
    files = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            facts = path.lstat()  # a link may lead to itself
            files[path] = (facts.st_size, facts.st_mtime_ns)
    return files
