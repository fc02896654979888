"""Models of a user's own, and keras-tuner's own tuners."""

import contextlib
import dataclasses
import functools
import json
import os
import socket
import subprocess
import sys
from typing import ClassVar

import keras
import keras_tuner
import numpy as np
import pytest
from helpers import TESTS
from tiny_search import RECIPE, TASK, own_model, tiny_search

import keras_hypernet as kh
from keras_hypernet.experiments.experiment import train_and_measure
from keras_hypernet.tasks import SyntheticTask
from keras_hypernet.tuning.hypermodel import DepthSearch


def test_own_models_are_searched_and_what_fails_is_a_row(tmp_path):
    found = tiny_search(build=own_model, depth=[2, 3, 4], directory=tmp_path)
    assert sorted((row["depth"], row["units"], row["status"]) for row in found.trials) == [
        *((2, units, "finished") for units in (4, 8)),
        *((3, units, "finished") for units in (4, 8)),
        *((4, units, "failed") for units in (4, 8)),
    ]
    assert {row["message"] for row in found.trials if row["depth"] == 4} == {"RuntimeError: Four is too much."}
    assert found.best_method == "own"
    with pytest.raises(ValueError, match="An entry is a model of this package.*tiny_search.own_model"):
        found.retrain()


def _choice(depth, hp):
    return _compiled("mse")(depth, hp) if hp.Choice("u", [4, 8]) else None


def _conditional(depth, hp):
    with hp.conditional_scope("depth", [3]):
        hp.Choice("u", [4, 8])
    return _compiled("mse")(depth, hp)


def _late(depth, hp):
    """What keras-tuner does not find beforehand, since there is no scope."""
    if depth == 2:
        hp.Choice("u", [4, 8])
    return _compiled("mse")(depth, hp)


@pytest.mark.regression
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_choice, [(2, 4), (2, 8), (3, 4), (3, 8)]),
        (_conditional, [(2, None), (3, 4), (3, 8)]),
        (_late, [(2, 4), (2, 8), (3, None)]),  # the depth 3 does not ask for it
    ],
)
def test_a_grid_of_own_models(tmp_path, capfd, build, expected):
    """The first trial has the depth 3, that of the recipe."""
    options = {"build": build, "depth": (2, 3), "epochs": 1, "directory": tmp_path, "progress": True}
    found = tiny_search(**options)
    assert sorted(((row["depth"], row.get("u")) for row in found.trials), key=str) == expected
    assert {row["status"] for row in found.trials} == {"finished"}
    assert f"synthetic: {len(expected)}/{len(expected)} trials, " in capfd.readouterr().err.splitlines()[-1]
    assert tiny_search(**options).trials == found.trials


@pytest.mark.regression
def test_a_grid_over_a_range_of_learning_rates(tmp_path, capfd):
    options = {"depth": (2, 3), "learning_rate": (1e-3, 1e-1), "epochs": 1, "directory": tmp_path, "progress": True}
    found = tiny_search(**options, trials=3)
    assert [(row["depth"], row["status"]) for row in found.trials] == 3 * [(3, "finished")]
    assert found.trials[0]["learning_rate"] == RECIPE.learning_rate
    assert "synthetic: 3/3 trials, " in capfd.readouterr().err.splitlines()[-1]


@dataclasses.dataclass(frozen=True)
class OwnTask(SyntheticTask):
    """A task that this package does not know."""

    name: ClassVar[str] = "mine"
    scales: tuple = (1, 2)


