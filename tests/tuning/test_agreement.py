"""What searches have found, against the full grid of the experiments."""

import json

import pytest

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.tuning.agreement import compare, write_agreement
from keras_hypernet.tuning.names import get_search_task


def test_a_search_is_compared_with_the_grid_of_the_experiments(tmp_path):
    experiment = get_experiment("synthetic_depth")
    rows = ResultsFile(tmp_path / "synthetic_depth.jsonl")
    values = {(2, 0): 0.5, (2, 1): 0.7, (3, 0): 0.4, (3, 1): 0.5, (4, 0): 0.3, (4, 1): None}
    values[2, 2] = 0.1  # of a seed that is not complete
    for config in experiment.runs(values=(2, 3, 4), seeds=3):
        point = config["depth"], config["seed"]
        if (config["panel"], config["method"]) == ("inner", "hyper") and point in values:
            validation = values[point]
            measured = {"validation": validation, "test": validation}
            result = measured if validation else {"status": "diverged", "message": "Lost."}
            rows.append(make_row(config, result, seconds=10.0))
    config = {
        "task": get_search_task("synthetic_inner").config(),
        "method": ["hyper"],
        "space": {"depth": {"low": 2, "high": 9}, "width": None},
        "objective": "validation_mse",
        "oracle": "grid",
        "recipe": {"seed": 1},
    }
    trials = [
        {"status": "finished", "method": "hyper", "depth": 3, "validation_mse": 0.41, "seconds": 4.0},
        {"status": "finished", "method": "hyper", "depth": 2, "validation_mse": 0.61, "seconds": 5.0},
        {"status": "diverged", "method": "hyper", "depth": 4, "validation_mse": None, "seconds": 1.0},
    ]
    found = compare(config, trials, tmp_path)
    assert found == {
        **{"depth": 3, "others": {}, "validation": 0.41, "seconds": 10.0, "seed_depth": 3, "seed_validation": 0.5},
        # Not 4, at which one of two diverged.
        **{"grid_depth": 3, "grid_validation": pytest.approx(0.45), "grid_seconds": 30.0, "seeds": 2},
    }
    other = compare({**config, "recipe": {"seed": 0}}, trials, tmp_path)
    assert (other["seed_depth"], other["seed_validation"]) == (4, 0.3)
    folder = tmp_path / "tuning" / "one"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text(json.dumps(config))
    lines = ["status,method,depth,validation_mse,seconds"]
    lines += [",".join("" if value is None else str(value) for value in row.values()) for row in trials]
    (folder / "trials.csv").write_text("\n".join(lines) + "\n")
    text = write_agreement(tmp_path / "tuning", tmp_path).read_text()
    line = (
        "| [`one`](one): synthetic_inner, hypernetwork, grid | depth | 3 (1 without result) | 3 | 0.41 | 10 | 3 | 0.5 "
    )
    assert f"{line}| yes | 3 | 0.45 (2 seeds) | yes | 30 |" in text.splitlines()
    config["space"]["learning_rate"] = {"low": 0.01, "high": 0.1}
    (folder / "search.json").write_text(json.dumps(config))
    (folder / "trials.csv").write_text(
        "status,method,depth,validation_mse,seconds,learning_rate\nfinished,hyper,3,0.41,4,0.01\n"
    )
    assert "| 1 | 3, learning_rate 0.01, an end of its range | 0.41 |" in (
        write_agreement(tmp_path / "tuning", tmp_path).read_text()
    )
    sentences = text.split("\n\n")[-1].replace("\n", " ")
    assert sentences.startswith("Of 1 searches, 1 find the best depth of the grid of the same seed, 1 that of the mean")
    assert "In 1 the best trial has a lower validation result than all of that grid. They took 0.3 to 0.3" in sentences
    assert compare(config, trials, tmp_path / "nowhere")["grid_depth"] is None
    with pytest.raises(ValueError, match="There are no searches to compare in"):
        write_agreement(tmp_path / "nowhere", tmp_path)


@pytest.fixture
def searches(tmp_path):
    """Returns a function that writes the table of a search, and the folder of them."""

    def write(
        name, task="synthetic_inner", table="status,method,depth,validation_mse,seconds\nfinished,hyper,3,0.4,4\n"
    ):
        folder = tmp_path / "tuning" / name
        folder.mkdir(parents=True)
        config = {
            "task": get_search_task(task).config(),
            "method": ["hyper"],
            "space": {"depth": {"low": 2, "high": 9}},
            "objective": "validation_mse",
            "oracle": "grid",
            "recipe": {"seed": 1},
        }
        (folder / "search.json").write_text(json.dumps(config))
        if table is not None:
            (folder / "trials.csv").write_text(table)
        return folder

    return write


def test_searches_that_cannot_be_compared_are_named(searches, tmp_path):
    searches("lost", table="status,method,depth,validation_mse,seconds\ndiverged,hyper,3,,4\n")
    for write in (
        lambda: searches("none", table=None),
        lambda: searches("set", task="rotation_set_digits"),
        lambda: (searches("broken") / "search.json").write_text("[]"),
    ):
        write()
    with pytest.raises(
        ValueError, match="no searches to compare .* Not compared: `lost`. It has no finished trial. Not"
    ):
        write_agreement(tmp_path / "tuning", tmp_path)
    searches("one")
    text = write_agreement(tmp_path / "tuning", tmp_path).read_text()
    assert [line[:12] for line in text.splitlines() if line.startswith("| [")] == ["| [`one`](on"]
    left = [line for line in text.splitlines() if line.startswith("Not compared: ")]
    assert [line.split("`")[1] for line in left] == ["broken", "lost", "none", "set"]
    reasons = ("is not of type 'object'", "no finished trial", "no trials.csv", "No experiment has a")
    for line, reason in zip(left, reasons, strict=True):
        assert reason in line
