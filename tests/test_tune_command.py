"""`keras-hypernet tune`: table, figures, entry, an interrupted search, and errors of one line."""

import functools
import inspect
import json
import pathlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from tiny_grid import wait_until
from tiny_search import TASK, plain, tiny_search

import keras_hypernet as kh
from keras_hypernet.cli import main
from keras_hypernet.cli import tuning as command_module
from keras_hypernet.cli.common import command_line

# The command with the tiny task.
SCRIPT = """
import sys
from tiny_search import TASK
from keras_hypernet import tuning
from keras_hypernet.cli import main
tuning.get_search_task = lambda *arguments: TASK
sys.argv[:1] = ["keras-hypernet", "tune"]
main()
"""


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Returns a function that runs `keras-hypernet tune` in this process, in a folder of its own, on a tiny task."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments, tiny=True, command="tune"):
        if tiny:
            monkeypatch.setattr(kh.tuning, "get_search_task", lambda name, seed, quick: TASK, raising=False)
        monkeypatch.setattr(sys, "argv", ["keras-hypernet", command, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        monkeypatch.undo() if not tiny else None
        captured = capfd.readouterr()
        return SimpleNamespace(returncode=stopped.value.code, stdout=captured.out, stderr=captured.err)

    return run


@pytest.fixture
def drawn(monkeypatch):
    """The axes of each figure that is saved, by the names of the files."""
    figure_class, axes = pytest.importorskip("matplotlib.figure").Figure, {}
    save = figure_class.savefig

    def saved(figure, path, **options):
        axes[next(name for name in ("depth", "parallel") if name in str(path))] = figure.axes[0]
        save(figure, path, **options)

    monkeypatch.setattr(figure_class, "savefig", saved)
    return axes


def test_a_search_prints_draws_and_makes_an_entry(run, tmp_path, drawn):
    arguments = ["synthetic_inner", "--method", "both", "--depths", "2:3", "--width", "4", "--epochs", "2"]
    done = run(*arguments, "--directory", "here", "--plot", "--retrain")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(",")[0] for line in lines[:5]] == [f"synthetic: {number}/4 trials" for number in range(5)]
    assert "best validation_mse" in lines[4]
    folder = tmp_path / "here"
    names = {"search.json", "trials", "tensorboard", "trials.csv", "depth.png", "parallel.png", "entry"}
    assert {path.name for path in folder.iterdir()} == names
    assert "grid search: SyntheticTask" in done.stdout
    assert str((folder / "entry").resolve()) in done.stdout
    card = kh.verify_entry(folder / "entry")
    assert card.command == "keras-hypernet " + " ".join(["tune", *arguments, "--directory", "here", "--retrain"])
    trials = kh.tuning.SearchResult.read(folder).trials
    for name in ("depth", "parallel"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert [text.get_text() for text in drawn[name].get_legend().get_texts()] == [
            "hypernetwork",
            "embedding method",
        ]
    points = [list(zip(*line.get_data(), strict=True)) for line in drawn["depth"].lines if line.get_marker() == "o"]
    expected = {
        method: [(row["depth"], row["validation_mse"]) for row in trials if row["method"] == method]
        for method in ("hyper", "embed")
    }
    assert points == [*expected.values()]
    colours = [line.get_color() for line in drawn["parallel"].lines if len(line.get_xdata()) == 2]
    assert len(colours) >= len(trials)
    assert list(drawn["parallel"].get_xticks()) == [0, 1]
    assert [text.get_text() for text in drawn["parallel"].get_xticklabels()] == ["depth", "validation mse"]

    done = run(
        *arguments, "--directory", "here", "--resume", "--json", "--out", "there", "--plot", "--plot-with", "here"
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["config"] == json.loads((folder / "search.json").read_text())
    assert printed["best"]["depth"] in (2, 3)
    assert printed["entry"] is None
    assert [row["status"] for row in printed["trials"]] == ["finished"] * 4
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "depth.png",
        "parallel.png",
        "search.json",
        "trials.csv",
    ]


@pytest.mark.parametrize("more", [[], ["--plot", "--retrain"]])
def test_a_search_without_a_finished_trial_has_the_exit_code_1(run, more):
    options = ["--depths", "2", "--width", "4", "--epochs", "2", "--learning-rate", "1e9,2e9", *more]
    done = run("synthetic_inner", *options)
    assert done.returncode == 1
    assert "Warning: None of 2 trials is finished. The first says: The loss became" in done.stderr
    assert done.stdout.count("diverged") == 2


def test_a_search_that_is_killed_keeps_its_trials_and_repeats_the_one_that_ran(run, tmp_path):
    directory = tmp_path / "killed"
    arguments = ["synthetic_inner", "--depths", "2:4", "--width", "4", "--epochs", "12", "--directory"]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments, str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=pathlib.Path(__file__).parent,
    ) as process:
        wait_until((directory / "trials" / "trial_0001" / "seed-0" / "state.json").exists)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (kept,) = kh.tuning.SearchResult.read(directory).trials
    first = directory / "trials" / "trial_0000" / "trial.json"
    written = (first.stat().st_mtime_ns, first.read_text())

    assert run(*arguments, directory, "--resume").returncode == 0
    found = kh.tuning.SearchResult.read(directory)
    assert found.trials[0] == kept
    assert (first.stat().st_mtime_ns, first.read_text()) == written
    assert [row["depth"] for row in found.trials] == [3, 2, 4]
    assert 0 < found.trials[1]["epochs"] <= 12  # those that were not done
    assert run(*arguments, tmp_path / "whole").returncode == 0
    assert plain(found.trials) == plain(kh.tuning.SearchResult.read(tmp_path / "whole").trials)


@pytest.mark.parametrize("oracle", ["grid", "random", "bayesian", "hyperband"])
def test_every_oracle_goes_on_where_it_was_interrupted(oracle, tmp_path):
    search = functools.partial(tiny_search, "both", oracle, epochs=2, factor=2)
    whole = search(directory=tmp_path / "whole")
    search(directory=tmp_path / "part", trials=2)
    part = search(directory=tmp_path / "part")
    found = [sorted(str({**row, "trial": None}) for row in plain(one.trials)) for one in (part, whole)]
    assert found[0] == found[1]
    assert oracle == "bayesian" or plain(part.trials) == plain(whole.trials)
    assert len({(row["method"], row["depth"], row["total_epochs"]) for row in part.trials}) == len(whole.trials)


def test_a_worker_without_a_chief_says_so(run):
    started = time.monotonic()
    arguments = ["--distributed", "worker", "--address", "127.0.0.1:9", "--wait", "2"]
    done = run("synthetic_inner", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: There is no chief at 127.0.0.1:9 (")
    assert "refused" in line
    assert "), after 2 seconds. Start it first, with --distributed chief" in line
    assert time.monotonic() - started < 30


def test_the_default_wait_for_a_chief_leaves_time_to_start_in_half_a_minute():
    for function in (command_module.tune, kh.tuning.search):
        assert inspect.signature(function).parameters["wait"].default == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rotation_minst"], "There is no task 'rotation_minst' to search the depth for; did you mean rotation_mnist"),
        (["rotation_digits", "--oracle", "genetic"], "--oracle must be one of ('grid', 'random', 'bayesian', 'hyperb"),
        (
            ["rotation_digits", "--depths", "9:2"],
            "--depths must be a range (low, high) of integers with 2 <= low <= hi",
        ),
        (["rotation_digits", "--depths", "1:4"], "2 <= low <= high. Received: (1, 4)"),
        (
            ["rotation_digits", "--depths", "two"],
            "--depths is given as a range, 2:9 (both ends), as choices, 2,4,8, or",
        ),
        (["rotation_digits", "--trials", "0"], "--trials must be an integer of at least 1. Received: 0"),
        (["rotation_digits", "--method", "linear"], "--method must be one of ('hyper', 'embed'), or several"),
        (["rotation_digits", "--objective", "val_f1"], "what the models of the task 'rotation' report. Received: 'va"),
        (["rotation_digits", "--wait", "-1"], "--wait must be a finite number of seconds, at least 0. Received: -1.0"),
        (["rotation_digits", "--wait", "inf"], "--wait must be a finite number of seconds, at least 0. Received: inf"),
        (
            ["rotation_digits", "--worker-timeout", "0"],
            "--worker-timeout must be a finite number of seconds, more than 0",
        ),
        (["rotation_digits", "--worker-timeout", "nan"], "more than 0. Received: nan"),
        (["rotation_digits", "--strategy", "horovod"], "--strategy must be 'mirrored'"),
        (["rotation_digits", "--distributed", "worker"], "The address of the chief must be HOST:PORT"),
        (["rotation_digits", "--embedding-dim", "8:16"], "hypernetworks have none: search it with the method 'embed'"),
        (["rotation_digits", "--epochs", "0"], "--epochs must be an integer of at least 1. Received: 0"),
        (["rotation_digits", "--compare", "results"], "--compare writes a README.md beside the folder of --out"),
        (
            ["rotation_set_digits", "--compare", "results", "--out", "here"],
            "No experiment has a grid of depths for the",
        ),
        (
            ["rotation_digits", "--resume", "--overwrite"],
            "--resume goes on with a search, and --overwrite deletes it: g",
        ),
        (
            ["rotation_digits", "--plot-with", "nowhere"],
            "--plot-with draws another search in the figures of --plot: ad",
        ),
        (["rotation_digits", "--plot-with", "nowhere", "--plot"], "nowhere is not the folder of a search"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, tmp_path, arguments, message):
    done = run(*arguments, tiny=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_a_worker_is_not_asked_for_the_results_of_its_chief(run, tmp_path):
    worker = ["synthetic_inner", "--distributed", "worker", "--address", "127.0.0.1:9"]
    done = run(*worker, "--plot", "--plot-with", "a", "--out", "b", "--compare", "c", "--retrain")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: The results of a search are its chief's: leave out --plot, --plot-with, --out, --compare, "
        "--retrain for a worker.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_card_has_the_command_without_what_is_of_one_call(monkeypatch):
    of_this_call = ["--plot", "--plot-with", "a", "--out=b", "--compare", "c", "--distributed", "chief", "--resume"]
    of_this_call += [
        "--address=h:8000",
        "--worker-id",
        "w",
        "--wait=3",
        "--worker-timeout",
        "9",
        "--overwrite",
        "--json",
    ]
    words = ["keras-hypernet", "tune", "rotation_mnist", "--depths=2:3", "--directory", "d", "--retrain"]
    monkeypatch.setattr(sys, "argv", [*words[:4], *of_this_call, *words[4:]])
    assert command_line(command_module._OF_THIS_CALL, command_module._WITH_A_VALUE) == " ".join(words)


def test_a_single_device_for_a_mirrored_search_is_a_warning(run):
    done = run("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--strategy", "mirrored")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning == "Warning: --strategy mirrored has found one device only, CPU:0, so nothing is mirrored."


def test_searches_of_different_tasks_or_objectives_are_not_begun_to_be_drawn(run, tmp_path):
    pytest.importorskip("matplotlib")
    tiny_search(depth=[2], trials=1, directory=tmp_path / "other")
    arguments = ["rotation_digits", "--plot", "--plot-with", "other", "--directory", "here"]
    done = run(*arguments, tiny=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "The searches of a figure must be of one task and one objective. Received: [" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_the_model_of_a_search_that_is_deleted_stays_with_a_warning(run, tmp_path):
    arguments = ("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--directory", "here")
    assert "Warning" not in run(*arguments).stderr
    assert "Warning" not in run(*arguments, "--overwrite").stderr
    precious = tmp_path / "here" / "entry" / "card.json"
    precious.parent.mkdir()
    precious.write_text("of a model")
    done = run(*arguments, "--overwrite")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning.startswith("Warning: here/entry, a model of the search that --overwrite deletes, stays until")
    assert precious.read_text() == "of a model"


def test_nothing_to_resume_is_a_warning(run, tmp_path):
    arguments = ("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--directory", "new", "--resume")
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning == "Warning: new holds no search to go on with, so it begins."
    assert "Warning" not in run(*arguments).stderr


def test_fewer_trials_than_asked_for_are_a_warning(run):
    done = run("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--trials", "5")
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning == "Warning: grid has no more than 1 trials here. Asked for: --trials 5"


@pytest.mark.parametrize(
    ("command", "function"),
    [
        (["tune", "synthetic_inner", "--directory", "here"], "tuning.search"),
        (["train", "rotation_digits_hyper", "--out", "here"], "cli.models.train_entry"),
        (["experiment", "synthetic_depth", "--out", "here"], "cli.experiments.run_experiment"),
    ],
)
def test_an_interrupt_says_how_to_go_on(run, monkeypatch, command, function):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"keras_hypernet.{function}", interrupted)
    done = run(*command[1:], command=command[0])
    assert done.returncode == 130
    assert "Interrupted. What has finished is kept in here; --resume goes on with it." in done.stderr


def test_missing_matplotlib_is_named_before_the_search(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run("synthetic_inner", "--plot")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'keras_hypernet[plot]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_search_is_refused_and_nothing_deleted(run, tmp_path):
    arguments = ["synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--directory", "here"]
    assert run(*arguments).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for more, message in (
        ([], "holds this search already: go on with it (--resume), start anew (--overwrite)"),
        (["--seed", "1", "--resume"], "holds another search"),
    ):
        done = run(*arguments, *more)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert message in line
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    done = run(*arguments, "--seed", "1", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "here" / "search.json").read_text())["recipe"]["seed"] == 1


def test_a_quick_search_by_hyperband_has_two_rounds(run, tmp_path):
    done = run("synthetic_inner", "--oracle", "hyperband", "--quick", "--depths", "2:4", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["total_epochs"] for row in json.loads(done.stdout)["trials"]] == [1, 1, 1, 3]


def test_the_help_shows_an_example(run):
    text = " ".join(run("--help").stdout.replace("│", " ").split())
    assert "keras-hypernet tune rotation_mnist --method hyper --oracle hyperband --trials 20" in text