@pytest.mark.regression
def test_a_task_of_ones_own_is_searched(tmp_path):
    mine = OwnTask(**{name: value for name, value in TASK.config().items() if name != "name"})
    search = functools.partial(kh.tuning.search, depth=[2, 3], recipe=RECIPE, progress=False)
    found = search(mine, directory=tmp_path / "mine")
    expected = search(TASK, directory=tmp_path / "known").trials
    assert [row["validation_mse"] for row in found.trials] == [row["validation_mse"] for row in expected]
    assert search(mine, directory=tmp_path / "mine").trials == found.trials  # nothing is left to do
    read = kh.tuning.SearchResult.read
    assert read(tmp_path / "mine", mine) == found
    assert read(tmp_path / "mine", mine).task is mine
    with pytest.raises(ValueError, match=r"mine is for a task of your own, 'mine': give that task too"):
        read(tmp_path / "mine")
    with pytest.raises(ValueError, match="mine is for the task .*'mine'.* Received: .*'synthetic'"):
        read(tmp_path / "mine", TASK)
    with pytest.raises(ValueError, match="An entry is for a task of this package, .* Received: the task 'mine'; train"):
        found.retrain()
    with pytest.raises(ValueError, match="The paper has recipes for the tasks"):
        kh.tuning.search(mine, directory=tmp_path / "none")
    assert not (tmp_path / "none").exists()


class Taken(SyntheticTask):
    """A task of a user's own, which has the name of another."""


@pytest.mark.regression
def test_a_task_that_cannot_be_written_down_is_refused_before_anything_is_done(tmp_path):
    search = functools.partial(kh.tuning.search, recipe=RECIPE, directory=tmp_path / "search", progress=False)
    with pytest.raises(
        ValueError, match="needs a name of its own: 'synthetic' is that of SyntheticTask. Received: Tak"
    ):
        search(Taken("inner", dim=4))
    with pytest.raises(TypeError, match="The fields of a task must be plain values, .* Received for 'mine': .*ndarray"):
        search(OwnTask("inner", dim=4, scales=np.zeros(2)))
    assert list(tmp_path.iterdir()) == []


def test_what_an_own_function_asks_for_is_logged_and_drawn(tmp_path, monkeypatch):
    figure_class, drawn = pytest.importorskip("matplotlib.figure").Figure, []
    found = tiny_search(build=own_model, depth=[2, 3], trials=1, directory=tmp_path)
    assert found.hyperparameters == ["depth", "units"]
    monkeypatch.setattr(figure_class, "savefig", lambda figure, path, **_: (drawn.append(figure), path.touch()))
    kh.tuning.draw_searches([found], tmp_path)
    labels = [text.get_text() for text in drawn[1].axes[0].get_xticklabels()]
    assert labels == ["depth", "units", "validation mse"]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    logged = {}
    (trial,) = (path.name for path in (tmp_path / "tensorboard").iterdir() if path.name != "hparams")
    for folder, tag in (("hparams", "experiment"), (trial, "session_start_info")):
        events = EventAccumulator(str(tmp_path / "tensorboard" / folder))
        events.Reload()
        content = events.PluginTagToContent("hparams")[f"_hparams_/{tag}"]
        logged[tag] = getattr(HParamsPluginData.FromString(content), tag)
    assert [info.name for info in logged["experiment"].hparam_infos] == ["depth", "units"]
    assert set(logged["session_start_info"].hparams) == {"depth", "units"}


@pytest.mark.regression
def test_zero_has_a_place_on_any_scale(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {"trial": place, "method": "own", "status": "finished", "depth": 2, "width": width, "validation_mse": 0.5}
        for place, width in enumerate((0, 4, 400))
    ]
    config = {"task": TASK.config(), "objective": "validation_mse", "method": ["own"], "space": {"depth": [2]}}
    paths = kh.tuning.draw_searches([kh.tuning.SearchResult(config, tmp_path, rows, TASK)], tmp_path)
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG"] * 2


def _asking(*names):
    """A function whose models never learn, and which asks for a choice of each name."""

    def build(depth, hp):
        for name in names:
            hp.Choice(name, [1, 2])
        return _compiled("mse")(depth, hp)

    return build


@pytest.mark.parametrize("name", ["method", "status", "trial", "seconds", "validation_mse", "tuner/epochs"])
def test_names_of_columns_are_not_to_be_asked_for(tmp_path, name):
    expected = f"none of .*'epochs', .* and not begin with 'tuner/'. Received: {name!r}"
    with pytest.raises(ValueError, match=expected):
        tiny_search(build=_asking("units", name), depth=[2], directory=tmp_path)


