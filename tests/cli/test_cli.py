"""The command line: output, exit codes, one-line errors."""

import json
import operator
import sys

import pytest

import keras_hypernet as kh
from keras_hypernet.data.sources import SOURCES
from keras_hypernet.experiments import NAMES
from keras_hypernet.serving.specialized import FORMATS
from keras_hypernet.training.recipe import INITIALIZATIONS
from keras_hypernet.zoo.store import find_entry
from keras_hypernet_cli import options

# Markup that is wrong, markup that vanishes; and what clears a screen.
_OTHERS = "[/3, /5] [mirror] \x1b[2J\n"
_REGRESSION = pytest.mark.regression
_SHOWN = r"[/3, /5] [mirror] \x1b[2J\n"


@pytest.fixture
def run(monkeypatch, run_command):
    """Returns a function that runs a command in this process."""
    monkeypatch.setenv("COLUMNS", "100")
    return run_command


@pytest.fixture
def run_json(run):
    """Returns a function that runs a command with `--json` and returns what it prints."""

    def run_json(*arguments):
        done = run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_json


def test_list_and_info(run, run_json):
    cards = {card["name"]: card for card in run_json("list")}
    card = cards["rotation_mnist_hyper"]
    assert run_json("info", "rotation_mnist_hyper") == card
    table = run("list").stdout
    assert all(name in table for name in cards)
    assert f"seed {card['seed']}" in " ".join(run("info", "rotation_mnist_hyper").stdout.replace("│", "").split())
    assert "not beaten" not in run("info", "rotation_mnist_hyper").stdout
    assert "not beaten" in run("info", "synthetic_inner_hyper").stdout


def test_doctor_says_what_is_here_and_what_is_missing(run, run_json, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    facts = run_json("doctor")
    assert facts["versions"]["keras_hypernet"] == kh.__version__
    assert facts["backend"] == "tensorflow"
    assert facts["data sets"] == {"mnist": None, "cifar10": None}
    assert facts["extras"]["serving"] == []  # an extra of the tests
    text = " ".join(run("doctor").stdout.replace("│", " ").split())  # without the breaks of lines
    assert "mnist: not prepared; downloaded at first use" in text
    assert "serving: installed" in text
    missing = [extra for extra, names in facts["extras"].items() if names]
    assert all(f"pip install 'keras_hypernet[{extra}]'" in text for extra in missing)


@pytest.mark.full
def test_demo_does_the_whole_job(run_json, tmp_path):
    steps = list(run_json("demo", "--to", tmp_path).values())
    loaded, evaluated, tuned, predicted, specialized, exported = steps
    assert loaded["hypernetwork"]["primary"] == 7960
    assert 0 < evaluated["hypernetwork"] < 1
    assert 0 < evaluated["embedding method"] < 1
    assert tuned["error after"] < tuned["error before"]
    assert set(predicted["predicted"]) <= set(range(0, 360, 30))
    expected = [30 * min(range(12), key=lambda i: abs(angle - 30 * i)) for angle in predicted["true"]]
    assert predicted["true, as the closest multiple of 30"] == expected
    right = sum(map(operator.eq, predicted["predicted"], expected))
    assert right >= 4
    assert len(predicted["mistakes"]) == 8 - right
    assert predicted["how often"] == f"{8 - right} of these 8; of all 300 digits {tuned['error after']:.0%}"
    assert specialized["parameters after"] < specialized["parameters before"] / 10
    assert specialized["largest difference of outputs"] < 1e-4
    assert exported["largest difference of outputs"] < 1e-4
    assert (tmp_path / "demo" / "1" / "saved_model.pb").is_file()


def test_evaluate_draws_a_figure(run_json, tmp_path):
    figure = tmp_path / "figure.png"
    arguments = ["evaluate", "rotation_mnist_hyper", "--data", "digits", "--split", "validation", "--save", figure]
    assert run_json(*arguments)["num_examples"] == 300
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_evaluate_refuses_inputs_of_another_type(run, tmp_path):
    card = json.loads((find_entry("rotation_mnist_hyper") / "card.json").read_text())
    card["task"] = {"name": "approximation", "data": "uniform"}
    (tmp_path / "card.json").write_text(json.dumps(card))
    done = run("evaluate", tmp_path, "--data", "digits")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "Error: rotation_mnist_hyper takes images of type float32. Received: digits, of type uint8"
    ]


