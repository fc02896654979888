"""Models and tasks of a user."""

import dataclasses
import functools
from typing import ClassVar

import keras
import keras_tuner
import numpy as np
import pytest
from tiny_search import RECIPE, TASK, logged_hparams, own_model, tiny_search

import keras_hypernet as kh
from keras_hypernet.tasks import GaussianProcessTask, SyntheticTask
from keras_hypernet.tuning.hypermodel import DepthSearch, is_importable, qualified_name


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The result of a search over a user's own models."""
    return tiny_search(build=own_model, depth=[2, 4], epochs=1, directory=tmp_path_factory.mktemp("own"))


def test_own_models_are_searched_and_a_failure_is_a_row(own):
    assert sorted((row["depth"], row["units"], row["status"]) for row in own.trials) == [
        *((2, units, "finished") for units in (4, 8)),
        *((4, units, "failed") for units in (4, 8)),
    ]
    assert {row["message"] for row in own.trials if row["depth"] == 4} == {"RuntimeError: Four is too much."}
    assert own.best_method == "own"
    with pytest.raises(ValueError, match="An entry is a model of this package .*tiny_search.own_model"):
        own.retrain()


def _conditional(depth, hp):
    with hp.conditional_scope("depth", [3]):
        hp.Choice("u", [4, 8])
    return _compiled("mse")(depth, hp)


def _late(depth, hp):
    """Asks without a scope, so keras-tuner does not know the name beforehand."""
    if depth == 2:
        hp.Choice("u", [4, 8])
    return _compiled("mse")(depth, hp)


@pytest.mark.regression
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_conditional, [(2, None), (3, 4), (3, 8)]),
        pytest.param(_late, [(2, 4), (2, 8), (3, None)], marks=pytest.mark.full),
    ],
)
def test_a_grid_of_own_models(tmp_path, capfd, build, expected):
    """The first trial has the depth 3, that of the recipe."""
    options = {"build": build, "depth": (2, 3), "epochs": 1, "directory": tmp_path, "progress": True}
    result = tiny_search(**options)
    assert sorted(((row["depth"], row.get("u")) for row in result.trials), key=str) == expected
    assert {row["status"] for row in result.trials} == {"finished"}
    assert f"synthetic: {len(expected)}/{len(expected)} trials, " in capfd.readouterr().err.splitlines()[-1]
    assert tiny_search(**options).trials == result.trials


@pytest.mark.full
@pytest.mark.regression
def test_a_grid_over_a_range_of_learning_rates(tmp_path, capfd):
    options = {"depth": (2, 3), "learning_rate": (1e-3, 1e-1), "epochs": 1, "directory": tmp_path, "progress": True}
    result = tiny_search(**options, trials=2)
    assert [(row["depth"], row["status"]) for row in result.trials] == 2 * [(3, "finished")]
    assert result.trials[0]["learning_rate"] == RECIPE.learning_rate
    assert "synthetic: 2/2 trials, " in capfd.readouterr().err.splitlines()[-1]


@dataclasses.dataclass(frozen=True)
class OwnTask(SyntheticTask):
    """A task of a user."""

    name: ClassVar[str] = "mine"
    scales: tuple = (1, 2)


@pytest.mark.regression
def test_a_task_of_a_user_is_searched(searched, tmp_path):
    mine = OwnTask(**{name: value for name, value in TASK.config().items() if name != "name"})
    search = functools.partial(kh.tuning.search, depth=[2], recipe=RECIPE, progress=False)
    result = search(mine, directory=tmp_path / "mine")
    (expected,) = [row["validation_mse"] for row in searched.trials if row["depth"] == 2]
    assert [row["validation_mse"] for row in result.trials] == [pytest.approx(expected, rel=1e-6)]
    assert search(mine, directory=tmp_path / "mine").trials == result.trials  # nothing is left to do
    read = kh.tuning.SearchResult.read
    assert read(tmp_path / "mine", mine) == result
    assert read(tmp_path / "mine", mine).task is mine
    with pytest.raises(ValueError, match=r"There is no task 'mine'; .* import the module of your own task"):
        read(tmp_path / "mine")
    with pytest.raises(ValueError, match="mine is for the task .*'mine'.* Received: .*'synthetic'"):
        read(tmp_path / "mine", TASK)
    card = result.retrain(progress=False)
    assert (card.name, card.task, card.deviations[:-1]) == ("mine_hyper_tuned", mine.config(), [])
    assert kh.evaluate(kh.load(tmp_path / "mine" / "entry"), mine) == pytest.approx(card.metrics["test"], rel=1e-6)
    with pytest.raises(ValueError, match="The paper has recipes for the tasks"):
        kh.tuning.search(mine, directory=tmp_path / "none")
    assert not (tmp_path / "none").exists()


class Taken(SyntheticTask):
    """A task of a user with the name of another task."""


@pytest.mark.regression
def test_a_task_without_json_is_refused_before_anything_is_done(tmp_path):
    search = functools.partial(kh.tuning.search, recipe=RECIPE, directory=tmp_path / "search", progress=False)
    with pytest.raises(
        ValueError, match=r"needs a new name: 'synthetic' is the name of .*\.SyntheticTask. Received: .*\.Taken"
    ):
        search(Taken("inner", dim=4))
    with pytest.raises(TypeError, match="The fields of a task must be plain values, .* Received for 'mine': .*ndarray"):
        search(OwnTask("inner", dim=4, scales=np.zeros(2)))
    assert list(tmp_path.iterdir()) == []


