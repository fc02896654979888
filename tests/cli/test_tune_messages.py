"""`keras-hypernet tune`: errors of one line, warnings, and what an interrupt says."""

import json
import shutil
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rotation_minst"], "There is no task 'rotation_minst' to search the depth for; did you mean rotation_mnist"),
        (["rotation_digits", "--oracle", "genetic"], "--oracle must be one of ('grid', 'random', 'bayesian', 'hyperb"),
        (["rotation_digits", "--depths", "9:2"], "with low <= high. Received: (9, 2)"),
        (["rotation_digits", "--depths", "1:4"], "--depths must be an integer of at least 2. Received: 1"),
        (
            ["rotation_digits", "--depths", "two"],
            "--depths takes a range, 2:9 (both ends), or choices, 2,4,8. Received: ",
        ),
        (["rotation_digits", "--trials", "0"], "--trials must be an integer of at least 1. Received: 0"),
        (["rotation_digits", "--method", "linear"], "--method must be one of ('hyper', 'embed'), or several"),
        (["rotation_digits", "--objective", "val_f1"], "'validation_loss') for 'rotation'. Received: 'va"),
        (["rotation_digits", "--workers", "0"], "--workers must be an integer of at least 1. Received: 0"),
        (["rotation_digits", "--engine", "slurm"], "--engine must be one of ('local', 'ray'). Received: 'slurm'"),
        (["rotation_digits", "--address", "a:1"], "--address is the address of a Ray cluster"),
        (["rotation_digits", "--strategy", "horovod"], "--strategy must be 'mirrored'"),
        (["rotation_digits", "--embedding-dim", "8:16"], "hypernetworks have none: search it with the method 'embed'"),
        (["rotation_digits", "--epochs", "0"], "--epochs must be an integer of at least 1. Received: 0"),
        (["rotation_digits", "--compare", "results"], "--compare writes a README.md beside the folder of --out"),
        (
            ["rotation_set_digits", "--compare", "results", "--out", "here"],
            "No experiment has a grid of depths for the",
        ),
        (
            ["rotation_digits", "--resume", "--overwrite"],
            "--resume continues a search, and --overwrite deletes it: g",
        ),
        (
            ["rotation_digits", "--plot-with", "nowhere"],
            "--plot-with draws another search in the figures of --plot: ad",
        ),
        (["rotation_digits", "--plot-with", "nowhere", "--plot"], "nowhere is not the folder of a search"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run_tune, tmp_path, arguments, message):
    done = run_tune(*arguments, tiny=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_a_single_device_for_a_mirrored_search_is_a_warning(run_tune):
    done = run_tune("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--strategy", "mirrored")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning == "Warning: --strategy mirrored has found only one device, CPU:0, so nothing is mirrored."


def test_searches_of_different_tasks_or_objectives_are_not_begun_to_be_drawn(run_tune, searched, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(searched.directory, tmp_path / "other")
    arguments = ["rotation_digits", "--plot", "--plot-with", "other", "--directory", "here"]
    done = run_tune(*arguments, tiny=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "The searches of a figure must be of one task and one objective. Received: [" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.full
def test_the_model_of_a_search_that_is_deleted_stays_with_a_warning(run_tune, tmp_path):
    arguments = ("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--directory", "here")
    assert "Warning" not in run_tune(*arguments).stderr
    assert "Warning" not in run_tune(*arguments, "--overwrite").stderr
    precious = tmp_path / "here" / "entry" / "card.json"
    precious.parent.mkdir()
    precious.write_text("of a model")
    done = run_tune(*arguments, "--overwrite")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning.startswith("Warning: here/entry, a model of the search that --overwrite deletes, stays until")
    assert precious.read_text() == "of a model"


@pytest.mark.full
def test_nothing_to_resume_is_a_warning(run_tune, tmp_path):
    arguments = ("synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--directory", "new", "--resume")
    done = run_tune(*arguments)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning == "Warning: new holds no search to continue, so a new search starts."
    assert "Warning" not in run_tune(*arguments).stderr


@pytest.mark.parametrize(
    ("command", "function"),
    [
        (["tune", "synthetic_inner", "--directory", "here"], "tuning.search"),
        (["train", "rotation_digits_hyper", "--out", "here"], "experiments.entries.train_entry"),
        (["experiment", "synthetic_depth", "--out", "here"], "experiments.runner.run"),
    ],
)
def test_an_interrupt_says_how_to_go_on(run_tune, monkeypatch, command, function):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"keras_hypernet.{function}", interrupted)
    done = run_tune(*command[1:], command=command[0])
    assert done.returncode == 130
    assert "Interrupted. What has finished is kept in here; --resume continues with it." in done.stderr


def test_missing_matplotlib_is_named_before_the_search(run_tune, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run_tune("synthetic_inner", "--plot")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'keras_hypernet[plot]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_fewer_trials_than_asked_for_are_a_warning_and_another_search_is_refused(run_tune, tmp_path):
    arguments = ["synthetic_inner", "--depths", "2", "--width", "4", "--epochs", "1", "--directory", "here"]
    done = run_tune(*arguments, "--trials", "5")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert warning == "Warning: grid has no more than 1 trials here. Asked for: --trials 5"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for more, message in (
        ([], "holds this search already"),
        (["--seed", "1", "--resume"], "holds another search"),
    ):
        done = run_tune(*arguments, *more)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert message in line
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    done = run_tune(*arguments, "--seed", "1", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "here" / "search.json").read_text())["recipe"]["seed"] == 1


def test_the_help_shows_an_example(run_tune):
    text = " ".join(run_tune("--help").stdout.replace("│", " ").split())
    assert "keras-hypernet tune rotation_mnist --method both --oracle hyperband --trials 20" in text