@pytest.mark.regression
def test_a_name_is_not_to_be_asked_for_under_several_conditions(tmp_path):
    def build(depth, hp):
        for value in (2, 3):
            with hp.conditional_scope("depth", [value]):
                hp.Choice("u", [4, 8])
        return _compiled("mse")(depth, hp)

    with pytest.raises(ValueError, match="for each name under one condition: .* Received under several: 'u'"):
        tiny_search(build=build, depth=(2, 3), directory=tmp_path)


def test_what_is_asked_for_may_have_a_slash_in_its_name(tmp_path):
    found = tiny_search(build=_asking("layer/units"), depth=[2], epochs=1, directory=tmp_path)
    assert [row["layer/units"] for row in found.trials] == [1, 2]
    assert found.hyperparameters == ["depth", "layer/units"]


def test_hyperband_continues_the_best_of_own_models(tmp_path):
    found = tiny_search(None, "hyperband", build=_asking(), depth=[2, 3, 4], epochs=3, factor=3, directory=tmp_path)
    assert sorted(row["total_epochs"] for row in found.trials) == [1, 1, 1, 3]


class _Callable:
    def __call__(self, depth, hp):
        return own_model(depth, hp)


@pytest.mark.parametrize(
    ("build", "name"),
    [(functools.partial(own_model), own_model.__qualname__), (_Callable(), "_Callable")],
)
def test_whatever_can_be_called_builds_own_models(tmp_path, build, name):
    found = tiny_search(build=build, depth=[2], trials=1, directory=tmp_path)
    assert found.trials[0]["status"] == "finished"
    assert found.config["build"].endswith(f".{name}")


def test_own_models_must_report_what_the_task_is_judged_by(tmp_path):
    task = kh.RotationTask("digits")

    def build(depth, hp):
        inputs = {name: keras.Input((28, 28, 1), name=name) for name in ("x", "condition")}
        model = keras.Model(inputs, keras.layers.Dense(12)(keras.layers.Flatten()(inputs["x"])))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    expected = (
        f"The models of {__name__}.test_own_models_.*build do not report 'accuracy', by which the task 'rotation'"
    )
    with pytest.raises(ValueError, match=f"{expected} is judged: compile"):
        kh.tuning.search(task, build=build, depth=[2], epochs=1, directory=tmp_path, progress=False)


def _compiled(loss, **options):
    """A function that builds a model, which never learns, with this loss."""

    def build(depth, hp):
        inputs = {name: keras.Input((4,), name=name) for name in ("x", "condition")}
        regularizer = options.get("regularizer")
        outputs = keras.layers.Dense(1, kernel_initializer="zeros", kernel_regularizer=regularizer, use_bias=False)
        model = keras.Model(inputs, outputs(keras.layers.Concatenate()(list(inputs.values()))))
        model.compile(keras.optimizers.SGD(1e-12), loss, metrics=options.get("metrics"))
        return model

    return build


@pytest.mark.parametrize(("loss", "options"), [("mae", {}), ("mse", {"regularizer": "l2"})])
def test_another_loss_is_not_taken_for_the_mean_squared_error(tmp_path, loss, options):
    search = {"depth": [2], "epochs": 1, "progress": False}
    with pytest.raises(ValueError, match=r"do not report 'mse', by which .* is judged: compile them with metrics=."):
        kh.tuning.search(TASK, build=_compiled(loss, **options), directory=tmp_path / "without", **search)
    build = _compiled(loss, **options, metrics=["mse"])
    found = kh.tuning.search(TASK, build=build, directory=tmp_path / "with", **search)
    _, targets = next(iter(TASK.evaluation_dataset("validation")))
    # The model is zero.
    assert found.best_trial["validation_mse"] == pytest.approx(float(np.mean(np.square(targets))), rel=1e-5)


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


