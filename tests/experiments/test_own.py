"""Experiments of a user's own: a file through the commands, an object in Python, and files that are refused."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import ROOT
from tiny_grid import plain

import keras_hypernet as kh
from keras_hypernet.data import arrays
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.drawing import draw
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.runner import _make_job, execute, run

FILE = """
import own_task

from keras_hypernet import Recipe
from keras_hypernet.experiments import Experiment, Measurement
from keras_hypernet.experiments.experiment import train_and_measure


def setup(panel, method, value, seed, quick):
    return own_task.Mine(panel), Recipe(width=4, depth=value, seed=seed, epochs=1)


def measure(task, method, recipe):
    return {**train_and_measure(task, method, recipe), "depths": recipe.depth}


EXPERIMENT = Experiment(
    name="NAME",
    figure=None,
    title="The depth of my own task",
    varies="depth",
    values=(2, 3),
    panels=("inner",),
    seeds=1,
    setup=setup,
    quick_panels=("inner",),
    quick_values=(2,),
    measure=Measurement(measure, also=("depths",)),
)
"""
TASK = """
import dataclasses

from keras_hypernet.tasks import SyntheticTask


@dataclasses.dataclass(frozen=True)
class Mine(SyntheticTask):
    name = "mine"
    dim: int = 4
    num_train: int = 64
    num_validation: int = 16
    num_test: int = 16
