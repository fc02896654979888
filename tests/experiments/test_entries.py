"""Entries: the run of median validation result of an experiment, trained again."""

import dataclasses
import json
import statistics
import subprocess
import sys

import pytest
from helpers import ROOT

import keras_hypernet as kh
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.entries import BLUEPRINTS, _runs_of, get_blueprint, train_entry
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.experiments.runner import execute
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.zoo.descriptions import describe
from keras_hypernet.zoo.store import num_parameters

RESULTS = ROOT / "results"
COMMAND = "keras-hypernet train mine"


def _write(folder, name, rows):
    """Writes the rows of an experiment to a folder, and returns the rows."""
    for row in rows:
        ResultsFile(folder / f"{name}.jsonl").append(row)
    return rows


def _results(folder, name, panel, value, seeds):
    """Executes runs, and writes their rows to a folder."""
    experiment = get_experiment(name)
    rows = [execute(experiment.config(panel, "network", value, seed), experiment) for seed in range(seeds)]
    assert {row["status"] for row in rows} == {"finished"}
    return _write(folder, name, rows)


def _setup(blueprint):
    """Task and recipe of a blueprint; its words do not depend on examples, whose checksum takes a second."""
    task, recipe = blueprint.setup(0)
    return dataclasses.replace(task, num_test=10) if isinstance(task, SyntheticTask) else task, recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three rows of a small network: the seed 0 is executed, between a worse and a better one that are made up."""
    (row,) = _results(tmp_path_factory.mktemp("trained"), "assumption_2", "digits", 29, 1)
    rows = [row]
    for seed, more in ((1, 0.01), (2, -0.01)):
        config = get_experiment("assumption_2").config("digits", "network", 29, seed)
        results = {name: row[name] + more for name in ("test", "validation")}
        rows.append({**row, **results, "seed": seed, "config": config})
    return rows


def test_an_entry_is_the_median_run_of_its_experiment(tmp_path, trained):
    rows = _write(tmp_path, "assumption_2", trained)
    blueprint = get_blueprint("assumption2_digits")
    card = train_entry(blueprint, tmp_path / "run", [], COMMAND, results=tmp_path, progress=False)
    median = sorted(rows, key=lambda row: row["validation"])[1]
    assert card.seed == median["seed"] == 0
    assert card.metrics["test"]["error"] == median["test"]
    assert [(run["seed"], run["test"]) for run in card.seeds] == [(row["seed"], row["test"]) for row in rows]
    assert card.selection == "the median validation error of 3"
    assert kh.verify_entry(tmp_path / "run" / "entry") == card
    # Only the chosen seed was trained.
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["entry", f"seed-{median['seed']}"]


@pytest.mark.full
@pytest.mark.parametrize("option", ["--from", "--threads"])
def test_training_uses_the_threads_of_the_row_or_of_the_option(tmp_path, option):
    """Another number of threads rounds sums differently, so that training would not repeat the row."""
    value = "3"
    if option == "--from":
        (row,) = _results(tmp_path, "assumption_2", "digits", 29, 1)
        (tmp_path / "assumption_2.jsonl").write_text(json.dumps({**row, "machine": {**row["machine"], "threads": 3}}))
        value = tmp_path
    code = (
        "import tensorflow as tf\n"
        "from keras_hypernet_cli.app import run\n"
        "try:\n    run()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print('threads:', tf.config.threading.get_intra_op_parallelism_threads())\n"
    )
    words = ["train", "assumption2_digits", option, value, "--out", tmp_path / "run"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "threads: 3"


def test_failed_runs_count_as_not_run(tmp_path, trained):
    failed = {**trained[0], "status": "failed", "message": "killed", "test": None, "validation": None}
    _write(tmp_path, "assumption_2", [failed, trained[1]])
    (run,) = _runs_of(get_blueprint("assumption2_digits"), tmp_path)
    assert (run["seed"], run["test"], run["diverged"]) == (1, trained[1]["test"], None)


def test_a_row_that_is_not_what_training_gives_is_named(tmp_path, trained):
    row = trained[0]
    path = tmp_path / "assumption_2.jsonl"
    path.write_text(json.dumps({**row, "test": 0.5}) + "\n")
    blueprint = get_blueprint("assumption2_digits")
    with pytest.raises(ValueError, match="seed 0 of assumption2_digits gives 0.* instead of 0.5, as in its row"):
        train_entry(blueprint, tmp_path / "run", [], COMMAND, results=tmp_path, progress=False)
    assert not (tmp_path / "run" / "entry").exists()
    other = {**row["config"], "recipe": {**row["config"]["recipe"], "epochs": 4}}
    path.write_text(json.dumps({**row, "config": other}) + "\n")
    with pytest.raises(ValueError, match="The row of seed 0 in .* has another recipe than the entry"):
        train_entry(blueprint, tmp_path / "again", [], COMMAND, results=tmp_path, progress=False)
    with pytest.raises(ValueError, match="no results for rotation_mnist_hyper in .*: run `keras-hypernet exp"):
        train_entry(get_blueprint("rotation_mnist_hyper"), tmp_path / "none", [], "", results=tmp_path)


@pytest.mark.full
def test_two_networks_and_their_target_belong_together(tmp_path):
    (row,) = _results(tmp_path, "assumption_1", "digits", 2, 1)
    measured = {}
    for part in ("f1", "f2", "target"):
        blueprint = dataclasses.replace(get_blueprint(f"assumption1_digits_{part}"), value=2)  # epochs
        out = tmp_path / part
        card = train_entry(blueprint, out, [], COMMAND, results=tmp_path, progress=False)
        measured[part] = card.metrics["test"]["mse"]
        assert card.seed == 0
        assert num_parameters(kh.load(out / "entry")) == card.num_parameters
        assert [run["validation"] for run in card.seeds] == [{"f1": row["validation"], "f2": None, "target": 0}[part]]
    assert measured["f1"] == pytest.approx(row["test"], rel=1e-4)
    assert measured["f2"] == pytest.approx(row["test_f2_y"], rel=1e-4)
    assert measured["target"] == 0
    assert (card.recipe, card.deviations) == ({}, [])


@pytest.mark.parametrize("name", ["pareto_concave", "gaussian_process_hyper"])
def test_an_entry_of_a_task_that_makes_its_networks(tmp_path, name):
    blueprint = dataclasses.replace(get_blueprint(name), changes={"epochs": 1, "width": 8})
    card = train_entry(blueprint, tmp_path, [0], COMMAND, progress=False)
    task, model = blueprint.setup(0)[0], kh.load(str(tmp_path / "entry"))
    assert card.metrics["test"] == pytest.approx(kh.evaluate(model, task))
    assert card.method == blueprint.method
    assert [*card.architecture] == ["generator", "primary"]
    assert "HyperDense" in card.architecture["primary"]
    assert card.description.endswith(f"{task.methods[card.method]}.")


def test_every_blueprint_is_described():
    for blueprint in BLUEPRINTS.values():
        task, recipe = _setup(blueprint)
        if getattr(task, "data", "digits") in ("mnist", "cifar10"):
            continue  # the words do not depend on the data set
        facts = describe(blueprint.name, blueprint.method, task, recipe, blueprint.changes)
        assert facts["description"].endswith(".")
        assert facts["provenance"]["ours"]
        assert facts["task"] == task.config()
        assert not [text for text in facts["deviations"] if "the paper's is" in text], facts["deviations"]


@pytest.mark.parametrize(
    ("name", "changes", "mark", "sentence"),
    [
        ("synthetic_inner_embed", {}, "text", "The embedding dimension, 10,000."),
        ("synthetic_concat_embed", {}, "ours", "The embedding dimension, 200."),
        ("synthetic_width_hyper", {}, "text", "The width of f's last hidden layer, 100."),
        ("synthetic_width_embed", {}, "ours", "The embedding dimension, 1,000."),
        ("synthetic_inner_embed", {"embedding_dim": 16}, "ours", "The embedding dimension, 16."),
        ("rotation_digits_embed", {"embedding_dim": 16}, "ours", "The embedding dimension, 16."),
        ("colorization_patches_embed", {}, "ours", "The embedding dimension, 63."),
        (
            "assumption1_uniform_f1",
            {},
            "ours",
            "The samples for validation are drawn apart",
        ),
        ("rotation_digits_hyper", {}, "ours", "Some of the images are held out for validation."),
    ],
)
def test_cards_say_whose_choice_a_fact_is(name, changes, mark, sentence):
    blueprint = dataclasses.replace(get_blueprint(name), changes=changes)
    provenance = describe(name, blueprint.method, *_setup(blueprint), changes)["provenance"]
    marks = [mark for mark, texts in provenance.items() if any(text.startswith(sentence) for text in texts)]
    assert marks == [mark]
    kinds = ("The embedding dimension", "The width of f's")
    sizes = [text for texts in provenance.values() for text in texts if text.startswith(kinds)]
    assert len(sizes) == sentence.startswith(kinds)


def test_changes_of_the_recipe_are_deviations():
    blueprint = dataclasses.replace(get_blueprint("rotation_digits_hyper"), changes={"epochs": 3, "rank": 7})
    task, recipe = blueprint.setup(0)
    facts = describe(blueprint.name, blueprint.method, task, recipe, blueprint.changes)
    assert {"epochs is 3; the paper's is 10.", "rank is 7; the paper's is None."} < set(facts["deviations"])


@pytest.mark.parametrize(
    "name",
    ["synthetic_width_hyper", "synthetic_width_embed", "rotation_mnist_width_hyper", "rotation_mnist_width_embed"],
)
def test_width_entries_are_at_the_index_that_validation_prefers(name):
    """The preferred index has the lowest median; if its file is not under 8 MB, the largest index that is counts."""
    blueprint = get_blueprint(name)
    rows = [row for row in _committed(blueprint.experiment) if row["method"] == blueprint.method]
    rows = [row for row in rows if row["panel"] == blueprint.panel]
    by_index = {index: [row["validation"] for row in rows if row["index"] == index] for index in range(1, 9)}
    assert min(map(len, by_index.values())) >= 3
    preferred = min(by_index, key=lambda index: statistics.median(by_index[index]))
    if _megabytes(blueprint, preferred) >= 8:
        preferred = max(index for index in by_index if _megabytes(blueprint, index) < 8)
    assert blueprint.value == preferred


def _megabytes(blueprint, index):
    """Size of the weights of a width entry at an index; the file is a few kB larger."""
    task, recipe = dataclasses.replace(blueprint, value=index).setup(0)
    return kh.build_model(task, blueprint.method, recipe).count_params() * 4 / 1e6


CHOSEN = [card for card in kh.list_entries() if "--from results" in card.command and card.method != "target"]


@pytest.mark.parametrize("card", CHOSEN, ids=lambda card: card.name)
def test_runs_on_cards_are_those_of_the_committed_rows(card):
    blueprint = get_blueprint(card.name)
    _committed(blueprint.experiment)
    rows = {run["seed"]: run for run in _runs_of(blueprint, RESULTS)}
    if blueprint.second:
        rows = {seed: {**run, "validation": None} for seed, run in rows.items()}
    assert {run["seed"]: run for run in card.seeds} == rows, "train it again: there are other runs to choose from"


TRAINED = [card for card in kh.list_entries() if "--seeds" in card.command]


@pytest.mark.parametrize("card", TRAINED, ids=lambda card: card.name)
def test_runs_trained_for_a_card_have_the_results_of_the_committed_rows(card):
    """The rows are of the paper's recipe, which a card of another recipe lists for comparison."""
    blueprint = get_blueprint(card.name)
    _committed(blueprint.experiment)
    runs = {run["seed"]: run for run in (card.other_runs["runs"] if card.other_runs else card.seeds)}
    rows = {run["seed"]: run for run in _runs_of(blueprint, RESULTS)}
    assert len(runs.keys() & rows.keys()) >= 3
    for seed in runs.keys() & rows.keys():
        for field in ("learning_rate", "gradient_clipnorm", "validation", "test"):
            assert runs[seed][field] == rows[seed][field], (seed, field)
        assert (runs[seed]["diverged"] is None) == (rows[seed]["diverged"] is None), seed


def _committed(experiment):
    path = RESULTS / f"{experiment}.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name} is not in this checkout")
    return ResultsFile(path).read()[0]