@pytest.mark.full
def test_train_makes_an_entry_that_evaluates_and_exports(run_json, tmp_path):
    out = tmp_path / "run"
    arguments = ["train", "rotation_digits_embed", "--epochs", "1", "--depth", "2", "--seeds", "2", "--out", out]
    card = run_json(*arguments, "--gradient-clipnorm", "5")
    assert card["recipe"]["depth"] == 2
    assert [run["seed"] for run in card["seeds"]] == [0, 1]
    assert card["command"] == (
        f"keras-hypernet train rotation_digits_embed --epochs 1 --depth 2 --seeds 2 --out {out} --gradient-clipnorm 5"
    )
    assert {"epochs is 1; the paper's is 10.", "gradient_clipnorm is 5.0; the paper's is None."} < set(
        card["deviations"]
    )
    again = run_json(*arguments, "--gradient-clipnorm", "5", "--resume")
    assert again["seeds"] == card["seeds"]
    assert again["metrics"] == card["metrics"]
    metrics = run_json("evaluate", out / "entry")
    assert metrics["error"] == card["metrics"]["test"]["error"]
    (exported,) = run_json("export", out / "entry", "--to", tmp_path / "saved")
    assert exported["path"] == str(tmp_path / "saved" / "rotation_digits_embed" / "1")


@pytest.mark.full
def test_diverged_runs_are_kept_and_compared(run, run_json, tmp_path):
    diverging = [
        "train",
        "rotation_digits_hyper",
        "--epochs",
        "1",
        "--learning-rate",
        "1e6",
        "--out",
        tmp_path / "first",
    ]
    done = run(*diverging)
    assert done.returncode == 2
    assert "Error: 1 of 1 runs diverged, the median one too: The loss became" in done.stderr
    second = ["train", "rotation_digits_hyper", "--epochs", "1", "--out", tmp_path / "second"]
    card = run_json(*second, "--compare", tmp_path / "first")
    assert "--learning-rate 1e6" in card["other_runs"]["command"]
    assert "Of 1 runs by the recipe of other_runs, for comparison, 1 diverged." in card["deviations"]
    (other,) = card["other_runs"]["runs"]
    assert other["learning_rate"] == 1e6
    assert "in epoch 1 at the learning rate 1e+06" in other["diverged"]
    assert other["test"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "rotation_mnist_hipper"], "did you mean rotation_mnist_hyper"),
        (["evaluate", "../entry"], "must not contain '..'"),
        (["evaluate", "rotation_mnist_hyper", "--data", "imagenet"], "no data source 'imagenet'; choose one of"),
        (["evaluate", "rotation_mnist_hyper", "--data", "patches"], "takes images of shape (28, 28, 1)"),
        (["evaluate", "rotation_mnist_hyper", "--data", "digits", "--split", "all"], "split must be one of"),
        (["train", "rotation_digits_hyper", "--seeds", "0"], "There must be at least one seed"),
        (
            ["train", "rotation_digits_hyper", "--from", "results", "--seeds", "5"],
            "leave out --seed, --seeds and --threads",
        ),
        (
            ["train", "rotation_digits_hyper", "--seed", "4294967296"],
            "--seed must be an integer of at most 42949672",
        ),
        (
            ["train", "rotation_digits_hyper", "--depth", "9" * 30],
            "--depth must be an integer of at most 1000. ",
        ),
        (
            ["train", "rotation_digits_hyper", "--gradient-clipnorm", "inf"],
            "--gradient-clipnorm must be positive",
        ),
        pytest.param(
            ["experiment", "rotation_depth", "--depths", "1:1000000000000"],
            "A range is of at most 10,000 integers. Received: ",
            marks=_REGRESSION,
        ),
        (["experiment", "rotation_depth", "--seeds", "1000000000"], "A call takes at most 100,000 runs: ask for fewer"),
        (
            ["train", "rotation_digits_hyper", "--threads", "0"],
            "--threads must be an integer of at least 1. Received: 0",
        ),
        (["train", "assumption2_digits", "--depth", "7"], "is one network, without f or e. Leave out depth."),
        (
            ["train", "assumption1_digits_target", "--epochs", "7"],
            "drawn, not trained. Leave out epochs.",
        ),
        (["train", "rotation_mnist"], "did you mean rotation_mnist_hyper or"),
        (["train", "rotation_digits_hyper", "--depth", "1"], "--depth must be an integer of at least 2. Received: 1"),
        (["train", "rotation_digits_hyper", "--compare", "nowhere"], "no runs to compare with in 'nowhere'"),
        (["export", "nothing"], "There is no entry 'nothing'"),
        (["export", "all", "--name", "mine"], "--name and --condition are for one model. Received: all"),
        (["export", "rotation_mnist_hyper", "--format", "pickle"], "--format must be some of"),
        (["export", "rotation_mnist_hyper", "--keep", "-1"], "--keep must be the number of older versions"),
        (["export", "assumption1_mnist_f1", "--condition", "image.png"], "there is no condition to bake in"),
        (["serve", "nothing"], "and no entry of that name; `keras-hypernet list` shows all entries."),
        (["serve", "rotation_mnist"], "did you mean rotation_mnist_hyper or rotation_mnist_embed"),
        (["evaluate", "rotation_mnist_hyper", "--data", "digits", "--save", "a.foo"], "Format 'foo' is not supported"),
        (["serve", "../tests"], "The path of an entry must not contain '..'. Received: '../tests'"),
        (["serve", "nothing", "--max-rows", "0"], "`max_batch_rows` must be an integer of at least 1. Received: 0"),
        (["serve", "nothing", "--weight-cache", "-1"], "--weight-cache must be at least 0"),
        *(
            pytest.param(command.split(), f"Nothing can be written to {command.split()[-1]}: ", marks=_REGRESSION)
            for command in (
                "train rotation_digits_hyper --out /dev/full",
                "train rotation_digits_hyper --out /proc/x",
                "demo --to /proc/foo",
                "export rotation_mnist_hyper --to /proc/x",
                "export rotation_mnist_hyper --format onnx --to /dev/full",
                "tune synthetic_inner --quick --directory /proc/x",
                "tune synthetic_inner --quick --directory runs/x --out /proc/x",
                "experiment synthetic_depth --quick --out /proc/x",
            )
        ),
        pytest.param(
            ["evaluate", "rotation_mnist_hyper", "--data", "digits", "--save", "/proc/x.png"],
            "Nothing can be written to /proc: ",
            marks=_REGRESSION,
        ),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert done.stdout == ""