"""


@pytest.fixture
def file(tmp_path):
    """The file of an experiment, beside the file of its task; modules of earlier tests are forgotten."""
    before = set(sys.modules)
    path = sys.path.copy()
    (tmp_path / "own_task.py").write_text(TASK)
    file = tmp_path / f"own_{tmp_path.name}.py"
    file.write_text(FILE.replace("NAME", tmp_path.name))
    yield file
    sys.path[:] = path
    for name in {"own_task", file.stem} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.full
def test_a_file_is_run_resumed_and_drawn(file, run_command, monkeypatch):
    monkeypatch.chdir(file.parent)
    file.write_text(file.read_text().replace("values=(2, 3)", "values=(2,)"))
    arguments = ["experiment", f"./{file.name}"]
    done = run_command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    experiment = get_experiment(str(file))
    expected = [json.loads(json.dumps(execute(config, experiment))) for config in experiment.runs()]
    assert [row["test"] for row in rows] == pytest.approx([row["test"] for row in expected], rel=1e-4)
    assert {(row["task"], row["metric"], row["depths"] == row["depth"]) for row in rows} == {("mine", "mse", True)}
    results = file.parent / "results" / f"{experiment.name}.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[1:]))
    assert run_command(*arguments).returncode == 2  # there are results
    resumed = run_command(*arguments, "--resume", "--json")  # with the threads of before
    assert plain(json.loads(resumed.stdout)) == plain(rows)
    drawn = run_command("plot", f"./{file.name}", "--json")
    assert drawn.returncode == 0, drawn.stderr
    assert [path.rpartition(".")[2] for path in json.loads(drawn.stdout)] == ["png", "svg", "csv"]


def test_an_experiment_in_no_file_runs_in_this_process_alone(file, tmp_path):
    copy = dataclasses.replace(get_experiment(str(file)), name="copy", values=(2,), methods=("hyper",))
    (row,) = run(copy, tmp_path / "results", progress=False)
    assert (row["experiment"], row["status"], row["depths"]) == ("copy", "finished", 2)
    assert run(copy, tmp_path / "results", progress=False, resume=True) == [row]
    for options in ({"workers": 2}, {"engine": "ray"}):
        with pytest.raises(ValueError, match="'copy', that is not the EXPERIMENT of an imported file"):
            run(copy, tmp_path / "more", **options)
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nx / 0\n", r"cannot be imported: ZeroDivisionError: division by zero \(.*\.py, line 2\)"),
        ("def f(:\n", r"cannot be imported: SyntaxError: .*\.py, line 1\)"),
        ("import sys\nsys.exit(0)\n", "cannot be imported: SystemExit"),
        ("x = 1\n", "must hold an experiment: EXPERIMENT = .* Received: None"),
        (FILE.replace("NAME", "rotation_depth"), "'rotation_depth' is an experiment of this package"),
        (None, "There is no file"),
    ],
)
def test_a_file_that_holds_no_experiment_is_refused(file, run_command, code, message):
    file.unlink() if code is None else file.write_text(code)
    done = run_command("experiment", file)
    assert done.returncode == 2
    assert re.search(message, done.stderr.replace("\n", " ")), done.stderr
    assert get_experiment("rotation_depth").figure == "Fig. 3"


def test_a_file_named_like_another_module_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())  # or processes of later tests would import this json
    (tmp_path / "json.py").write_text(FILE)
    before = sys.path.copy()
    with pytest.raises(ValueError, match=r"'json.py' is also the name of another module.*Rename the file"):
        get_experiment(str(tmp_path / "json.py"))
    assert sys.path == before


@pytest.mark.full
def test_other_processes_find_registered_tasks_and_arrays(tmp_path):
    """The file makes the arrays; only their SHA-256 is in rows."""
    code = FILE.replace("NAME", "own_arrays").replace(
        "import own_task", "import numpy as np\n\nimport product_task\nimport keras_hypernet as kh"
    )
    tasks = (
        "{'product': product_task.Product, 'images': lambda: kh.RotationTask(np.full((30, 5, 5, 1), 7, 'uint8')), "
        "'arrays': lambda: kh.ArrayTask(x=np.eye(30), condition=np.eye(30), y=np.arange(30) / 30)}"
    )
    code = code.replace("own_task.Mine(panel)", f"{tasks}[panel]()")
    code = code.replace('("inner",)', '("product", "images", "arrays")')
    code = code.replace("values=(2, 3),", 'values=(2,),\n    methods=("hyper",),')
    (tmp_path / "own_arrays.py").write_text(code)
    experiment = get_experiment(str(tmp_path / "own_arrays.py"))
    rows = run(experiment, tmp_path / "results", progress=False)
    assert [(row["task"], row["status"]) for row in rows] == [
        (name, "finished") for name in ("product", "rotation", "array")
    ]
    array = kh.ArrayTask(x=np.eye(30), condition=np.eye(30), y=np.arange(30) / 30)
    assert rows[-1]["config"]["task"] == {"name": "array", "sha256": array.sha256}
    assert rows[-1]["data_sha256"] == array.fingerprint()


def test_a_measure_of_ones_own_is_found_with_a_task_of_this_package(file, tmp_path):
    file.write_text(
        file.read_text().replace("own_task.Mine(panel)", "own_task.SyntheticTask(panel, dim=4, num_train=64)")
    )
    experiment = get_experiment(str(file))
    (row,) = run(dataclasses.replace(experiment, values=(2,), methods=("hyper",)), tmp_path / "here", progress=False)
    assert row["depths"] == 2
    job = _make_job(experiment, experiment.runs())
    assert job.sources == (str(file),)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../escape"},
        {"varies": "seed"},
        {"varies": "test"},
        {"panels": ("inner")},
        {"values": ()},
        {"values": [None]},
        {"values": np.ones((2, 2))},
        {"extra_values": {"inner": ()}},
        {"seeds": 0},
        {"setup": None},
    ],
    ids=str,
)
def test_an_experiment_that_no_grid_can_be_made_of_is_refused(file, change):
    (field,) = change
    with pytest.raises(ValueError, match=f"`{field}` must be .* Received: "):
        dataclasses.replace(get_experiment(str(file)), **change)


def test_numpy_makes_the_grid(file):
    of_python = get_experiment(str(file))
    grid = {"values": np.arange(2, 4), "quick_values": range(2, 3), "panels": np.array(["inner"]), "seeds": np.int64(1)}
    of_numpy = dataclasses.replace(of_python, **grid, extra_values={"inner": np.arange(4, 6)})
    assert of_numpy == dataclasses.replace(of_python, quick_values=(2,), extra_values={"inner": (4, 5)})
    assert json.dumps(of_numpy.runs()[:4]) == json.dumps(of_python.runs())
    assert json.dumps(of_python.runs(values=np.arange(2, 4), seeds=np.int64(1))) == json.dumps(of_python.runs())
    with pytest.raises(ValueError, match="`values` must be a tuple of at least one number or text"):
        of_python.runs(values=np.arange(0))


def test_the_quick_grid_of_own_images_is_drawn(tmp_path, monkeypatch):
    """By another process than the one that ran the grid, whose arrays `setup` makes anew."""
    pytest.importorskip("matplotlib")

    def setup(panel, method, value, seed, quick):
        return kh.RotationTask(np.full((30, 5, 5, 1), quick, "uint8")), kh.Recipe(width=4, depth=value, seed=seed)

    experiment = dataclasses.replace(
        get_experiment("rotation_depth"), name="own_images", figure=None, setup=setup, quick_panels=("mine",)
    )
    for config in experiment.runs(quick=True):
        ResultsFile(tmp_path / "own_images.jsonl").append(make_row(config, {"test": config["depth"] / 8}))
    monkeypatch.setattr(arrays, "_KEPT", {})
    paths, sentences = draw(experiment, tmp_path)
    depths = experiment.quick_values
    assert (sentences, paths[0].read_bytes()[:4]) == ([], b"\x89PNG")
    assert paths[2].read_text().splitlines()[1:] == [
        f"mine,{series},{depth},{depth / 8:g},,1,0"
        for series in ("hypernetwork", "embedding method")
        for depth in depths
    ]


def test_two_files_with_an_experiment_of_one_name_are_refused(file, tmp_path):
    other = file.with_name(f"{file.stem}_again.py")
    other.write_text(file.read_text().replace("values=(2, 3)", "values=(2, 4)"))
    get_experiment(str(file))
    again = get_experiment(str(other))
    with pytest.raises(ValueError, match="Another file that was loaded has an experiment of this name"):
        run(again, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.full
def test_ray_loads_the_file(file, tmp_path):
    pytest.importorskip("ray")
    file.write_text(file.read_text().replace("values=(2, 3),", 'values=(3,),\n    methods=("hyper",),'))
    (row,) = run(get_experiment(str(file)), tmp_path / "ray", engine="ray", progress=False)
    assert row["depths"] == 3


@pytest.mark.full
def test_the_example_of_the_docs_survives_a_kill(tmp_path):
    """The file that docs/experiments.md shows, with small values, in an empty folder: killed, resumed, drawn."""
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for shown, small in (
        (" values=(16, 64, 256)", " values=(128, 256)"),
        ("seeds=3", "seeds=1"),
        ("else 10", "else 1"),
    ):
        assert example.count(shown) == 1
        example = example.replace(shown, small)
    (tmp_path / "my_batch_size.py").write_text(example)
    command = [sys.executable, "-m", "keras_hypernet_cli"]
    arguments = [*command, "experiment", "./my_batch_size.py"]
    results = tmp_path / "results" / "my_batch_size.jsonl"
    with subprocess.Popen(arguments, cwd=tmp_path) as process:
        while process.poll() is None and not (results.exists() and results.stat().st_size):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = results.read_text().splitlines()
    done = subprocess.run([*arguments, "--resume", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = [json.dumps(row) for row in json.loads(done.stdout)]
    assert len(rows) == 4
    assert {json.dumps(json.loads(line)) for line in kept} <= set(rows)
    subprocess.run([*command, "plot", "./my_batch_size.py"], cwd=tmp_path, check=True)
    assert results.with_suffix(".png").is_file()
    assert not (tmp_path / "results" / "README.md").exists()  # the verdicts on the paper's claims
