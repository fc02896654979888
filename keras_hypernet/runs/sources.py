"""load_source: the code and the arrays of a user, which each process loads before its first run."""

import importlib
import pathlib
import sys
import traceback

from keras_hypernet.data import arrays
from keras_hypernet.tasks import is_of_package

_loaded = {}


def load_source(source):
    """Imports a module by its name or a `.py` file by its path, or reads a `.npz` file of arrays; once in each process.

    The file's name is the module's name. The file's folder joins `sys.path`, as for a script, so that the file imports
    files beside itself. Raises ValueError if there is no such file, its name is that of another module, its code raises
    an exception, or its arrays are damaged.
    """
    if source.endswith(".npz"):
        return arrays.read(source)
    if source not in _loaded:
        _loaded[source] = _import_file(pathlib.Path(source)) if source.endswith(".py") else _import(source, source)
    return _loaded[source]


def loaded_modules():
    """The modules that `load_source` has imported into this process."""
    return _loaded.values()


def source_of(module):
    """Returns what `load_source` needs in another process: the path of a user's file, or the name of a module."""
    file = getattr(module, "__file__", None)
    is_file = file and file.endswith(".py") and "." not in module.__name__ and not hasattr(module, "__path__")
    return str(pathlib.Path(file).resolve()) if is_file else module.__name__


def task_sources(task, folder):
    """Returns what another process loads, by `load_source`, to make a registered task from its configuration.

    Nothing for a task of this package; the module of a class of the user's own; and the file of the task's arrays,
    which is written into the folder.
    """
    sources = () if is_of_package(task) else (source_of(sys.modules[type(task).__module__]),)
    return (*sources, str(arrays.write(task.arrays_sha256, folder))) if task.arrays_sha256 else sources


def _import_file(path):
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    if not path.stem.isidentifier():
        raise ValueError(
            f"The name of a Python file must be a name of Python, such as my_depth.py. Received: {path.name!r}"
        )
    earlier = sys.path.copy()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
        importlib.invalidate_caches()
    try:
        module = _import(path.stem, path)
        if pathlib.Path(getattr(module, "__file__", None) or "").resolve() != path:
            raise ValueError(f"{path.name!r} is also the name of another module, {module}. Rename the file.")
    except ValueError:
        sys.path[:] = earlier  # other processes, which begin with this path, would find the file under that name
        raise
    return module


def _import(name, source):
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # of the user's code
        where = ""  # a SyntaxError says its place itself
        if not isinstance(error, SyntaxError):
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f" ({frame.filename}, line {frame.lineno})"
        raise ValueError(f"{str(source)!r} cannot be imported: {type(error).__name__}: {error}{where}.") from error
