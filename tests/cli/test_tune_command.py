"""`keras-hypernet tune`: table, figures, entry, and a search that is interrupted."""

import functools
import json
import signal
import subprocess
import sys

import pytest
from helpers import TESTS
from tiny_grid import wait_until
from tiny_search import logged_hparams, plain, tiny_search

import keras_hypernet as kh
from keras_hypernet_cli import tuning as command_module
from keras_hypernet_cli.printing import command_line

# The command with the tiny task, which waits in the middle of the second trial.
SCRIPT = """
import sys
from tiny_search import TASK, hold_trials
from keras_hypernet import tuning
from keras_hypernet_cli.app import run
tuning.get_search_task = lambda *arguments: TASK
hold_trials(["trial_0001"], sys.argv[-1])
sys.argv[:1] = ["keras-hypernet", "tune"]
run()
"""


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


def test_a_search_prints_draws_and_makes_an_entry(run_tune, tmp_path, drawn):
    arguments = ["synthetic_inner", "--method", "both", "--depths", "2:3", "--width", "4", "--epochs", "1"]
    done = run_tune(*arguments, "--directory", "here", "--plot", "--retrain")
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
    logged = [logged_hparams(folder, row["trial"])[0] for row in trials]
    tried = [(values["method"].string_value, values["depth"].number_value) for values in logged]
    assert tried == [(row["method"], row["depth"]) for row in trials]
    assert sorted(tried) == [("embed", 2), ("embed", 3), ("hyper", 2), ("hyper", 3)]
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

    done = run_tune(
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


def test_a_search_without_a_finished_trial_has_the_exit_code_1(run_tune):
    options = ["--depths", "2", "--width", "4", "--epochs", "2", "--learning-rate", "1e9", "--plot", "--retrain"]
    done = run_tune("synthetic_inner", *options)
    assert done.returncode == 1
    warning = "Warning: None of 1 trials is finished. The first says: The loss became"
    assert warning in done.stderr
    assert done.stdout.count("diverged") == 1

    done = run_tune("synthetic_inner", *options, "--resume", "--json")
    assert done.returncode == 1
    assert warning in done.stderr
    printed = json.loads(done.stdout)
    assert (printed["best"], printed["entry"]) == (None, None)
    assert [row["status"] for row in printed["trials"]] == ["diverged"]


@pytest.mark.full
def test_a_search_that_is_killed_keeps_its_trials_and_repeats_the_one_that_ran(run_tune, tmp_path):
    directory = tmp_path / "killed"
    arguments = ["synthetic_inner", "--depths", "2:3", "--width", "4", "--epochs", "3", "--directory"]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments, str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=TESTS,
    ) as process:
        wait_until(lambda: (tmp_path / "killed.held.trial_0001").exists() or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (kept,) = kh.tuning.SearchResult.read(directory).trials
    written = (directory / "trials" / "journal.jsonl").read_text()

    assert run_tune(*arguments, directory, "--resume").returncode == 0
    resumed = kh.tuning.SearchResult.read(directory)
    assert resumed.trials[0] == kept
    assert (directory / "trials" / "journal.jsonl").read_text().startswith(written)
    assert [row["depth"] for row in resumed.trials] == [3, 2]
    assert resumed.trials[1]["epochs"] == 3 - 1  # the first epoch has a checkpoint
    assert run_tune(*arguments, tmp_path / "whole").returncode == 0
    assert plain(resumed.trials) == plain(kh.tuning.SearchResult.read(tmp_path / "whole").trials)


@pytest.mark.full
def test_hyperband_goes_on_where_it_was_interrupted(tmp_path):
    """With the trainings that it continues; tests/tuning/test_journal.py interrupts every oracle."""
    search = functools.partial(tiny_search, "both", "hyperband", depth=(2, 3), epochs=2, factor=2)
    whole = search(directory=tmp_path / "whole")
    search(directory=tmp_path / "part", trials=2)
    part = search(directory=tmp_path / "part")
    assert plain(part.trials) == plain(whole.trials)
    assert len({(row["method"], row["depth"], row["total_epochs"]) for row in part.trials}) == len(whole.trials)


def test_a_card_has_the_command_without_what_is_of_one_call(monkeypatch):
    of_this_call = ["--plot", "--plot-with", "a", "--out=b", "--compare", "c", "--workers", "2", "--resume"]
    of_this_call += ["--address=h:8000", "--engine=ray", "--overwrite", "--json"]
    words = ["keras-hypernet", "tune", "rotation_mnist", "--depths=2:3", "--directory", "d", "--retrain"]
    monkeypatch.setattr(sys, "argv", [*words[:4], *of_this_call, *words[4:]])
    assert command_line(command_module._FLAGS_WITHOUT_EFFECT, command_module._OPTIONS_WITHOUT_EFFECT) == " ".join(words)


@pytest.mark.full
def test_a_quick_search_by_hyperband_has_two_rounds(run_tune, tmp_path):
    done = run_tune("synthetic_inner", "--oracle", "hyperband", "--quick", "--depths", "2:4", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["total_epochs"] for row in json.loads(done.stdout)["trials"]] == [1, 1, 1, 3]