@pytest.mark.parametrize("own", [False, True])
def test_executions_of_tuners_of_keras_tuner_have_seeds_of_their_own(tmp_path, monkeypatch, own):
    def build(depth, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        model.compile(keras.optimizers.SGD(1e-12), loss="mse")
        return model

    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    data = {"x": x, "y": x, "validation_data": (x, x)} if own else {}
    model = DepthSearch(build=build, depth=[2, 3]) if own else DepthSearch(TASK, "hyper", depth=[2, 3], recipe=RECIPE)
    results, trained = [], model.fit

    def fit(hp, *args, **kwargs):
        returned = trained(hp, *args, **kwargs)
        results.append((hp["depth"], returned.history["val_loss"][-1] if own else returned["validation_mse"]))
        return returned

    monkeypatch.setattr(model, "fit", fit)
    tuner = keras_tuner.GridSearch(
        model,
        keras_tuner.Objective("val_loss" if own else "validation_mse", "min"),
        executions_per_trial=2,
        directory=tmp_path,
        project_name="search",
    )
    tuner.search(verbose=0, **data)
    assert sorted(depth for depth, _ in results) == [2, 2, 3, 3]
    assert len({round(value, 5) for _, value in results}) == (2 if own else 4)  # the own model has but one depth
    if not own:
        for (depth, result), seed in zip(results, (0, 1, 0, 1), strict=True):
            recipe = dataclasses.replace(RECIPE, depth=depth, seed=seed)
            assert result == pytest.approx(train_and_measure(TASK, "hyper", recipe)["validation"], abs=1e-6)


@pytest.mark.parametrize("own", [False, True])
def test_tuners_of_keras_tuner_need_an_objective_that_is_reported(tmp_path, own):
    x = np.zeros((8, 4), "float32")

    def build(depth, hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        model.compile("sgd", loss="mse")
        return model

    model = DepthSearch(build=build, depth=(2, 3)) if own else DepthSearch(TASK, "hyper", depth=(2, 3), recipe=RECIPE)
    data = {"x": x, "y": x, "validation_data": (x, x)} if own else {}
    objective = keras_tuner.Objective("val_f1", "max")
    tuner = keras_tuner.RandomSearch(model, objective, max_trials=2, directory=tmp_path, project_name="search")
    reported = r".'loss', 'val_loss'., what your models" if own else r".'validation_mse',., what the models of the task"
    with pytest.raises(ValueError, match=f"`objective` must be one of {reported}.* report. Received: 'val_f1'"):
        tuner.search(verbose=0, **data)


# One of keras-tuner's own tuners, whose part in a search by several processes environment variables say.
TUNER = """
import sys
import keras_tuner
from tiny_search import RECIPE, TASK
from keras_hypernet.tuning import DepthSearch
search = DepthSearch(TASK, "hyper", depth=(2, 4), recipe=RECIPE)
objective = keras_tuner.Objective("validation_mse", "min")
keras_tuner.RandomSearch(search, objective, 2, directory=sys.argv[1], project_name="search").search(verbose=0)
"""


@pytest.mark.full
def test_chief_and_worker_of_keras_tuner_run_the_search_space(tmp_path):
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(probe.getsockname()[1])}
    parts = []
    for name in ("chief", "worker-1"):
        variables = {**os.environ, **address, "KERASTUNER_TUNER_ID": name}
        command = [sys.executable, "-W", "ignore", "-c", TUNER, str(tmp_path)]
        parts.append(subprocess.Popen(command, env=variables, cwd=TESTS))
    assert [part.wait() for part in parts] == [0, 0]
    trials = [json.loads(path.read_text()) for path in tmp_path.glob("search/trial_*/trial.json")]
    assert [trial["status"] for trial in trials] == ["COMPLETED", "COMPLETED"]
    for trial in trials:
        recipe = dataclasses.replace(RECIPE, depth=trial["hyperparameters"]["values"]["depth"])
        expected = train_and_measure(TASK, "hyper", recipe)["validation"]
        assert trial["score"] == pytest.approx(expected, abs=1e-6)
