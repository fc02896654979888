"""Searches beside the full grid of the experiments."""

import json

import pandas
import pytest

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.tasks import RotationSetTask
from keras_hypernet.tuning.compare import check_grid, compare_with_grid, write_comparison
from keras_hypernet.tuning.names import get_search_task

CONFIG = {
    "task": get_search_task("synthetic_inner").config(),
    "method": ["hyper"],
    "space": {"depth": {"low": 2, "high": 9}, "width": None},
    "objective": "validation_mse",
    "oracle": "grid",
    "recipe": {"seed": 1},
}
TRIALS = pandas.DataFrame(
    [
        {"status": "finished", "method": "hyper", "depth": 3, "validation_mse": 0.41, "seconds": 4.0},
        {"status": "finished", "method": "hyper", "depth": 2, "validation_mse": 0.61, "seconds": 5.0},
        {"status": "diverged", "method": "hyper", "depth": 4, "validation_mse": None, "seconds": 1.0},
    ]
)


@pytest.fixture
def results(tmp_path):
    """A folder with the rows of a grid."""
    rows = ResultsFile(tmp_path / "synthetic_depth.jsonl")
    values = {(2, 0): 0.5, (2, 1): 0.7, (3, 0): 0.4, (3, 1): 0.5, (4, 0): 0.3, (4, 1): None}
    values[2, 2] = 0.1  # an incomplete seed
    for config in get_experiment("synthetic_depth").runs(values=(2, 3, 4), seeds=3):
        point = config["depth"], config["seed"]
        if (config["panel"], config["method"]) == ("inner", "hyper") and point in values:
            validation = values[point]
            measured = {"validation": validation, "test": validation}
            result = measured if validation else {"status": "diverged", "message": "Lost."}
            rows.append(make_row(config, result, seconds=10.0))
    return tmp_path


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes the folder of a search, with its table if there is one."""

    def write(name, task="synthetic_inner", trials=TRIALS, **space):
        folder = tmp_path / "tuning" / name
        folder.mkdir(parents=True)
        config = {**CONFIG, "task": get_search_task(task).config(), "space": {**CONFIG["space"], **space}}
        (folder / "search.json").write_text(json.dumps(config))
        if trials is not None:
            trials.to_csv(folder / "trials.csv", index=False)
        return folder

    return write


def test_a_search_is_compared_with_the_grid_of_the_experiments(results):
    facts = compare_with_grid(CONFIG, TRIALS, results)
    assert facts == {
        **{"depth": 3, "others": {}, "validation": 0.41, "seconds": 10.0, "seed_depth": 3, "seed_validation": 0.5},
        # Not the depth 4, with a diverged run.
        **{"grid_depth": 3, "grid_validation": pytest.approx(0.45), "grid_seconds": 30.0, "seeds": 2},
    }
    other = compare_with_grid({**CONFIG, "recipe": {"seed": 0}}, TRIALS, results)
    assert (other["seed_depth"], other["seed_validation"]) == (4, 0.3)
    without_rows = compare_with_grid(CONFIG, TRIALS, results / "nowhere")
    assert [without_rows[name] for name in ("seed_depth", "grid_depth", "grid_seconds")] == [None] * 3


def test_a_table_of_searches_is_written(results, write):
    write("one")
    wide = TRIALS.assign(learning_rate=[0.01, 0.02, 0.03])
    write("two", trials=wide[:1], learning_rate={"low": 0.01, "high": 0.1})
    text = write_comparison(results / "tuning", results).read_text()
    line = (
        "| [`one`](one): synthetic_inner, hypernetwork, grid | depth | 3 (1 without result) | 3 | 0.41 | 10 | 3 | 0.5 "
    )
    assert f"{line}| yes | 3 | 0.45 (2 seeds) | yes | 30 |" in text.splitlines()
    line = "| [`two`](two): synthetic_inner, hypernetwork, grid | depth, learning_rate | 1 "
    assert f"{line}| 3, learning_rate 0.01, an end of its range | 0.41 |" in text
    summary = text.split("\n\n")[-1].replace("\n", " ")
    assert summary.startswith(
        "Of 2 searches, 2 find the best depth of the grid with the same seed, and 2 the best depth"
    )
    assert "In 2 the best trial has a lower validation result than the whole grid." in summary
    assert "0.1 to 0.3 times" in summary
    (results / "synthetic_depth.jsonl").unlink()
    text = write_comparison(results / "tuning", results).read_text()
    assert text.count("no rows of the grid |") == 4
    assert text.endswith("There are no rows of the grid to compare with.\n")


def test_searches_without_a_comparison_are_named(write, tmp_path):
    write("lost", trials=TRIALS[2:])
    write("none", trials=None)
    write("set", task="rotation_set_digits")
    (write("broken") / "search.json").write_text("[]")
    with pytest.raises(ValueError, match="no searches to compare .* Not compared: `lost`. It has no finished trial"):
        write_comparison(tmp_path / "tuning", tmp_path)
    write("one")
    text = write_comparison(tmp_path / "tuning", tmp_path).read_text()
    assert [line[:12] for line in text.splitlines() if line.startswith("| [")] == ["| [`one`](on"]
    left = [line for line in text.splitlines() if line.startswith("Not compared: ")]
    assert [line.split("`")[1] for line in left] == ["broken", "lost", "none", "set"]
    reasons = ("is not of type 'object'", "no finished trial", "no trials.csv", "No experiment has a")
    for line, reason in zip(left, reasons, strict=True):
        assert reason in line


def test_a_loss_is_not_compared_with_the_errors_of_a_grid(tmp_path):
    config = {**CONFIG, "task": {"name": "rotation", "data": "digits"}, "objective": "validation_loss"}
    row = {"status": "finished", "method": "hyper", "depth": 2, "validation_loss": 0.3, "validation_error": 0.2}
    facts = compare_with_grid(config, pandas.DataFrame([{**row, "seconds": 1.0}]), tmp_path)
    assert facts["validation"] == 0.2
    with pytest.raises(ValueError, match="No experiment has a grid of depths for the task 'rotation_set'"):
        check_grid(RotationSetTask("digits"))
