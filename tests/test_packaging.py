"""What users install, cite and check: types of the public API, the conda recipe, CITATION.cff, the workflows."""

import configparser
import inspect
import re

import pytest
from helpers import ROOT

import keras_hypernet as kh
from keras_hypernet import data, experiments

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
ROOMS = [kh, kh.bases, data, experiments, kh.layers, kh.models, kh.serving, kh.tasks, kh.theory, kh.training]
ROOMS += [kh.tuning, kh.zoo]
# The methods that the docs call. Those that Keras calls, such as `build`, are as Keras has them: without types.
METHODS = {
    "generate",
    "apply",
    "encode",
    "num_parameters",
    "save_to_preset",
    "from_preset",
    "predict",
    "generate_weights",
}


def _read(path):
    return pytest.importorskip("yaml").safe_load((ROOT / path).read_text(encoding="utf-8"))


def _lines(section, option):
    return [line for line in SETUP[section][option].splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_public_functions_have_types(room):
    """mypy, in CI, checks what these types say: `tests/typed_calls.py`."""
    for name in room.__all__:
        thing = getattr(room, name)
        if inspect.isclass(thing):
            own = {key: getattr(value, "__func__", value) for key, value in vars(thing).items()}
            functions = [own[key] for key in {"__init__", *METHODS} & set(own)]
        else:
            functions = [thing] if inspect.isfunction(thing) else []
        for function in functions:
            untyped = set(inspect.signature(function).parameters) - {"self", "cls"} - set(function.__annotations__)
            assert not untyped, (function.__qualname__, untyped)
            assert "return" in function.__annotations__, function.__qualname__


@pytest.mark.regression
def test_every_room_is_installed():
    """A room without a line in setup.cfg is missing from the wheel, where `import keras_hypernet` fails."""
    rooms = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "keras_hypernet").rglob("__init__.py")}
    assert rooms | {"keras_hypernet._zoo", "keras_hypernet_cli"} == set(_lines("options", "packages"))


def test_the_types_are_installed():
    assert "py.typed" in SETUP["options.package_data"]["keras_hypernet"].split()
    assert (ROOT / "keras_hypernet" / "py.typed").is_file()


def test_the_conda_recipe_has_the_requirements_of_the_package():
    recipe = _read("conda/recipe.yaml")
    (python,) = _lines("options", "python_requires")
    assert recipe["context"]["version"] == kh.__version__
    required = [re.sub("(?=[<>=])", " ", line, count=1) for line in _lines("options", "install_requires")]
    assert recipe["requirements"]["run"] == [f"python {python}", *required]
    assert recipe["requirements"]["host"][0] == f"python {python}"
    assert recipe["build"]["python"]["entry_points"] == _lines("options.entry_points", "console_scripts")
    assert recipe["about"]["summary"] == SETUP["metadata"]["description"]


def test_the_conda_recipe_is_rendered():
    """By rattler-build, which knows the fields of a recipe."""
    rattler_build = pytest.importorskip("rattler_build")
    (variant,) = rattler_build.Stage0Recipe.from_file(ROOT / "conda" / "recipe.yaml").render()
    assert str(variant.recipe.package.version) == kh.__version__


def test_citation_names_the_project_and_the_paper():
    citation = _read("CITATION.cff")
    assert citation["license"] == SETUP["metadata"]["license"]
    assert citation["authors"] == [{"name": SETUP["metadata"]["author"]}]
    (paper,) = citation["references"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{{{paper['title']}}}" in readme
    assert " and ".join(f"{each['family-names']}, {each['given-names']}" for each in paper["authors"]) in readme


def test_workflows_take_the_versions_of_python_that_setup_cfg_names():
    ci, release = (_read(f".github/workflows/{name}.yml") for name in ("ci", "release"))
    versions = re.findall(r":: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    assert ci["jobs"]["run"]["strategy"]["matrix"]["python"] == versions
    assert ci["jobs"]["run"]["steps"][-1] == {"run": ".ci/run"}
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    steps = [step for workflow in (ci, release) for job in workflow["jobs"].values() for step in job["steps"]]
    for step in steps:
        assert re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", step.get("uses", "a/b@v1.0.0")), step
