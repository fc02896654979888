"""`keras-hypernet experiment` and `plot`: rows, table, figures, exit codes, and errors of one line."""

import functools
import json
import os

import pytest

from keras_hypernet.experiments import NAMES, get_experiment
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.runner import execute
from keras_hypernet.runs.engines import LocalWorkers


@pytest.fixture
def command(monkeypatch, run_command, tmp_path):
    """Returns a function that runs a command in this process, in a folder of its own."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return run_command


@pytest.fixture
def run(command):
    """Returns a function that runs `keras-hypernet experiment`."""
    return functools.partial(command, "experiment")


@pytest.mark.full
def test_a_run_is_printed_as_json_with_its_progress(run, tmp_path):
    arguments = ["assumption_2", "--quick", "--values", "1:1", "--out", tmp_path]
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["experiment"], row["panel"], row["width"], row["status"]) == ("assumption_2", "digits", 1, "finished")
    assert done.stderr.splitlines() == [
        "assumption_2: 0/1 runs, -:--:-- left",
        f"assumption_2: 1/1 runs, 0:00:00 left, best network {row['test']:.4g}",
    ]
    assert [json.loads(line) for line in (tmp_path / "assumption_2.jsonl").read_text().splitlines()] == [row]


def test_rows_that_are_there_are_printed_as_json_and_as_a_table(run, tmp_path):
    (config,) = get_experiment("assumption_2").runs(values=(1,), quick=True)
    row = make_row(config, {"test": 0.2468})
    ResultsFile(tmp_path / "assumption_2.jsonl").append(row)
    arguments = ["assumption_2", "--quick", "--values", "1:1", "--out", tmp_path]
    assert json.loads(run(*arguments, "--json").stdout) == [row]
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "assumption_2: 1/1 runs are there already; none is repeated.\n"
    assert "0.2468" in done.stdout
    advice = done.stdout.splitlines()[-1]
    assert advice.endswith(f"draw them with keras-hypernet plot assumption_2 --results {tmp_path}")


@pytest.mark.full
def test_rows_are_run_again_and_compared(run, tmp_path):
    (config,) = get_experiment("baseline").runs(panels=["d100_h10"], values=["constant"], seeds=1)
    row = execute(config)
    ResultsFile(tmp_path / "baseline.jsonl").append(row)
    done = run("baseline", "--out", tmp_path, "--verify", "3", "--json")
    (compared,) = json.loads(done.stdout)
    assert (compared["difference"], compared["again"]["test"], compared["row"]) == (0.0, row["test"], row)
    assert "none" in run("baseline", "--out", tmp_path, "--verify", "1").stdout


def test_short_experiments_share_their_processes(run, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("keras_hypernet.experiments.runner.run", lambda *_, workers, **__: given.append(workers) or [])
    assert run("all", "--quick", "--workers", "2", "--out", tmp_path).returncode == 0
    assert len(given) == len(NAMES)
    assert isinstance(given[0], LocalWorkers)
    assert {*map(id, given)} == {id(given[0])}
    given.clear()
    assert run("all", "--workers", "2", "--out", tmp_path).returncode == 0
    assert given == [2] * len(NAMES)  # the memory of a run is not to count what those of another experiment have left


def test_failed_runs_are_counted_and_make_the_exit_code_1(run, tmp_path):
    file = ResultsFile(tmp_path / "rotation_depth.jsonl")
    for config in get_experiment("rotation_depth").runs(values=(2,), quick=True, seeds=2):
        lost = {"status": "failed", "message": "Lost."}
        file.append(make_row(config, lost if config["seed"] else {"test": 0.25}))
    arguments = ["rotation_depth", "--quick", "--depths", "2", "--seeds", "2", "--resume", "--out", tmp_path]
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout.count("0.2500 (1 diverged or failed)") == 2
    warning = (
        "Warning: 2 of 4 runs failed. To repeat them, remove the lines with the status failed from "
        f"{file.path}, and add --resume. The first message: Lost."
    )
    assert done.stderr.splitlines() == ["rotation_depth: 4/4 runs are there already; none is repeated.", warning]
    done = run(*arguments, "--json")
    assert done.returncode == 1
    assert [row["status"] for row in json.loads(done.stdout)] == 2 * ["finished"] + 2 * ["failed"]
    assert done.stderr.splitlines() == ["rotation_depth: 4/4 runs are there already; none is repeated.", warning]
    assert run(*arguments[:-5], "--seeds", "1", "--out", tmp_path).returncode == 0  # none of this call


def test_diverged_runs_are_results(run, tmp_path):
    file = ResultsFile(tmp_path / "rotation_depth.jsonl")
    for config in get_experiment("rotation_depth").runs(values=(2,), quick=True):
        file.append(make_row(config, {"status": "diverged", "message": "The loss became nan."}))
    done = run("rotation_depth", "--quick", "--depths", "2", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "rotation_depth: 2/2 runs are there already; none is repeated.\n")


@pytest.mark.full
def test_data_that_are_not_there_are_an_error_and_no_rows(run, monkeypatch, tmp_path):
    """In a process whose only network is a proxy that does not answer."""
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = run("rotation_depth", "--depths", "2", "--seeds", "1")
    assert (done.returncode, done.stdout) == (2, "")
    begun, line = done.stderr.splitlines()
    assert begun == "rotation_depth: 0/6 runs, -:--:-- left"  # three panels, two methods
    assert line.startswith("Error: A process cannot execute runs: The data set ")
    assert "Set TFDS_DATA_DIR to a folder where TensorFlow Datasets has prepared it" in line
    assert (tmp_path / "results" / "rotation_depth.jsonl").read_text() == ""


def test_all_looks_for_results_before_it_runs_anything(run, tmp_path):
    for name in ("rotation_depth", "neural_process"):
        ResultsFile(tmp_path / "results" / f"{name}.jsonl").append({"a": "row"})
    done = run("all")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "Error: There are results already, results/rotation_depth.jsonl, results/neural_process.jsonl: add to them "
        "(--resume), or choose another folder (--out)."
    ]
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_all_figures_are_drawn_but_those_without_results(command, tmp_path):
    file = ResultsFile(tmp_path / "assumption_2.jsonl")
    for config in get_experiment("assumption_2").runs(values=(1, 2), seeds=1):
        file.append(make_row(config, {"test": 0.5}))
    file = ResultsFile(tmp_path / "learning_rate.jsonl")
    file.append(make_row(get_experiment("learning_rate").runs()[0], {"status": "failed", "message": "Lost."}))
    (tmp_path / "rotation_depth.jsonl").touch()
    done = command("plot", "all", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    files = ["assumption_2.png", "assumption_2.svg", "assumption_2.csv", "README.md"]
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in files]
    warnings = done.stderr.splitlines()
    for name in NAMES:
        sentence = f"Warning: There are no results of {name} in {tmp_path}. Run `keras-hypernet experiment {name}`."
        assert warnings.count(sentence) == (name != "assumption_2")
    assert len(warnings) == len(NAMES) - 1
    for name in ("rotation_depth", "learning_rate", "initialization"):
        done = command("plot", name, "--results", tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"Error: There are no results of {name} in {tmp_path}.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rotation_dept"], "There is no experiment 'rotation_dept'; did you mean rotation_depth"),
        (
            ["rotation_depth", "--depths", "5:2"],
            "--values must be a tuple of at least one number or text.",
        ),
        (
            ["rotation_depth", "--depths", "2:x"],
            "takes a range, 2:9 (both ends), or choices, 2,4,8. Received: '2:x'",
        ),
        (
            ["rotation_depth", "--depths", "two"],
            "takes a range, 2:9 (both ends), or choices, 2,4,8. Received: 'two'",
        ),
        (["rotation_depth", "--depths", "1:3"], "--depths must be an integer of at least 2. Received: 1"),
        (["rotation_depth", "--depths", "2.5"], "--depths must be an integer of at least 2. Received: 2.5"),
        (
            ["all", "--depths", "2:9"],
            "from experiment to experiment: name the experiment. Received: all, with 2:9",
        ),
        (
            ["all", "--panels", "mnist"],
            "from experiment to experiment: name the experiment. Received: all, with mnist",
        ),
        (["rotation_depth", "--panels", "mnist,uniform"], "are mnist, mnist_width_100, cifar10. Received: 'uniform'"),
        pytest.param(
            ["rotation_depth", "--quick", "--panels", "mnist"],
            "The panels of rotation_depth, with --quick, are digits. Received: 'mnist'. Without --quick they are "
            "mnist, mnist_width_100, cifar10",
            marks=pytest.mark.regression,
        ),
        (
            ["rotation_depth", "--panels", ""],
            "The panels of rotation_depth are mnist, mnist_width_100, cifar10. Received: ''",
        ),
        (["rotation_depth", "--seeds", "0"], "--seeds must be an integer of at least 1. Received: 0"),
        (["rotation_depth", "--workers", "0"], "There must be at least one worker. Received: 0"),
        (["rotation_depth", "--engine", "slurm"], "--engine must be one of ('local', 'ray'). Received: 'slurm'"),
        (["rotation_depth", "--engine", "ray", "--workers", "2"], "--workers must be left out with the engine"),
        (["rotation_depth", "--address", "auto"], "--address is the address of a Ray cluster"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, tmp_path, arguments, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_results_are_added_to_on_request_only(run, tmp_path):
    experiment = get_experiment("rotation_depth")
    file = ResultsFile(tmp_path / "results" / "rotation_depth.jsonl")
    file.append(make_row(experiment.runs()[0], {"test": 0.5}))
    done = run("rotation_depth")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "Error: results/rotation_depth.jsonl holds results already: go on with them (--resume), or choose another "
        "folder (--out)."
    ]
    with file.locked():
        done = run("rotation_depth", "--resume")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: Another process is adding to results/rotation_depth.jsonl. Wait until it is done")


def test_the_help_names_all_experiments(run):
    text = " ".join(run("--help").stdout.replace("│", " ").split())
    assert all(name in text for name in NAMES)
    assert "keras-hypernet experiment rotation_depth --depths 2:9 --seeds 5 --workers 2 --resume" in text
