"""The command line in processes of its own: output, exit codes, one-line errors."""

import json
import subprocess
import sys

import pytest


def _run(*arguments, timeout=120):
    command = [sys.executable, "-m", "keras_hypernet.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def _json(*arguments):
    done = _run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_and_info():
    cards = _json("list")
    assert [card["name"] for card in cards][-1] == "rotation_mnist_hyper"
    assert _json("info", "rotation_mnist_hyper") == cards[-1]
    table = _run("list").stdout
    assert all(card["name"] in table for card in cards)
    assert f"seed {cards[-1]['seed']}" in " ".join(_run("info", "rotation_mnist_hyper").stdout.replace("│", "").split())


def test_demo_does_the_whole_job(tmp_path):
    steps = list(_json("demo", "--to", tmp_path).values())
    loaded, evaluated, tuned, predicted, specialized, exported = steps
    assert loaded["hypernetwork"]["primary"] == 7960
    assert 0 < evaluated["hypernetwork"] < 1
    assert 0 < evaluated["embedding method"] < 1
    assert tuned["error after"] < tuned["error before"]
    assert predicted["predicted"] in range(0, 360, 30)
    assert specialized["parameters after"] < specialized["parameters before"] / 10
    assert specialized["largest difference of outputs"] < 1e-4
    assert exported["largest difference of outputs"] < 1e-4
    assert (tmp_path / "demo" / "1" / "saved_model.pb").is_file()


def test_evaluate_draws_a_figure(tmp_path):
    figure = tmp_path / "figure.png"
    metrics = _json("evaluate", "rotation_mnist_hyper", "--data", "digits", "--split", "validation", "--save", figure)
    assert metrics["num_examples"] == 300
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_train_makes_an_entry_that_evaluates_and_exports(tmp_path):
    out = tmp_path / "run"
    arguments = ["train", "rotation_digits_embed", "--epochs", "1", "--depth", "2", "--seeds", "3", "--out", out]
    card = _json(*arguments)
    assert card["recipe"]["depth"] == 2
    assert [run["seed"] for run in card["seeds"]] == [0, 1, 2]
    assert "keras-hypernet train rotation_digits_embed --epochs 1 --depth 2 --seeds 3" in card["command"]
    assert "epochs is 1; the paper's is 10." in card["deviations"]
    again = _json(*arguments, "--resume")
    assert again["metrics"] == card["metrics"]
    metrics = _json("evaluate", out / "entry")
    assert metrics["error"] == card["metrics"]["test"]["error"]
    (exported,) = _json("export", out / "entry", "--to", tmp_path / "saved")
    assert exported == str(tmp_path / "saved" / "rotation_digits_embed" / "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "rotation_mnist_hipper"], "did you mean rotation_mnist_hyper"),
        (["evaluate", "../entry"], "must not contain '..'"),
        (["evaluate", "rotation_mnist_hyper", "--data", "imagenet"], "no data source 'imagenet'; choose one of"),
        (["evaluate", "rotation_mnist_hyper", "--data", "patches"], "takes images of shape (28, 28, 1)"),
        (["evaluate", "rotation_mnist_hyper", "--data", "digits", "--split", "all"], "split must be one of"),
        (["train", "rotation_mnist"], "did you mean rotation_mnist_hyper or"),
        (["train", "rotation_digits_hyper", "--depth", "1"], "`depth` must be an integer of at least 2. Received: 1"),
        (["export", "nothing"], "There is no entry 'nothing'"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(arguments, message):
    done = _run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    assert done.stdout == ""


def test_debug_shows_the_traceback():
    done = _run("info", "nothing", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_missing_extra_is_named(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not installed')")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from keras_hypernet.cli import main; main()"
    arguments = ["evaluate", "rotation_mnist_hyper", "--data", "digits", "--save", str(tmp_path / "figure.png")]
    command = [sys.executable, "-c", code, str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        "Error: Figures need an optional dependency: pip install 'keras_hypernet[plot]'"
    )


def test_every_command_has_help_with_an_example():
    top = _run("--help").stdout
    for command in ("list", "info", "demo", "evaluate", "train", "export"):
        assert command in top
        assert "keras-hypernet " + command in _run(command, "--help").stdout
