"""The search for the depth: one way to train, four oracles, diverged and failed trials, and wrong input."""

import csv
import dataclasses
import itertools
import json
import math
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from tiny_search import RECIPE, TASK, column, plain, tiny_search

import keras_hypernet as kh
from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.tasks import ClassificationTask, RotationSetTask
from keras_hypernet.tuning.hypermodel import DepthSearch
from keras_hypernet.tuning.result import SearchResult
from keras_hypernet.tuning.space import Space


def test_a_grid_has_the_validation_errors_of_the_experiments(tmp_path):
    task = kh.RotationTask("digits")
    found = kh.tuning.search(task, "both", depth=[2, 5], epochs=2, seed=1, directory=tmp_path, progress=False)
    assert len(found.trials) == 4
    for row in found.trials:
        recipe = kh.paper_recipe(task, depth=row["depth"], epochs=2, seed=1)
        measured = train_and_measure(task, row["method"], recipe)
        assert abs(row["validation_error"] - measured["validation"]) <= 1e-6
        assert math.isclose(
            row["validation_loss"], measured["curve"]["validation_loss"][-1], rel_tol=1e-5
        )  # six digits
    best = min(found.trials, key=lambda row: row["validation_error"])
    assert found.best == kh.paper_recipe(task, depth=best["depth"], epochs=2, seed=1)
    assert (found.best_method, found.objective) == (best["method"], "validation_error")


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid over depth and method."""
    return tiny_search("both", directory=tmp_path_factory.mktemp("grid"))


def test_a_grid_tries_every_configuration_once(grid):
    tried = [(row["method"], row["depth"]) for row in grid.trials]
    assert sorted(tried) == sorted(itertools.product(("embed", "hyper"), (2, 3, 4)))
    assert set(column(grid, "status")) == {"finished"}
    assert set(column(grid, "epochs")) == {3}
    assert set(column(grid, "steps")) == {3}  # an epoch is one batch


def test_the_table_is_written_and_read(grid, tmp_path):
    assert SearchResult.read(grid.directory) == grid
    rows = list(csv.DictReader(grid.to_csv(tmp_path / "trials.csv").read_text().splitlines()))
    assert [float(row["validation_mse"]) for row in rows] == column(grid, "validation_mse")
    assert list(grid.to_pandas()["depth"]) == column(grid, "depth")


def test_missing_pandas_is_named(grid, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tuning\]'"):
        grid.to_pandas()


def test_missing_keras_tuner_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("keras_hypernet.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_hypernet\[tuning\]'"):
        kh.tuning.search  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'searchh'"):
        kh.tuning.searchh  # noqa: B018


def test_logs_of_hparams_have_each_trial_with_what_it_measured(grid):
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for row in grid.trials:
        events = EventAccumulator(str(grid.directory / "tensorboard" / f"{row['trial']:04}"))
        events.Reload()
        assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
        (event,) = events.Tensors("validation_mse")
        assert math.isclose(tf.make_ndarray(event.tensor_proto), row["validation_mse"], rel_tol=1e-6)


def test_several_seeds_are_averaged(tmp_path):
    found = tiny_search(depth=[3], executions_per_trial=3, seed=5, directory=tmp_path)
    results = [
        train_and_measure(TASK, "hyper", dataclasses.replace(RECIPE, depth=3, seed=seed))["validation"]
        for seed in (5, 6, 7)
    ]
    (row,) = found.trials
    assert abs(row["validation_mse"] - np.mean(results)) <= 1e-6
    assert (row["epochs"], found.best.seed) == (9, 5)


def test_hyperband_continues_the_best_of_a_round(tmp_path):
    found = tiny_search("both", "hyperband", epochs=4, factor=2, trials=7, directory=tmp_path)
    for row in found.trials[4:]:
        recipe = dataclasses.replace(RECIPE, depth=row["depth"], epochs=row["total_epochs"])
        assert abs(row["validation_mse"] - train_and_measure(TASK, row["method"], recipe)["validation"]) <= 1e-6
    first = [row for row in found.trials if row["total_epochs"] == 1]
    second = [row for row in found.trials if (row["total_epochs"], row["epochs"]) == (2, 1)]
    third = [row for row in found.trials if (row["total_epochs"], row["epochs"]) == (4, 2)]
    assert (len(first), len(second), len(third)) == (4, 2, 1)

    def best(rows, number):
        chosen = sorted(rows, key=lambda row: row["validation_mse"])[:number]
        return {(row["method"], row["depth"]) for row in chosen}

    assert {(row["method"], row["depth"]) for row in second} <= best(first, 3)
    assert {(row["method"], row["depth"]) for row in third} == best(second, 1)


def test_hyperband_continues_although_there_are_few_configurations(tmp_path):
    found = tiny_search("hyper", "hyperband", epochs=9, factor=3, directory=tmp_path)  # three, where it wants nine
    assert sorted(column(found, "total_epochs")) == [1, 1, 1, 3, 9]
    assert sorted(column(found, "epochs")) == [1, 1, 1, 2, 6]


def test_bayesian_optimization_does_not_repeat_itself(tmp_path):
    found = tiny_search("both", "bayesian", trials=20, directory=tmp_path)
    tried = [(row["method"], row["depth"]) for row in found.trials]
    assert sorted(tried) == sorted(itertools.product(("embed", "hyper"), (2, 3, 4)))


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_diverged_trials_are_rows_and_the_search_goes_on(oracle, tmp_path):
    found = tiny_search("hyper", oracle, depth=[2, 3], learning_rate=[1e-3, 1e-2, 1e9], trials=6, directory=tmp_path)
    diverged = [row for row in found.trials if row["status"] == "diverged"]
    assert {(row["learning_rate"], row["validation_mse"]) for row in diverged} == {(1e9, None)}
    assert (len(diverged), len(found.trials)) == (2, 6)
    assert "Lower the learning rate" in diverged[0]["message"]
    assert math.isfinite(found.best_trial["validation_mse"])
    assert SearchResult.read(tmp_path) == found


def test_a_search_of_diverged_trials_has_no_best_one(tmp_path):
    found = tiny_search(learning_rate=[1e9], depth=[2, 3], directory=tmp_path)
    assert column(found, "status") == ["diverged", "diverged"]
    with pytest.raises(ValueError, match="None of 2 trials is finished, .*The loss became"):
        found.best  # noqa: B018


def _own(depth, hp):
    if depth == 4:
        raise RuntimeError("Four is too much.")
    inputs = {name: keras.Input((4,), name=name) for name in ("x", "condition")}
    hidden = keras.layers.Concatenate()(list(inputs.values()))
    for _ in range(depth - 1):
        hidden = keras.layers.Dense(hp.Choice("units", [4, 8]), activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("sgd", loss="mse")
    return model


def test_own_models_are_searched_and_what_fails_is_a_row(tmp_path):
    found = tiny_search(build=_own, depth=[2, 3, 4], directory=tmp_path)
    assert sorted((row["depth"], row["units"], row["status"]) for row in found.trials) == [
        *((2, units, "finished") for units in (4, 8)),
        *((3, units, "finished") for units in (4, 8)),
        *((4, units, "failed") for units in (4, 8)),
    ]
    assert {row["message"] for row in found.trials if row["depth"] == 4} == {"RuntimeError: Four is too much."}
    assert found.best_method == "own"
    with pytest.raises(ValueError, match="An entry is a model of this package.*test_tuning._own"):
        found.retrain()


def test_own_models_must_report_what_the_task_is_judged_by(tmp_path):
    task = kh.RotationTask("digits")

    def build(depth, hp):
        inputs = {name: keras.Input((28, 28, 1), name=name) for name in ("x", "condition")}
        model = keras.Model(inputs, keras.layers.Dense(12)(keras.layers.Flatten()(inputs["x"])))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    with pytest.raises(ValueError, match="do not report 'accuracy', by which the task 'rotation' is judged: compile"):
        kh.tuning.search(task, build=build, depth=[2], epochs=1, directory=tmp_path, progress=False)


def test_the_search_space_works_with_tuners_of_keras_tuner(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(2, 32, 4)).astype("float32")

    def build(depth, hp):
        hidden = [keras.layers.Dense(hp.Int("units", 2, 3), activation="relu") for _ in range(depth - 1)]
        model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(4)])
        model.compile("sgd", loss="mse")
        return model

    own = keras_tuner.RandomSearch(
        DepthSearch(build=build, depth=(2, 3)), "val_loss", max_trials=2, directory=tmp_path, project_name="own"
    )
    own.search(x, y, validation_data=(x, y), verbose=0)
    assert own.get_best_hyperparameters()[0]["depth"] in (2, 3)

    objective = keras_tuner.Objective("validation_mse", "min")
    tuner = keras_tuner.GridSearch(
        DepthSearch(TASK, "hyper", depth=[2], recipe=RECIPE), objective, directory=tmp_path, project_name="task"
    )
    tuner.search(verbose=0)
    (trial,) = tuner.oracle.get_best_trials()
    expected = train_and_measure(TASK, "hyper", dataclasses.replace(RECIPE, depth=2))["validation"]
    assert abs(trial.score - expected) <= 1e-6


def test_the_best_is_trained_on_training_and_validation_data_as_an_entry(tmp_path):
    task = kh.RotationTask("digits")
    found = kh.tuning.search(task, "hyper", depth=[3], epochs=1, directory=tmp_path / "search", progress=False)
    card = found.retrain(data_note="A note.", progress=False)
    assert card == kh.verify_entry(tmp_path / "search" / "entry")
    model = kh.load(tmp_path / "search" / "entry")
    for split in ("validation", "test"):
        assert kh.evaluate(model, task, split) == pytest.approx(card.metrics[split], rel=1e-6)
    assert card.name == "rotation_digits_hyper_tuned"
    assert (card.seeds[0]["validation"], card.recipe) == (found.trials[0]["validation_error"], found.best.to_dict())
    assert "Trained on 1,497 examples, the validation split among them" in card.deviations[-1]
    assert card.selection == "the lowest validation error of 1 trials of a grid search over depth"
    assert card.command == (
        "keras-hypernet tune rotation_digits --method hyper --oracle grid --depths 3 --epochs 1 "
        "--executions-per-trial 1 --seed 0 --objective validation_error --retrain"
    )
    # The same as a training on examples that were joined by hand.
    other = kh.build_model(task, "hyper", found.best)
    joined = np.concatenate([task.load("train"), task.load("validation")])
    other.fit(task.training_dataset(joined, 64, 0, 0), shuffle=False, verbose=0)
    for trained, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(trained, expected, rtol=1e-5, atol=1e-6)


def test_test_data_have_no_part_in_a_search(tmp_path, monkeypatch):
    asked, load = set(), type(TASK).load

    def watched(self, split):
        asked.add(split)
        return load(self, split)

    monkeypatch.setattr(type(TASK), "load", watched)
    tiny_search(depth=[2], directory=tmp_path)
    assert asked == {"train", "validation"}


def test_an_equal_search_is_resumed_and_another_one_refused(tmp_path):
    found = tiny_search(depth=(2, 4), trials=2, directory=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for changes in ({"depth": (2, 3)}, {"seed": 1}, {"method": "embed"}, {"epochs": 4}, {"oracle": "random"}):
        with pytest.raises(ValueError, match="holds another search, .* and nothing of it was changed. Asked for"):
            tiny_search(trials=2, directory=tmp_path, **changes)
    with pytest.raises(ValueError, match="holds this search already: go on with it .--resume., start anew"):
        tiny_search(trials=2, directory=tmp_path, resume=False)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert plain(tiny_search(trials=2, directory=tmp_path).trials) == plain(found.trials)
    more = tiny_search(trials=3, directory=tmp_path)  # more of the same
    assert plain(more.trials[:2]) == plain(found.trials)
    assert sorted(column(more, "depth")) == [2, 3, 4]
    other = tiny_search(depth=[2], directory=tmp_path, overwrite=True)
    assert column(other, "depth") == [2]


def test_a_folder_of_something_else_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="is not empty and holds no search, but thesis.tex"):
            tiny_search(directory=tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_has_one_search_at_a_time(tmp_path):
    from keras_hypernet.tuning.directory import SearchDirectory

    with SearchDirectory(tmp_path).locked(), pytest.raises(ValueError, match="Another process is searching in"):
        tiny_search(directory=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"oracle": "genetic"}, "`oracle` must be one of .*'hyperband'.*Received: 'genetic'"),
        ({"trials": 0}, "`trials` must be an integer of at least 1. Received: 0"),
        ({"executions_per_trial": 0}, "`executions_per_trial` must be an integer of at least 1. Received: 0"),
        ({"factor": 1}, "`factor` must be an integer of at least 2. Received: 1"),
        ({"epochs": 0}, "`epochs` must be an integer of at least 1. Received: 0"),
        ({"depth": (9, 2)}, r"`depth` must be a range \(low, high\) .* 2 <= low <= high. Received: \(9, 2\)"),
        ({"depth": (1, 4)}, r"`depth` must be a range .* Received: \(1, 4\)"),
        ({"depth": [2.5]}, r"`depth` must be a list of integers of at least 2, .* Received: \[2.5\]"),
        ({"depth": None}, "`depth` must be searched: give a range"),
        ({"depth": []}, r"`depth` must be a list of integers .* Received: \[\]"),
        ({"learning_rate": (0.1, 0.01)}, r"`learning_rate` must be a range .*0 < low <= high. Received: \(0.1, 0.01\)"),
        ({"learning_rate": [0.0]}, r"`learning_rate` must be a list of positive numbers.* Received: \[0.0\]"),
        ({"initialization": ["orthogonal"]}, "`initialization` must be names of .* Received: .'orthogonal'."),
        ({"embedding_dim": [8]}, "`embedding_dim` is the output dimension of e, and hypernetworks have none"),
        ({"objective": "val_f1"}, "`objective` must be one of .'validation_mse',., what the models .* 'val_f1'"),
        ({"method": "linear"}, "`method` must be one of .'hyper', 'embed'., or several, for 'synthetic'. Rec.*linear"),
        ({"build": _own, "method": "hyper"}, "Give a `method` or your own function, `build`, and not both"),
        ({"build": _own, "width": [4]}, "What your own function searches .* give `depth` alone"),
        ({"strategy": "horovod"}, "`strategy` must be 'mirrored', .* Received: 'horovod'"),
        ({"distributed": "boss", "address": "a:1"}, "`distributed` must be one of .* Received: 'boss'"),
        ({"distributed": "chief"}, "The address of the chief must be HOST:PORT.* Received: None"),
        ({"distributed": "chief", "address": "here"}, "must be HOST:PORT.* Received: 'here'"),
        ({"distributed": "chief", "address": "a:1", "worker_id": "w"}, "The chief has no `worker_id`"),
        ({"distributed": "worker", "address": "a:1", "worker_id": "subchief"}, "a name without 'chief' in it"),
        ({"address": "a:1"}, "`address` and `worker_id` are for searches with `distributed`"),
    ],
)
def test_wrong_arguments_are_explained_and_leave_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_search(directory=tmp_path / "search", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_tasks_without_a_depth_are_refused():
    with pytest.raises(ValueError, match="'classification' have neither f nor e, so there is no depth to search"):
        DepthSearch(ClassificationTask("digits"), "hyper")
    with pytest.raises(ValueError, match="`method` must be one of .'process',., .* for 'rotation_set'"):
        DepthSearch(RotationSetTask("digits"), "hyper")
    with pytest.raises(TypeError, match="`task` must be a keras_hypernet Task. Received: 'rotation'"):
        kh.tuning.search("rotation")
    with pytest.raises(ValueError, match="needs a `task`, or your own function"):
        DepthSearch()
    with pytest.raises(TypeError, match="`build` must be a function"):
        DepthSearch(build=3)


def test_environment_variables_of_keras_tuner_are_not_overlooked(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(ValueError, match="take its orders from KERASTUNER_ORACLE_IP, which is set: unset it, or say"):
        tiny_search(directory=tmp_path)


def test_everything_can_be_searched_at_once():
    search = DepthSearch(
        TASK, "both", width=True, initialization=True, learning_rate=True, embedding_dim=True, recipe=RECIPE
    )
    names = ["method", "depth", "width", "initialization", "learning_rate", "embedding_dim"]
    assert search.space.names() == names
    hp = keras_tuner.HyperParameters()
    method, recipe = search.configure(hp)
    assert [one.name for one in hp.space] == names
    # By default the paper's values, or the first where these are not among the choices.
    assert (method, recipe) == ("hyper", dataclasses.replace(RECIPE, width=25))
    hp.values["method"] = "embed"
    hp.ensure_active_values()
    method, recipe = search.configure(hp)
    assert (method, recipe.embedding_dim in (16, 64, 256, 1024, 4096)) == ("embed", True)
    finite = Space(("hyper", "embed"), depth=[2, 3], embedding_dim=[4, 8])
    assert (finite.num_configurations(), search.space.num_configurations()) == (2 + 4, math.inf)


def test_names_lead_to_tasks_and_back():
    from keras_hypernet.tuning.names import SEARCH_TASKS, get_search_task, search_name

    for name in SEARCH_TASKS:
        assert search_name(get_search_task(name, seed=3)) == name
        assert get_search_task(name, quick=True).x_shape == get_search_task(name).x_shape or "synthetic" in name
    assert get_search_task("synthetic_inner", seed=3).seed == 3
    with pytest.raises(ValueError, match="no task 'rotation_minst' to search the depth for; did you mean rotation_mni"):
        get_search_task("rotation_minst")


def test_a_configuration_is_json(grid):
    assert json.loads((grid.directory / "search.json").read_text()) == grid.config
