"""Search spaces, tasks and arguments of a search, and the messages about wrong arguments."""

import dataclasses
import json

import keras_tuner
import numpy as np
import pytest
from tiny_search import RECIPE, TASK, own_model, tiny_search

import keras_hypernet as kh
from keras_hypernet.tasks import ClassificationTask, RotationSetTask
from keras_hypernet.tuning.hypermodel import DepthSearch
from keras_hypernet.tuning.names import SEARCH_TASKS, get_search_task, search_name, searched
from keras_hypernet.tuning.oracles import configurations, count_configurations


def test_everything_can_be_searched_at_once():
    search = DepthSearch(
        TASK, "both", width=True, initialization=True, learning_rate=True, embedding_dim=True, recipe=RECIPE
    )
    names = ["method", "depth", "width", "initialization", "learning_rate", "embedding_dim"]
    assert searched(search.methods, search.space) == names
    hp = keras_tuner.HyperParameters()
    method, recipe = search.configure(hp)
    assert [hyperparameter.name for hyperparameter in hp.space] == names
    # By default the paper's values, or the first where these are not among the choices.
    assert (method, recipe) == ("hyper", dataclasses.replace(RECIPE, width=25))
    hp.values["method"] = "embed"
    hp.ensure_active_values()
    method, recipe = search.configure(hp)
    assert (method, recipe.embedding_dim in (16, 40, 64, 256, 1024, 4096)) == ("embed", True)
    search = DepthSearch(TASK, "both", depth=[2, 3], embedding_dim=[4, 8], recipe=RECIPE)
    search.configure(hp := keras_tuner.HyperParameters())
    assert count_configurations(hp.space, 1000) == len(list(configurations(hp.space))) == 2 + 4


def test_numpy_makes_a_space():
    rates = np.array([0.25, 0.5], "float32")
    search = DepthSearch(TASK, depth=np.arange(2, 5), width=(np.int64(3), 8), learning_rate=rates)
    expected = {"depth": [2, 3, 4], "width": {"low": 3, "high": 8}, "initialization": None}
    expected |= {"learning_rate": [0.25, 0.5], "embedding_dim": None}
    assert json.dumps(search.space) == json.dumps(expected)
    for depth in (np.int64(3), range(3, 4)):
        assert DepthSearch(TASK, depth=depth).space["depth"] == [3]
    assert DepthSearch(TASK, **search.space, recipe=RECIPE).space == search.space
    assert DepthSearch(TASK, width=[50, 100, 50]).space["width"] == [50, 100]


@pytest.mark.parametrize(
    ("options", "number", "points"),
    [
        ({"min_value": 2, "max_value": 9}, 8, 8),
        ({"min_value": 2, "max_value": 9, "step": 3}, 3, 3),
        ({"min_value": 1, "max_value": 100, "sampling": "log"}, 100, 9),
        ({"min_value": 1, "max_value": 100, "sampling": "log", "step": 10}, 3, 3),
    ],
)
def test_configurations_of_integers_are_counted(options, number, points):
    """A grid has up to ten points of a range without steps, and the default."""
    hp = keras_tuner.HyperParameters()
    hp.Int("units", **options)
    hp.Boolean("bias")
    hp.Fixed("rank", 3)
    assert count_configurations(hp.space, None) == 2 * number
    assert len(list(configurations(hp.space))) == 2 * points
    hp.Float("rate", 0.1, 0.3)
    assert count_configurations(hp.space, 1000) == 1000
    assert len(list(configurations(hp.space))) == 2 * points * 11


def test_the_seed_of_a_search_is_by_default_that_of_the_recipe():
    for seed, expected in ((None, 3), (0, 0)):
        hypermodel = DepthSearch(TASK, recipe=dataclasses.replace(RECIPE, seed=3))
        hypermodel.set_recipe(seed=seed, epochs=None)
        assert (hypermodel.recipe.seed, hypermodel.recipe.epochs) == (expected, RECIPE.epochs)


@pytest.mark.parametrize(("name", "usual"), [("synthetic_inner", 10_000), ("rotation_mnist", 7850)])
def test_the_usual_embedding_dimensions_include_that_of_the_recipe_as_default(name, usual):
    """With an embedding dimension in the recipe, and with one from the task."""
    search = DepthSearch(get_search_task(name), "embed", embedding_dim=True)
    assert search.space["embedding_dim"] == sorted([16, 64, 256, 1024, 4096, usual])
    hp = keras_tuner.HyperParameters()
    assert search.configure(hp)[1].embedding_dim == usual
    DepthSearch(get_search_task(name), "embed", embedding_dim=(16, 16_384)).configure(
        hp := keras_tuner.HyperParameters()
    )
    assert hp.get("embedding_dim") == usual