def test_hyperparameters_of_an_own_function_are_logged_and_drawn(own, tmp_path, monkeypatch):
    figure_class, drawn = pytest.importorskip("matplotlib.figure").Figure, []
    assert own.hyperparameters == ["depth", "units"]
    monkeypatch.setattr(figure_class, "savefig", lambda figure, path, **_: (drawn.append(figure), path.touch()))
    kh.tuning.draw_searches([own], tmp_path)
    labels = [text.get_text() for text in drawn[1].axes[0].get_xticklabels()]
    assert labels == ["depth", "units", "validation mse"]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(own.directory / "tensorboard" / "hparams"))
    events.Reload()
    content = events.PluginTagToContent("hparams")["_hparams_/experiment"]
    infos = HParamsPluginData.FromString(content).experiment.hparam_infos
    assert [info.name for info in infos] == ["depth", "units"]
    assert set(logged_hparams(own.directory, 0)[0]) == {"depth", "units"}


@pytest.mark.regression
def test_zero_has_a_place_on_any_scale(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {"trial": number, "method": "own", "status": "finished", "depth": 2, "width": width, "validation_mse": 0.5}
        for number, width in enumerate((0, 4, 400))
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


@pytest.mark.parametrize("name", ["method", "validation_mse", "tuner/epochs"])
def test_names_of_columns_are_refused(tmp_path, name):
    expected = f"not ask `hp` for a name of .*'epochs', .* begins with 'tuner/'. Received: {name!r}"
    with pytest.raises(ValueError, match=expected):
        tiny_search(build=_asking("units", name), depth=[2], directory=tmp_path)


@pytest.mark.regression
def test_a_name_under_several_conditions_is_refused(tmp_path):
    def build(depth, hp):
        for value in (2, 3):
            with hp.conditional_scope("depth", [value]):
                hp.Choice("u", [4, 8])
        return _compiled("mse")(depth, hp)

    with pytest.raises(ValueError, match="for each name under one condition: .* Received under several: 'u'"):
        tiny_search(build=build, depth=(2, 3), directory=tmp_path)


def test_a_name_may_have_a_slash(tmp_path):
    result = tiny_search(build=_asking("layer/units"), depth=[2], epochs=1, trials=1, directory=tmp_path)
    assert [row["layer/units"] for row in result.trials] == [1]
    assert result.hyperparameters == ["depth", "layer/units"]


@pytest.mark.full
def test_hyperband_continues_the_best_of_own_models(tmp_path):
    result = tiny_search(None, "hyperband", build=_asking(), depth=[2, 3, 4], epochs=3, factor=3, directory=tmp_path)
    assert sorted(row["total_epochs"] for row in result.trials) == [1, 1, 1, 3]


class _Callable:
    def __call__(self, depth, hp):
        return own_model(depth, hp)


@pytest.mark.parametrize(
    ("build", "name"),
    [(functools.partial(own_model), own_model.__qualname__), (_Callable(), "_Callable")],
)
def test_any_callable_builds_own_models(build, name):
    model = DepthSearch(TASK, build=build, recipe=RECIPE).build(keras_tuner.HyperParameters())
    assert len(model.layers) == 2 + 1 + RECIPE.depth
    assert qualified_name(build).endswith(f".{name}")
    assert not is_importable(build)


def test_functions_and_classes_of_modules_are_found_by_their_names():
    assert is_importable(own_model)
    assert is_importable(DepthSearch)
    assert is_importable(DepthSearch.build)
    assert not is_importable(lambda: None)


def test_own_models_must_report_what_the_task_is_judged_by(tmp_path):
    task = kh.RotationTask("digits")

    def build(depth, hp):
        inputs = {name: keras.Input((28, 28, 1), name=name) for name in ("x", "condition")}
        model = keras.Model(inputs, keras.layers.Dense(12)(keras.layers.Flatten()(inputs["x"])))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    expected = f"The models of {__name__}.test_own_models_.*build do not report 'accuracy', which the task 'rotation'"
    with pytest.raises(ValueError, match=f"{expected} needs: compile"):
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


def test_another_loss_is_not_taken_for_the_mean_squared_error(tmp_path):
    search = functools.partial(kh.tuning.search, TASK, depth=[2], epochs=1, progress=False)
    for name, loss, options in (("mae", "mae", {}), ("regularized", "mse", {"regularizer": "l2"})):
        with pytest.raises(ValueError, match="do not report 'mse', which .* needs: compile them with metrics=."):
            search(build=_compiled(loss, **options), directory=tmp_path / name)
    build = _compiled("mae", regularizer="l2", metrics=["mse"])
    result = search(build=build, directory=tmp_path / "metric")
    _, targets = next(iter(TASK.evaluation_dataset("validation")))
    # The model is zero.
    assert result.best_trial["validation_mse"] == pytest.approx(float(np.mean(np.square(targets))), rel=1e-5)


def test_a_task_with_networks_of_its_own_is_searched_by_its_metric(tmp_path):
    task = GaussianProcessTask("rbf", members=3, num_points=4, num_train=64, num_validation=32, num_test=32)
    recipe = kh.Recipe(width=8, optimizer="adam", epochs=1)
    options = {"depth": (2, 3), "recipe": recipe, "oracle": "grid"}
    result = kh.tuning.search(task, "film", **options, directory=tmp_path)
    assert result.objective == "validation_excess"
    assert min(trial["validation_excess"] for trial in result.trials) > 0
    with pytest.raises(ValueError, match=r"`method` must be one of \('process', 'film', 'hyper'\)"):
        kh.tuning.search(task, "embed", **options, directory=tmp_path / "other")
