"""Imports only point down, and importing the package imports no large library."""

import ast
import operator
import pathlib
import subprocess
import sys

import pytest

import keras_hypernet
import keras_hypernet_cli

PACKAGE = pathlib.Path(keras_hypernet.__file__).parent
COMMAND_LINE = sorted(pathlib.Path(keras_hypernet_cli.__file__).parent.glob("*.py"))

# Each package imports only packages of the lines below its own line.
ORDER = """
    tuning
    experiments
    runs
    serving
    zoo
    training
    continual
    tasks
    models
    data layers
    bases
    theory
    common
    _version
"""
LEVEL = {room: number for number, line in enumerate(ORDER.strip().splitlines()) for room in line.split()}
# What the local server uses of the package that contains it.
SHARED = {"config", "errors", "warmup"}


def _room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(path):
    """Names of the modules that a file imports anywhere, from this package and from others."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module, node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node


TOP = sorted(PACKAGE.glob("*.py"))
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path not in TOP]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = _room(path)
    local = path.is_relative_to(PACKAGE / "serving" / "local")
    assert room in LEVEL, f"{room} has no line in the order"
    for module, node in _imports(path):
        assert module.split(".")[0] != "keras_hypernet_cli", f"{room} imports the command line, which stands above it"
        if module.split(".")[0] != "keras_hypernet":
            continue
        for alias in node.names:
            _, target, *inside = [*module.split("."), alias.name]
            if target != room:
                assert LEVEL[target] > LEVEL[room], f"{room} imports {target}, which stands above it"
            elif room == "serving":
                assert inside[0] in SHARED | {"local"} if local else inside[0] != "local", f"{path} imports {inside}"


def test_the_command_line_imports_the_package_inside_functions_only():
    for path in COMMAND_LINE:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] == "keras_hypernet"], path


@pytest.mark.regression
def test_help_and_usage_errors_import_no_keras():
    """Importing Keras and TensorFlow takes seconds."""
    code = (
        "import sys, keras_hypernet_cli\n"
        "def exit_code(*words):\n"
        "    sys.argv[1:] = words\n"
        "    try:\n        keras_hypernet_cli.main()\n"
        "    except SystemExit as ended:\n        return ended.code\n"
        "assert exit_code('--help') == 0\n"
        "from keras_hypernet_cli.app import app\n"
        "for command in app.registered_commands:\n"
        "    assert exit_code(command.name, '--help') == 0\n"
        "    assert exit_code(command.name, '--nothing') == 2\n"
        "assert exit_code('nothing') == 2\n"
        "heavy = {'keras', 'keras_hypernet', 'numpy', 'tensorflow'}\n"
        "print(len(app.registered_commands), heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "12 set()"


def test_the_package_runs_as_the_command_line():
    alone, package = (folder / "__main__.py" for folder in (COMMAND_LINE[0].parent, PACKAGE))
    assert package.read_text(encoding="utf-8") == alone.read_text(encoding="utf-8").replace(
        "hypernet_cli`", "hypernet`", 1
    )


def test_contraction_imports_no_keras():
    files = PACKAGE / "layers" / "contraction.py", PACKAGE / "common" / "checks.py"
    modules = {module for path in files for module, _ in _imports(path)}
    assert modules == {"keras_hypernet.common.checks", "math", "numbers", "numpy", "typing"}


@pytest.mark.parametrize("path", [*TOP, *FILES], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_they_are_used(path):
    server = {"tensorflow", "tensorflow_serving", "google", "grpc", "starlette", "uvicorn", "prometheus_client"}
    heavy = {"tensorflow_datasets", "matplotlib", "sklearn", "PIL", "jsonschema", "keras_tuner", "requests", *server}
    heavy |= {"ai_edge_litert", "onnx", "onnxruntime", "openvino", "tf2onnx"}
    heavy |= {"huggingface_hub", "jax", "pandas", "ray", "safetensors", "tensorboard", "torch"}
    # The modules of these folders, which extend classes of such libraries, are imported where they are used.
    folders = {PACKAGE / "tuning": {"keras_tuner", "tensorboard"}, PACKAGE / "serving" / "local": server}
    allowed = next((names for folder, names in folders.items() if path.is_relative_to(folder)), set())
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found = heavy & {name.split(".")[0] for name in names}
            assert found <= allowed


def test_no_private_keras_imports():
    for path in [*TOP, *FILES, *COMMAND_LINE]:
        for module, node in _imports(path):
            names = [module, *(f"{module}.{alias.name}" for alias in node.names if isinstance(node, ast.ImportFrom))]
            assert not [name for name in names if name.startswith(("keras.src", "keras_tuner.src"))]


@pytest.mark.parametrize("path", [path for path in FILES if _room(path) == "tuning"], ids=lambda path: path.name)
def test_no_private_attributes_of_keras_tuner(path):
    """Attributes with an underscore are this package's own, on `self`; oracles, which extend others, have none."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert isinstance(node.value, ast.Name), ast.unparse(node)
            assert (path.name, node.value.id) != ("oracles.py", "self"), ast.unparse(node)
            assert node.value.id == "self", ast.unparse(node)


@pytest.mark.regression
def test_only_the_terminal_prints_what_it_is_given():
    """Rich's own console takes text of others for markup."""
    for path in [*FILES, *COMMAND_LINE]:
        names = {f"{module}.{alias.name}" for module, node in _imports(path) for alias in node.names}
        if path.name != "terminal.py":
            assert not names & {"rich.print", "rich.console.Console", "rich.markup.render"}, path


@pytest.mark.full
def test_import_loads_nothing_heavy_that_keras_does_not():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_hypernet; new = set(sys.modules) - before; "
        "heavy = {'tensorflow', 'tensorflow_datasets', 'matplotlib', 'sklearn', 'jsonschema', 'keras_tuner', "
        "'tensorflow_serving', 'grpc', 'starlette', 'uvicorn'}; sys.exit(' '.join(heavy & new) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


def test_public_names_are_documented():
    for name in keras_hypernet.__all__:
        thing = getattr(keras_hypernet, name)
        assert name == "__version__" or thing.__doc__


def test_names_that_the_readme_of_the_first_release_shows_stay():
    names = """
        Hypernetwork EmbeddingMethod ConditionalNeuralProcess specialize RotationTask Recipe paper_recipe build_model
        fit evaluate load list_entries save_entry verify_entry export theory layers.HyperDense
        layers.ConcatenateCondition layers.StandardizeImage initializers.HyperfanIn tasks.SyntheticTask
        serving.Client tuning.search tuning.DepthSearch tuning.SearchResult
    """
    for name in names.split():
        operator.attrgetter(name)(keras_hypernet)