def test_names_lead_to_tasks_and_back():
    for name in SEARCH_TASKS:
        assert search_name(get_search_task(name, seed=3)) == name
        assert get_search_task(name, quick=True).x_shape == get_search_task(name).x_shape or "synthetic" in name
    assert get_search_task("synthetic_inner", seed=3).seed == 3
    with pytest.raises(ValueError, match="no task 'rotation_minst' to search the depth for; did you mean rotation_mni"):
        get_search_task("rotation_minst")


def test_tasks_without_a_depth_are_refused():
    with pytest.raises(ValueError, match="'classification' has no condition, so neither f nor e"):
        DepthSearch(ClassificationTask("digits"), "hyper")
    with pytest.raises(ValueError, match="`method` must be one of .'process',., .* for 'rotation_set'"):
        DepthSearch(RotationSetTask("digits"), "hyper")
    with pytest.raises(TypeError, match="`task` must be a keras_hypernet Task. Received: 'rotation'"):
        kh.tuning.search("rotation")
    with pytest.raises(ValueError, match="needs a `task`, or your own function"):
        DepthSearch()
    with pytest.raises(TypeError, match="`build` must be a function"):
        DepthSearch(build=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"oracle": "genetic"}, "`oracle` must be one of .*'hyperband'.*Received: 'genetic'"),
        ({"trials": 0}, "`trials` must be an integer of at least 1. Received: 0"),
        ({"executions_per_trial": 0}, "`executions_per_trial` must be an integer of at least 1. Received: 0"),
        ({"factor": 1}, "`factor` must be an integer of at least 2. Received: 1"),
        (
            {"oracle": "hyperband", "epochs": 2},
            "`epochs` must be at least `factor`, .* Received: 2 epochs and the factor 3",
        ),
        ({"epochs": 0}, "`epochs` must be an integer of at least 1. Received: 0"),
        ({"depth": (9, 2)}, r"`depth` must be .* a range \(low, high\) .* low <= high. Received: \(9, 2\)"),
        ({"depth": (1, 4)}, "`depth` must be an integer of at least 2. Received: 1"),
        ({"depth": [2.5]}, "`depth` must be an integer of at least 2. Received: 2.5"),
        ({"width": [4, True]}, r"`width` must be a list of choices, .* Received: \[4, True\]"),
        ({"depth": None}, "`depth` must be searched: give a range"),
        ({"depth": []}, r"`depth` must be a list .* Received: \[\]"),
        ({"learning_rate": (0.1, 0.01)}, r"`learning_rate` must be .* low <= high. Received: \(0.1, 0.01\)"),
        ({"learning_rate": [0.0]}, "`learning_rate` must be positive and finite. Received: 0.0"),
        ({"initialization": ["orthogonal"]}, "`initialization` must be one of .* Received: 'orthogonal'"),
        ({"embedding_dim": [8]}, "`embedding_dim` is the output dimension of e, and hypernetworks have none"),
        ({"objective": "val_f1"}, "`objective` must be one of .'validation_mse',. for .* 'val_f1'"),
        ({"method": "linear"}, "`method` must be one of .'hyper', 'embed'., or several, for 'synthetic'. Rec.*linear"),
        ({"build": own_model, "method": "hyper"}, "Give a `method` or your own function, `build`, and not both"),
        ({"build": own_model, "width": [4]}, "Your own function asks `hp` .* give `depth` alone"),
        ({"strategy": "horovod"}, "`strategy` must be 'mirrored', .* Received: 'horovod'"),
        ({"engine": "slurm"}, "`engine` must be one of .'local', 'ray'.. Received: 'slurm'"),
        ({"address": "a:1"}, "`address` is the address of a Ray cluster, for the engine 'ray'. Received: 'a:1'"),
        ({"workers": 0}, "`workers` must be an integer of at least 1. Received: 0"),
        (
            {"oracle": "hyperband", "epochs": 9},
            "needs 9 configurations for its first round, with 9 `epochs` .* Received: 3.",
        ),
    ],
)
def test_wrong_arguments_are_explained_and_leave_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_search(directory=tmp_path / "search", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_environment_variables_of_keras_tuner_are_not_overlooked(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(ValueError, match="take orders from the environment variable KERASTUNER_ORACLE_IP: unset"):
        tiny_search(directory=tmp_path)
