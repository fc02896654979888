"""load_source: the code of a user, which each process loads before its first run."""

import importlib
import pathlib
import sys
import traceback

_loaded = {}


def load_source(source):
    """Imports a module by its name, or a `.py` file by its path; a second call returns the same module.

    The file's name is the module's name. The file's folder joins `sys.path`, as for a script, so that the file imports
    files beside itself.

    Raises:
        ValueError: If there is no such file, its name is that of another module, or its code raises an exception.
    """
    if source not in _loaded:
        _loaded[source] = _import_file(pathlib.Path(source)) if source.endswith(".py") else _import(source, source)
    return _loaded[source]


def loaded_modules():
    """The modules that `load_source` has imported into this process."""
    return _loaded.values()


def source_of(module):
    """Returns what `load_source` needs in another process: the path of a user's file, or the name of a module."""
    file = getattr(module, "__file__", None)
    return (
        str(pathlib.Path(file).resolve())
        if file and file.endswith(".py") and "." not in module.__name__
        else module.__name__
    )


def _import_file(path):
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    if not path.stem.isidentifier():
        raise ValueError(
            f"The name of a Python file must be a name of Python, such as my_depth.py. Received: {path.name!r}"
        )
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
        importlib.invalidate_caches()
    module = _import(path.stem, path)
    if pathlib.Path(getattr(module, "__file__", None) or "").resolve() != path:
        raise ValueError(f"{path.name!r} is also the name of another module, {module}. Rename the file.")
    return module


def _import(name, source):
    try:
        return importlib.import_module(name)
    except Exception as error:  # of the user's code
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"{str(source)!r} cannot be imported: {type(error).__name__}: {error} ({frame.filename}, line "
            f"{frame.lineno})."
        ) from error
