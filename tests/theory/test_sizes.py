"""Parameter counts of the paper's configurations, against the models that are built."""

import math

import keras
import pytest

import keras_hypernet as kh
from keras_hypernet import theory
from keras_hypernet.tasks import ApproximationTask, ClassificationTask, ColorizationTask


def _built(sizes, use_bias=False):
    """Number of parameters of the Dense layers that Keras builds."""
    layers = [keras.layers.Dense(units, use_bias=use_bias) for units in sizes[1:]]
    return keras.Sequential([keras.Input(sizes[:1]), *layers]).count_params()


@pytest.mark.parametrize("use_bias", [False, True])
def test_dense_parameters_match_keras(use_bias):
    for sizes in ((3, 5), (784, 10, 12), (7, 1, 1, 4)):
        assert theory.dense_parameters(sizes, use_bias) == _built(sizes, use_bias)


@pytest.mark.parametrize("depth", [2, 9])
def test_sizes_of_figure_1a(depth):
    sizes = theory.synthetic_depth_parameters(depth)
    n_g, layers = 10**4 + 10, 10**5 + 10**4 * (depth - 2)
    assert sizes == {"g": n_g, "q": 10**4 + 10 * 10**4 + 10, "f": layers + 10**2 * n_g, "e": layers + 10**6}


@pytest.mark.parametrize("i", [1, 8])
def test_sizes_of_figure_1b(i):
    sizes = theory.synthetic_embedding_dim_parameters(i)
    assert sizes == {
        "g": 1010,
        "q": 10**3 + 10**4 * i + 10,
        "f": 10**4 + 10**4 * i + 100 * i * 1010,
        "e": 2 * 10**4 + 10**5 * i,
    }
    assert sizes["f"] == pytest.approx(10**4 + 10**4 * i + 10**5 * i, rel=0.01)  # as the text rounds it


@pytest.mark.parametrize(("data", "width", "depth"), [("digits", 50, 4), ("patches", 100, 2)])
def test_sizes_of_figure_3_match_the_built_models(data, width, depth):
    task, recipe = kh.RotationTask(data), kh.Recipe(width=width, depth=depth)
    sizes = theory.rotation_parameters(task.x_shape, depth, width, use_bias=True)
    _check_built(task, recipe, sizes)
    # Biases: one per unit of each layer of q, e and f; the units of f's last layer are the weights of g.
    aside = theory.rotation_parameters(task.x_shape, depth, width)
    hidden, entries = (depth - 1) * width, math.prod(task.x_shape)
    biases = {"g": 0, "q": 10 + 12, "f": hidden + sizes["g"], "e": hidden + 10 * entries + 10}
    assert {name: sizes[name] - aside[name] for name in sizes} == biases


def test_sizes_of_figure_3_as_the_text_counts_them():
    for h, c, width in ((28, 1, 50), (32, 3, 100)):
        sizes = theory.rotation_parameters((h, h, c), depth=3, width=width, outputs=1)
        assert sizes["g"] == 10 * h**2 * c + 10
        assert sizes["q"] == 10 * (11 * h**2 * c + 10) + 10
        assert sizes["f"] == sizes["e"] == width * (h**2 * c + width + sizes["g"])
        assert theory.rotation_parameters((h, h, c), 3, width)["g"] == 10 * h**2 * c + 120


@pytest.mark.parametrize(("data", "i"), [("digits", 3), pytest.param("patches", 1, marks=pytest.mark.full)])
def test_sizes_of_rotation_by_embedding_dimension_match_the_built_models(data, i):
    task = kh.RotationTask(data)
    recipe = kh.paper_recipe(task, depth=3, rank=100 * i, embedding_dim=10_000 * i)
    width, entries = recipe.width, math.prod(task.x_shape)
    options = {"depth": 3, "width": width, "rank": 100 * i, "embedding_dim": 10_000 * i}
    _check_built(task, recipe, theory.rotation_parameters(task.x_shape, use_bias=True, **options))
    n_g = 10 * entries + 120
    assert theory.rotation_parameters(task.x_shape, **options) == {
        "g": n_g,
        "q": n_g + 10**5 * i,
        "f": width * entries + width * 100 * i + 100 * i * n_g,
        "e": width * entries + width**2 + width * 10**4 * i,
    }


@pytest.mark.parametrize("options", [{"depth": 5}, {"depth": 2, "rank": 7}], ids=str)
def test_sizes_of_colorization_match_the_built_models(options):
    task = ColorizationTask("patches")
    sizes = theory.colorization_parameters(task.condition_shape, use_bias=True, **options)
    assert sizes["g"] == 63
    _check_built(task, kh.paper_recipe(task, **options), sizes)
    # f and e are of the same size where both return 63 numbers from 100 units.
    assert (sizes["f"] == sizes["e"]) == ("rank" not in options)


def test_sizes_of_colorization_by_embedding_dimension_match_the_built_models():
    i, task = 8, ColorizationTask("patches")
    options = {"depth": 3, "rank": 100 * i, "embedding_dim": 1000 * i}
    sizes = theory.colorization_parameters(task.condition_shape, use_bias=True, **options)
    _check_built(task, kh.paper_recipe(task, **options), sizes)
    assert theory.colorization_parameters(task.condition_shape, **options) == {
        "g": 20 + 10 + 30 + 3,
        "q": 20 + 10**4 * i + 30,
        "f": 102_400 + 10**4 * i + 6300 * i,
        "e": 102_400 + 10**4 + 10**5 * i,
    }


@pytest.mark.parametrize("data", ["uniform", "patches"])
def test_sizes_of_assumption_1_match_the_built_networks(data):
    task = ApproximationTask(data)
    sizes = theory.assumption_1_parameters(task.x_shape, use_bias=True)
    for initialization in ("unit_norm_normal", "unit_norm_uniform"):  # f1 and f2
        network = kh.build_model(task, "network", kh.paper_recipe(task, initialization=initialization))
        assert sizes == {"f": network.count_params(), "y": task.target().count_params()}
    # 100 hidden units, 20 and 50 channels, 10 outputs of each network.
    aside = theory.assumption_1_parameters(task.x_shape)
    assert {name: sizes[name] - aside[name] for name in sizes} == {"f": 100 + 10, "y": 20 + 50 + 10}


@pytest.mark.parametrize("width", [1, 29])
def test_sizes_of_assumption_2_match_the_built_networks(width):
    for task in (ClassificationTask("digits"), ClassificationTask("cifar10")):
        network = kh.build_model(task, "network", kh.paper_recipe(task, width=width))
        assert theory.assumption_2_parameters(task.x_shape, width, use_bias=True) == {"f": network.count_params()}
        entries = math.prod(task.x_shape)
        assert theory.assumption_2_parameters(task.x_shape, width) == {"f": width * (entries + 10)}


def _check_built(task, recipe, sizes):
    hyper, embed = (kh.build_model(task, method, recipe) for method in ("hyper", "embed"))
    assert hyper.num_parameters() == {"generator": sizes["f"], "primary": sizes["g"]}
    assert embed.num_parameters() == {"embedding": sizes["e"], "primary": sizes["q"]}