def test_a_missing_extra_is_named(run, monkeypatch, tmp_path):
    monkeypatch.setattr("keras_hypernet.training.loop.evaluate", None)  # it is named before all is evaluated
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run("evaluate", "rotation_mnist_hyper", "--data", "digits", "--save", tmp_path / "figure.png")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        "Error: Figures need optional dependencies: pip install 'keras_hypernet[plot]'"
    )
    assert list(tmp_path.iterdir()) == []


def test_choices_in_help_texts_are_those_of_the_package():
    for names, choices in (
        (SOURCES, options.SOURCES),
        (INITIALIZATIONS, options.INITIALIZATIONS),
        (FORMATS, options.FORMATS),
        (NAMES, options.EXPERIMENTS),
    ):
        assert ", ".join(names) == choices


def test_every_command_has_help_with_an_example(run):
    top = run("--help").stdout
    for command in ("list", "info", "demo", "doctor", "evaluate", "train", "export", "serve"):
        assert command in top
        assert "keras-hypernet " + command in run(command, "--help").stdout


@pytest.mark.regression
def test_a_card_is_shown_as_it_is(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    card = json.loads((find_entry("rotation_mnist_hyper") / "card.json").read_text())
    fields = {"description": _OTHERS, "limits": [_OTHERS, "Second."], "versions": {_OTHERS: _OTHERS}}
    (tmp_path / "card.json").write_text(json.dumps({**card, **fields}))
    done = run("info", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(_SHOWN) == 4
    assert all(one.isprintable() for line in done.stdout.splitlines() for one in line)
    assert json.loads(run("info", tmp_path, "--json").stdout)["description"] == _OTHERS


@pytest.mark.regression
def test_a_card_that_asks_for_terabytes_is_one_line(run, tmp_path):
    card = json.loads((find_entry("rotation_mnist_hyper") / "card.json").read_text())
    (tmp_path / "model.keras").symlink_to(find_entry("rotation_mnist_hyper") / "model.keras")
    for size in [{"num_test": 10**9, "dim": 10**6}, {"dim": 10**12}]:
        task = {"name": "synthetic", "family": "inner", **size}
        (tmp_path / "card.json").write_text(json.dumps({**card, "task": task}))
        done = run("evaluate", tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        expected = "`dim` must be an integer of at most" if size["dim"] == 10**12 else "There is not enough memory for"
        assert line.startswith(f"Error: {expected}")


@pytest.mark.regression
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "runs.json must be the runs of a training. Received: Expecting property name"),
        ("[" * 100_000, "runs.json must be the runs of a training. Received: it is nested too deeply"),
        ("null", "runs.json must be the runs of a training. Received: at the top: None is not of type 'object'"),
        ('{"runs": []}', "the runs of a training. Received: at the top: 'command' is a required property"),
        (
            '{"command": "keras-hypernet train x", "runs": [{}]}',
            "the runs of a training. Received: at runs/0: 'seed' is a requi",
        ),
    ],
)
def test_runs_to_compare_with_are_checked_before_a_training(run, tmp_path, content, message):
    (tmp_path / "runs.json").write_text(content)
    done = run("train", "rotation_digits_hyper", "--compare", tmp_path, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.regression
def test_an_error_is_shown_as_it_is(run, tmp_path):
    (tmp_path / "[/b] \x1b[2J\x9b").mkdir(parents=True)
    done = run("info", tmp_path / "[/b] \x1b[2J\x9b")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(rf"Error: {tmp_path}/[/b] \x1b[2J\x9b is not a zoo entry: it has no card.json.")
