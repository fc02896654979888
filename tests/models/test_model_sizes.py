"""The numbers of parameters of both methods are those of the paper, and initial weights those of the seed."""

import keras
import pytest

import keras_hypernet as kh
from keras_hypernet.layers import HyperDense
from keras_hypernet.zoo.architectures import build_model


@pytest.mark.parametrize("depth", [2, 4, 9])
@pytest.mark.parametrize(("data", "pixels_per_image", "width"), [("mnist", 28 * 28, 50), ("cifar10", 32 * 32 * 3, 100)])
def test_numbers_of_parameters_are_those_of_the_paper(data, pixels_per_image, width, depth):
    task, recipe = kh.RotationTask(data), kh.paper_recipe(kh.RotationTask(data), depth=depth)
    d, w = pixels_per_image, width
    hidden = d * w + w * w * (depth - 2)
    hidden_biases = w * (depth - 1)

    num_g = 10 * d + 120
    num_f = hidden + w * num_g
    assert build_model(task, "hyper", recipe).num_parameters() == {
        "generator": num_f + hidden_biases + num_g,
        "primary": num_g,
    }
    embedding_dim = 10 * d + 10
    num_e = hidden + w * embedding_dim
    num_q = 10 * (d + embedding_dim) + 120
    assert build_model(task, "embed", recipe).num_parameters() == {
        "embedding": num_e + hidden_biases + embedding_dim,
        "primary": num_q + 10 + 12,
    }


def _depth_model(method, width, bottleneck, d, embedding_dim, depth):
    """The networks of Fig. 1, without biases, which the paper does not count."""
    hidden = [keras.layers.Dense(width, use_bias=False) for _ in range(depth - 2)]
    last = keras.layers.Dense(bottleneck, use_bias=False)
    if method == "hyper":
        model = kh.Hypernetwork(
            keras.Sequential([*hidden, last]), [HyperDense(10, use_bias=False), HyperDense(1, use_bias=False)]
        )
    else:
        embedding = keras.Sequential([*hidden, last, keras.layers.Dense(embedding_dim, use_bias=False)])
        model = kh.EmbeddingMethod(embedding, [keras.layers.Dense(units, use_bias=False) for units in (10, 1)])
    model.build({"x": (None, d), "condition": (None, d)})
    return model.num_parameters()


@pytest.mark.parametrize("depth", [2, 5, 9])
def test_numbers_of_parameters_of_figure_1a(depth):
    num_g, embedding_dim = 10**4 + 10, 10**4
    hyper = _depth_model("hyper", 100, 100, 1000, embedding_dim, depth)
    # The constant term of the last linear map of f is its bias.
    assert hyper == {"generator": 10**5 + 10**4 * (depth - 2) + 10**2 * num_g + num_g, "primary": num_g}
    assert _depth_model("embed", 100, 100, 1000, embedding_dim, depth) == {
        "embedding": 10**5 + 10**4 * (depth - 2) + 10**6,
        "primary": 10**4 + 10 * embedding_dim + 10,
    }


@pytest.mark.parametrize("i", [1, 4, 8])
def test_numbers_of_parameters_of_figure_1b(i):
    hyper = _depth_model("hyper", 100, 100 * i, 100, 1000 * i, 3)
    assert hyper == {"generator": 10**4 + 10**4 * i + 100 * i * 1010 + 1010, "primary": 1010}
    embed = _depth_model("embed", 100, 100, 100, 1000 * i, 3)
    assert embed == {"embedding": 2 * 10**4 + 10**5 * i, "primary": 10 * (100 + 1000 * i) + 10}


def test_initial_weights_are_a_function_of_the_seed():
    task = kh.RotationTask("digits")
    weights = [build_model(task, "hyper", kh.paper_recipe(task, seed=seed)).get_weights() for seed in (0, 0, 1)]
    assert all((one == other).all() for one, other in zip(weights[0], weights[1], strict=True))
    assert any((one != other).any() for one, other in zip(weights[0], weights[2], strict=True))
