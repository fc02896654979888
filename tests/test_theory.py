"""Sizes against built networks, spectral complexity against measured Lipschitz ratios, bounds against exponents."""

import ast
import functools
import itertools
import math
import pathlib
import sys

import keras
import numpy as np
import pytest
from helpers import array, normal, pixels
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_hypernet as kh
from keras_hypernet import theory
from keras_hypernet.layers import HyperDense, StandardizeImage
from keras_hypernet.tasks import ApproximationTask, ClassificationTask, ColorizationTask, SyntheticTask, get_task

PAIRS = 10_000
ROUNDING = 1 + 1e-5
ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "linear": lambda z: z,
}


def _built(sizes, use_bias=False):
    """Number of parameters of the Dense layers that Keras builds."""
    layers = [keras.layers.Dense(units, use_bias=use_bias) for units in sizes[1:]]
    return keras.Sequential([keras.Input(sizes[:1]), *layers]).count_params()


@pytest.mark.parametrize("use_bias", [False, True])
def test_dense_parameters_are_those_that_keras_builds(use_bias):
    for sizes in ((3, 5), (784, 10, 12), (7, 1, 1, 4)):
        assert theory.dense_parameters(sizes, use_bias) == _built(sizes, use_bias)


@pytest.mark.parametrize("depth", range(2, 10))
def test_sizes_of_figure_1a(depth):
    sizes = theory.synthetic_depth_parameters(depth)
    n_g, layers = 10**4 + 10, 10**5 + 10**4 * (depth - 2)
    assert sizes == {"g": n_g, "q": 10**4 + 10 * 10**4 + 10, "f": layers + 10**2 * n_g, "e": layers + 10**6}
    hidden = [1000] + [100] * (depth - 1)
    built = {"g": (1000, 10, 1), "q": (1000 + 10_000, 10, 1), "f": (*hidden, n_g), "e": (*hidden, 10_000)}
    assert sizes == {name: _built(chain) for name, chain in built.items()}


@pytest.mark.parametrize("i", range(1, 9))
def test_sizes_of_figure_1b(i):
    sizes = theory.synthetic_embedding_dim_parameters(i)
    assert sizes == {
        "g": 1010,
        "q": 10**3 + 10**4 * i + 10,
        "f": 10**4 + 10**4 * i + 100 * i * 1010,
        "e": 2 * 10**4 + 10**5 * i,
    }
    built = {
        "g": (100, 10, 1),
        "q": (100 + 1000 * i, 10, 1),
        "f": (100, 100, 100 * i, 1010),
        "e": (100, 100, 100, 1000 * i),
    }
    assert sizes == {name: _built(chain) for name, chain in built.items()}
    assert sizes["f"] == pytest.approx(10**4 + 10**4 * i + 10**5 * i, rel=0.01)  # as the text rounds it


@pytest.mark.parametrize(("data", "width"), [("digits", 50), ("patches", 100)])
@pytest.mark.parametrize("depth", [2, 4])
def test_sizes_of_figure_3_are_those_of_the_built_models(data, width, depth):
    task, recipe = kh.RotationTask(data), kh.Recipe(width=width, depth=depth)
    sizes = theory.rotation_parameters(task.x_shape, depth, width, use_bias=True)
    hyper, embed = (kh.build_model(task, method, recipe) for method in ("hyper", "embed"))
    assert hyper.num_parameters() == {"generator": sizes["f"], "primary": sizes["g"]}
    assert embed.num_parameters() == {"embedding": sizes["e"], "primary": sizes["q"]}

    # Without biases: one a unit of every layer of q and e; and of f, whose last layer's units are the weights of g.
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


@pytest.mark.parametrize("data", ["digits", "patches"])
@pytest.mark.parametrize("i", [1, 3])
def test_sizes_of_rotation_by_embedding_dimension_are_those_of_the_built_models(data, i):
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


@pytest.mark.parametrize("options", [{"depth": 2}, {"depth": 5}, {"depth": 2, "rank": 7}], ids=str)
def test_sizes_of_colorization_are_those_of_the_built_models(options):
    task = ColorizationTask("patches")
    sizes = theory.colorization_parameters(task.condition_shape, use_bias=True, **options)
    assert sizes["g"] == 63
    _check_built(task, kh.paper_recipe(task, **options), sizes)
    # f and e are of the same size where both return 63 numbers from 100 units.
    assert (sizes["f"] == sizes["e"]) == ("rank" not in options)


@pytest.mark.parametrize("i", [1, 8])
def test_sizes_of_colorization_by_embedding_dimension_are_those_of_the_built_models(i):
    task = ColorizationTask("patches")
    options = {"depth": 3, "rank": 100 * i, "embedding_dim": 1000 * i}
    sizes = theory.colorization_parameters(task.condition_shape, use_bias=True, **options)
    _check_built(task, kh.paper_recipe(task, **options), sizes)
    assert theory.colorization_parameters(task.condition_shape, **options) == {
        "g": 20 + 10 + 30 + 3,
        "q": 20 + 10**4 * i + 30,
        "f": 102_400 + 10**4 * i + 6300 * i,
        "e": 102_400 + 10**4 + 10**5 * i,
    }


@pytest.mark.parametrize("data", ["uniform", "digits", "patches"])
def test_sizes_of_assumption_1_are_those_of_the_built_networks(data):
    task = ApproximationTask(data)
    sizes = theory.assumption_1_parameters(task.x_shape, use_bias=True)
    for initialization in ("unit_norm_normal", "unit_norm_uniform"):  # f1 and f2
        network = kh.build_model(task, "network", kh.paper_recipe(task, initialization=initialization))
        assert sizes == {"f": network.count_params(), "y": task.target().count_params()}
    # 100 hidden units, 20 and 50 channels, 10 outputs of each network.
    aside = theory.assumption_1_parameters(task.x_shape)
    assert {name: sizes[name] - aside[name] for name in sizes} == {"f": 100 + 10, "y": 20 + 50 + 10}


@pytest.mark.parametrize("width", [1, 29])
def test_sizes_of_assumption_2_are_those_of_the_built_networks(width):
    for task in (ClassificationTask("digits"), ClassificationTask("cifar10")):
        network = kh.build_model(task, "network", kh.paper_recipe(task, width=width))
        assert theory.assumption_2_parameters(task.x_shape, width, use_bias=True) == {"f": network.count_params()}
        entries = math.prod(task.x_shape)
        assert theory.assumption_2_parameters(task.x_shape, width) == {"f": width * (entries + 10)}


def _check_built(task, recipe, sizes):
    hyper, embed = (kh.build_model(task, method, recipe) for method in ("hyper", "embed"))
    assert hyper.num_parameters() == {"generator": sizes["f"], "primary": sizes["g"]}
    assert embed.num_parameters() == {"embedding": sizes["e"], "primary": sizes["q"]}


def test_complexity_is_the_product_of_the_norms_written_out():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=shape) for shape in ((5, 7), (7, 2), (2, 3))]
    # The columns of W = K^T are the rows of the kernel K.
    expected = math.prod(max(sum(abs(row)) for row in kernel) for kernel in kernels)
    assert expected == pytest.approx(math.prod(np.linalg.norm(kernel.T, ord=1) for kernel in kernels))
    assert theory.spectral_complexity(kernels) == pytest.approx(expected)
    assert theory.spectral_complexity(kernels, lipschitz=0.25) == pytest.approx(0.25**2 * expected)
    assert theory.spectral_complexity([[[1, 2], [3, 4]]], lipschitz=100) == 7


def _forward(x, kernels, biases, activations):
    for kernel, bias, activation in zip(kernels, biases, activations, strict=True):
        x = ACTIVATIONS[activation](x @ kernel + bias)
    return x


def _largest_ratio(network, x, y):
    """Largest ||f(x) - f(y)||_1 / ||x - y||_1 over pairs in rows."""
    distances = np.abs(x - y).sum(axis=1)
    changes = np.abs(network(x) - network(y)).sum(axis=1)
    return (changes[distances > 0] / distances[distances > 0]).max()


def _pairs(rng, features):
    """Pairs, half of which differ in a single entry: there the ratio is largest. None are close enough for rounding."""
    x = rng.normal(size=(PAIRS, features))
    difference = rng.choice([-1, 1], size=x.shape) * 10 ** rng.uniform(-1, 1, size=x.shape)
    difference[: PAIRS // 2] *= np.eye(features)[rng.integers(features, size=PAIRS // 2)]
    return x, x + difference


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    activation=st.sampled_from(["relu", "tanh", "sigmoid", "elu"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_ratio_of_a_random_network_exceeds_its_complexity(sizes, activation, seed):
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(size=shape) * 10 ** rng.uniform(-0.5, 1) for shape in itertools.pairwise(sizes)]
    biases = [rng.normal(size=units) for units in sizes[1:]]
    lipschitz = 0.25 if activation == "sigmoid" else 1.0
    bound = theory.spectral_complexity(kernels, lipschitz)
    activations = [activation] * (len(kernels) - 1) + ["linear"]
    network = functools.partial(_forward, kernels=kernels, biases=biases, activations=activations)
    assert _largest_ratio(network, *_pairs(rng, sizes[0])) <= bound * ROUNDING


def test_the_complexity_is_reached():
    rng = np.random.default_rng(0)
    # Rows of positive numbers with the same sum, and positive x >= y: every norm is met with equality.
    kernels = [row_sum * rng.dirichlet(np.ones(5), size=5) for row_sum in (3.0, 0.5, 2.0)]
    network = functools.partial(_forward, kernels=kernels, biases=np.zeros((3, 5)), activations=["relu"] * 3)
    y = rng.uniform(size=(PAIRS, 5))
    ratio = _largest_ratio(network, y + rng.uniform(size=y.shape), y)
    assert ratio == pytest.approx(theory.spectral_complexity(kernels), rel=1e-9)
    assert ratio == pytest.approx(3.0)

    # A sigmoid is steepest about zero.
    slope = _largest_ratio(ACTIVATIONS["sigmoid"], np.full((1, 1), 1e-4), np.full((1, 1), -1e-4))
    assert slope == pytest.approx(theory.spectral_complexity([[[1.0]], [[1.0]]], lipschitz=0.25))


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_a_keras_network_has_the_complexity_of_its_kernels(activation):
    network = keras.Sequential(
        [
            keras.Input((2, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation, bias_initializer="ones"),
            keras.layers.Dense(5, use_bias=False),
            keras.layers.Activation(activation),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )
    kernels = [array(layer.kernel) for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    lipschitz = 0.25 if activation == "sigmoid" else 1.0
    expected = theory.spectral_complexity(kernels, lipschitz)
    assert theory.spectral_complexity(network) == pytest.approx(expected)
    x = normal((50, 2, 3))
    biases = [array(layer.bias) if layer.use_bias else 0 for layer in network.layers if hasattr(layer, "kernel")]
    numpy = _forward(x.reshape(50, 6), kernels, biases, [activation, activation, "linear"])
    np.testing.assert_allclose(numpy, array(network(x)), rtol=1e-4, atol=1e-5)


def test_lipschitz_replaces_every_activation_of_a_keras_network_that_has_one():
    dense = functools.partial(keras.layers.Dense, 1, kernel_initializer="ones")
    network = keras.Sequential([keras.Input((1,)), dense("softplus"), dense(), dense("tanh"), dense()])
    assert theory.spectral_complexity(network, lipschitz=3.0) == pytest.approx(9)
    last = keras.Sequential([keras.Input((1,)), dense("sigmoid")])
    assert theory.spectral_complexity(last) == pytest.approx(0.25)  # one activation more than in C(f)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu"])
def test_generated_weights_have_a_complexity_for_each_condition(activation):
    generator = keras.Sequential([keras.layers.Dense(6, "relu"), keras.layers.Dense(4, "tanh")])
    primary = [
        HyperDense(5, activation, kernel_initializer="random_normal", bias_initializer="random_normal", name=name)
        for name in ("one", "two")
    ]
    last = HyperDense(3, kernel_initializer="random_normal", bias_initializer="random_normal", name="three")
    model = kh.Hypernetwork(generator, [*primary, last])
    condition = 10 * normal((6, 7))
    inputs = {"x": normal((6, 8)), "condition": condition}
    outputs = array(model(inputs))
    theta = model.generate(condition)
    lipschitz = 0.25 if activation == "sigmoid" else 1.0
    bounds = theory.spectral_complexity(theta, lipschitz)
    assert bounds.shape == (6,)
    assert len(set(bounds)) == 6

    rng = np.random.default_rng(0)
    for number, bound in enumerate(bounds):
        kernels, biases = (
            [array(theta[f"{name}/{weight}"])[number] for name in ("one", "two", "three")]
            for weight in ("kernel", "bias")
        )
        assert bound == pytest.approx(theory.spectral_complexity(kernels, lipschitz))
        network = functools.partial(
            _forward, kernels=kernels, biases=biases, activations=[activation, activation, "linear"]
        )
        np.testing.assert_allclose(network(inputs["x"][number : number + 1])[0], outputs[number], rtol=1e-4, atol=1e-5)
        assert _largest_ratio(network, *_pairs(rng, 8)) <= bound * ROUNDING
        special = kh.specialize(model, condition[number : number + 1])
        assert theory.spectral_complexity(special) == pytest.approx(bound, rel=1e-5)


def _check_complexity(model, task):
    """Compares the complexity of a model of a task, under one condition, with ratios of pairs of inputs."""
    network, is_image = model, task.x_dtype == "uint8"
    if "condition" in task.inputs:
        condition = (pixels if task.condition_dtype == "uint8" else normal)((1, *task.condition_shape), seed=1)
        network = kh.specialize(model, condition)
    bound = theory.spectral_complexity(network)

    hidden, last = (layer for layer in network.layers if hasattr(layer, "kernel"))
    kernels = [array(layer.kernel) for layer in (hidden, last)]
    biases = [array(layer.bias) if layer.use_bias else 0 for layer in (hidden, last)]
    activations = [hidden.activation.__name__, last.activation.__name__]
    if is_image:  # (v / 255 - 0.1307) / 0.3081 of every pixel v, as a part of the first layer
        biases[0] = biases[0] - 0.1307 / 0.3081 * kernels[0].sum(axis=0)
        kernels[0] = kernels[0] / (255 * 0.3081)
    forward = functools.partial(_forward, kernels=kernels, biases=biases, activations=activations)

    x, y = _stored_pairs(len(kernels[0]), is_image)
    # Where there may be any number of points, one each.
    few = array(network(x[:20].reshape(20, *(size or 1 for size in task.x_shape)))).reshape(20, -1)
    np.testing.assert_allclose(forward(x[:20]), few, rtol=1e-3, atol=1e-4 * max(np.abs(few).max(), 1))
    chunks = [slice(first, first + 1000) for first in range(0, PAIRS, 1000)]
    largest = max(_largest_ratio(forward, x[chunk].astype("float64"), y[chunk].astype("float64")) for chunk in chunks)
    assert 0.01 * bound < largest <= bound * ROUNDING

    if isinstance(model, kh.Hypernetwork):
        # theta_I is applied to standardized images, the network to pixels.
        (generated,) = theory.spectral_complexity(model.generate(condition))
        assert bound == pytest.approx(generated / (255 * 0.3081) if is_image else generated, rel=1e-4)


@functools.lru_cache(maxsize=1)
def _stored_pairs(features, is_image):
    """Pairs of float32 vectors; or of uint8 images, from dark to bright, that differ in one pixel up to all of them."""
    rng = np.random.default_rng(0)
    if not is_image:
        return [rows.astype("float32") for rows in _pairs(rng, features)]
    x, y = (pixels((PAIRS, features), seed) * rng.uniform(size=(PAIRS, 1)).astype("float32") for seed in range(2))
    differs = rng.uniform(size=x.shape) < rng.uniform(size=(PAIRS, 1)) ** 8
    return x.astype("uint8"), np.where(differs, y, x).astype("uint8")


def _trained():
    """The cards of the zoo, but for the target of Assumption 1, whose convolutions have no complexity here."""
    cards = [card for card in kh.list_entries() if card.method != "target"]
    # Those with the same inputs one after another, since the pairs are the same.
    return sorted(cards, key=lambda card: (str(get_task(**card.task).x_shape), card.name))


@pytest.mark.parametrize("card", _trained(), ids=lambda card: card.name)
def test_no_ratio_of_a_trained_network_exceeds_its_complexity(card):
    _check_complexity(kh.load(card.name), get_task(**card.task))


UNTRAINED = [
    (task, method)
    for task in (SyntheticTask(dim=20), ColorizationTask("patches"), kh.RotationTask("digits"))
    for method in ("hyper", "embed")
]
UNTRAINED += [(ApproximationTask("uniform", num_samples=64), "network"), (ApproximationTask("digits"), "network")]
UNTRAINED += [(ClassificationTask("digits"), "network")]


@pytest.mark.parametrize(("task", "method"), UNTRAINED, ids=lambda value: getattr(value, "name", value))
def test_no_ratio_of_an_untrained_network_of_any_task_exceeds_its_complexity(task, method):
    _check_complexity(kh.build_model(task, method, kh.paper_recipe(task)), task)


def test_pixels_are_scaled_by_the_layer_that_standardizes_them():
    dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
    network = keras.Sequential([keras.Input((3,), dtype="uint8"), StandardizeImage(mean=0.5, stddev=0.25), dense])
    assert theory.spectral_complexity(network) == pytest.approx(2 / (255 * 0.25))
    x, y = np.array([[0, 0, 0]], "uint8"), np.array([[0, 255, 0]], "uint8")
    assert np.abs(array(network(y) - network(x))).sum() / 255 == pytest.approx(2 / (255 * 0.25))


def test_kernels_of_low_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kh.Hypernetwork(keras.layers.Dense(2), [HyperDense(2, name="one"), HyperDense(1, name="two")])
    model({"x": normal((3, 4)), "condition": normal((3, 5))})
    bounds = theory.spectral_complexity(model.generate(normal((3, 5))))
    assert bounds.dtype == "float64"
    assert (bounds > 0).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], r"shapes \[inputs, units\].*Received: no kernel"),
        ({}, r"shapes \[B, inputs, units\].*Received: no kernel"),
        ([np.ones((2, 3)), np.ones((4, 1))], r"the units of one are the inputs of the next.*\(2, 3\), \(4, 1\)"),
        ([np.ones((5, 2, 3))], r"Received: \(5, 2, 3\)"),
        ([np.ones((0, 3))], r"Received: \(0, 3\)"),
        ({"one/kernel": np.ones((2, 3))}, r"shapes \[B, inputs, units\].*Received: \(2, 3\)"),
        ({"one/kernel": np.ones((5, 2, 3)), "two/kernel": np.ones((4, 3, 1))}, r"\(5, 2, 3\), \(4, 3, 1\)"),
        (
            {"hidden/bias": np.ones((5, 3)), "logits/kernel": np.ones((5, 3, 1))},
            r"kernel of every layer. Received: none of hidden.*Pass the model's `specialize\(model, condition\)`",
        ),
    ],
)
def test_kernels_that_make_no_network(weights, message):
    with pytest.raises(ValueError, match=message):
        theory.spectral_complexity(weights)


def test_models_whose_constant_is_not_known():
    dense = keras.layers.Dense
    with pytest.raises(ValueError, match="'unbuilt' has no weights yet: call it on x before"):
        theory.spectral_complexity(keras.Sequential([dense(2)], name="unbuilt"))
    unknown = keras.Sequential([keras.Input((3,)), dense(2, "gelu", name="one"), dense(1)])
    with pytest.raises(ValueError, match="'one' has the activation 'gelu'.*linear, relu.*pass it as `lipschitz`"):
        theory.spectral_complexity(unknown)
    assert theory.spectral_complexity(unknown, lipschitz=1.13) > 0
    with pytest.raises(ValueError, match="`lipschitz` must be positive. Received: -1"):
        theory.spectral_complexity([np.ones((2, 2))], lipschitz=-1)

    layers = keras.layers
    for layer, shape in [
        (layers.Conv1D(2, 1, name="odd"), (4, 3)),
        (layers.BatchNormalization(name="odd"), (3,)),
        (layers.Rescaling(255.0, name="odd"), (3,)),
        (keras.Sequential([keras.Input((3,)), dense(2)], name="odd"), (3,)),
    ]:
        with pytest.raises(TypeError, match="chain of Dense.*Received: layer 'odd' of class.*`specialize`"):
            theory.spectral_complexity(keras.Sequential([keras.Input(shape), layer]))
    quantized = keras.Sequential([keras.Input((3,)), dense(2)])
    quantized.layers[0].quantize("int8")  # its kernel is integers, to be scaled by another weight
    with pytest.raises(TypeError, match=r"of class Dense with the weights \['bias', 'kernel', 'kernel_scale'\]"):
        theory.spectral_complexity(quantized)
    for model in (kh.Hypernetwork(dense(2), [HyperDense(2)]), kh.EmbeddingMethod(dense(2), [dense(2)])):
        model({"x": normal((3, 4)), "condition": normal((3, 5))})
        with pytest.raises(TypeError, match="Make the network of one condition with `specialize`"):
            theory.spectral_complexity(model)


def test_exponents_of_the_bounds():
    eps = np.geomspace(1e-4, 1, 9)
    dims = range(1, 5)

    def slope(values):
        slopes = np.diff(np.log(values)) / np.diff(np.log(eps))
        np.testing.assert_allclose(slopes, slopes[0], rtol=1e-9)
        return pytest.approx(-slopes[0], rel=1e-9)

    for m1, m2, r in itertools.product(dims, dims, dims):
        assert slope(theory.lower_bound(eps, m1 + m2, r)) == (m1 + m2) / r
        assert slope(theory.embedding_primary_bound(eps, m1, m2)) == m1 + m2
        assert slope(theory.embedding_primary_bound(eps, m1, m2, "unbounded")) == min(m1 + m2, 2 * m1)
        assert slope(theory.hypernetwork_primary_bound(eps, m1, r)) == m1 / r
        total = theory.hypernetwork_total_bound(eps, m2, r, w=3, n_g=7)
        assert slope(total - 3 * 7) == m2 / r
        # At an error of one, all that is left is the power of w.
        assert total[-1] == pytest.approx(3 ** (1 + m2 / r) + 3 * 7)


def test_bounds_of_one_error_and_their_constants():
    one = theory.hypernetwork_primary_bound(0.5, m1=3, r=1, constant=2.0)
    assert isinstance(one, float)
    assert one == 2 * 2.0**3
    assert theory.lower_bound(0.5, m=3, r=1, constant=2.0) == one
    assert theory.embedding_primary_bound(0.5, 1, 2, constant=2.0) == one
    assert isinstance(theory.hypernetwork_total_bound(0.5, 1, 1, 2, 5), float)
    assert theory.hypernetwork_total_bound(0.5, 1, 1, 2, 5, constant=3.0) == 3 * (2**2 * 2 + 2 * 5)
    eps = np.array([[0.5], [0.25]])
    n_g = theory.hypernetwork_primary_bound(eps, m1=1, r=1)
    np.testing.assert_array_equal(theory.hypernetwork_total_bound(eps, 2, 1, 2, n_g), [[36.0], [136.0]])


def test_the_hypernetworks_primary_is_the_smaller_one():
    eps = np.array([0.1, 0.01, 0.001])
    for m1, m2 in itertools.product(range(1, 5), range(1, 5)):
        n_g = theory.hypernetwork_primary_bound(eps, m1, r=1)
        constant, unbounded = (theory.embedding_primary_bound(eps, m1, m2, kind) for kind in ("constant", "unbounded"))
        assert (constant >= unbounded).all()
        # Orders of magnitude: at least a factor of 1 / eps, and the smaller the error, the more.
        assert (unbounded / n_g >= (1 - 1e-9) / eps).all()
        # What is trained in a hypernetwork is less than any network of both inputs needs, once eps is small.
        total = theory.hypernetwork_total_bound(eps, m2, 1, w=1, n_g=n_g)
        assert (total <= 2 * theory.lower_bound(eps, m1 + m2, 1)).all()


def test_bounds_beyond_the_range_of_a_float_are_infinite():
    assert theory.embedding_primary_bound(0.5, 784, 784) == math.inf
    np.testing.assert_array_equal(theory.lower_bound([1e-200, 1.0], 2, 1), [math.inf, 1.0])
    assert theory.hypernetwork_total_bound(1e-200, 2, 1, w=10**200, n_g=1e300) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.dense_parameters((3,)), r"input and of at least one layer. Received: \[3\]"),
        (lambda: theory.dense_parameters((3, 0)), "`sizes` must consist of integers of at least 1. Received: 0"),
        (lambda: theory.dense_parameters((3, 2.0)), "`sizes` must consist of integers of at least 1. Received: 2.0"),
        (lambda: theory.synthetic_depth_parameters(1), "`depth` must be an integer of at least 2. Received: 1"),
        (lambda: theory.synthetic_embedding_dim_parameters(0), "`index` must be an integer of at least 1"),
        (lambda: theory.rotation_parameters((28, 28, -1), 4, 50), "`image_shape` must consist of integers"),
        (lambda: theory.rotation_parameters((28, 28, 1), 4, True), "`width` must be an integer.*Received: True"),
        (lambda: theory.rotation_parameters((28, 28, 1), 4, 50, rank=0), "`rank` must be an integer of at least 1"),
        (lambda: theory.rotation_parameters((28, 28, 1), 4, 50, embedding_dim=0), "`embedding_dim` must be an integer"),
        (lambda: theory.colorization_parameters((32, 32, 1), 1), "`depth` must be an integer of at least 2"),
        (lambda: theory.colorization_parameters((32, 32, 1), 3, embedding_dim=1.5), "`embedding_dim` must be an int"),
        (lambda: theory.assumption_1_parameters((27, 28, 1)), "`image_shape` must consist of integers of at least 28"),
        (lambda: theory.assumption_2_parameters((28, 28, 1), 0), "`width` must be an integer of at least 1"),
        (lambda: theory.lower_bound(0, 2, 1), "`eps` must be positive. Received: 0"),
        (lambda: theory.lower_bound([0.1, -0.1], 2, 1), r"`eps` must be positive. Received: \[0.1, -0.1\]"),
        (lambda: theory.lower_bound(math.nan, 2, 1), "`eps` must be positive. Received: nan"),
        (lambda: theory.lower_bound(0.1, 2.5, 1), "`m` must be an integer of at least 1. Received: 2.5"),
        (lambda: theory.lower_bound(0.1, 2, 0), "`r` must be an integer of at least 1. Received: 0"),
        (lambda: theory.lower_bound(0.1, 2, 1, constant=0), "`constant` must be positive. Received: 0"),
        (
            lambda: theory.embedding_primary_bound(0.1, 1, 1, "large"),
            r"`embedding_dim` must be one of \('constant', 'unbounded'\). Received: 'large'",
        ),
        (lambda: theory.hypernetwork_primary_bound(0.1, 0, 1), "`m1` must be an integer of at least 1"),
        (lambda: theory.hypernetwork_total_bound(0.1, 1, 1, 0, 5), "`w` must be an integer of at least 1"),
        (lambda: theory.hypernetwork_total_bound(0.1, 1, 1, 2, 0), "`n_g` must be positive. Received: 0"),
    ],
)
def test_arguments_out_of_their_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("name", "r"), [("bounds.svg", 1), ("bounds.png", 2)])
def test_the_figure_is_the_same_bytes_each_time(tmp_path, name, r):
    for folder in ("one", "two"):
        theory.plot_bounds(tmp_path / folder / name, m1=2, m2=3, r=r)
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert first == second
    assert first.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert [path.name for path in (tmp_path / "one").iterdir()] == [name]


def test_figures_that_cannot_be_drawn(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`path` must end in .png or .svg. Received: '.*bounds.pdf'"):
        theory.plot_bounds(tmp_path / "bounds.pdf", 1, 1)
    with pytest.raises(ValueError, match="A bound at an error of 0.001 is beyond the range of a float: pass larger"):
        theory.plot_bounds(tmp_path / "bounds.png", 784, 784)
    theory.plot_bounds(tmp_path / "bounds.png", 784, 784, eps=[0.9, 0.8])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Figures need an optional dependency: pip install 'keras_hypernet\[plot\]'"):
        theory.plot_bounds(tmp_path / "bounds.png", 1, 1)


def test_theory_needs_numpy_alone():
    files = list(pathlib.Path(theory.__file__).parent.glob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules = {module for module in modules if module.split(".")[0] not in sys.stdlib_module_names}
    ours = {module for module in modules if module.startswith("keras_hypernet.theory.")}
    assert modules - ours == {"numpy", "keras_hypernet.files", "matplotlib", "matplotlib.figure"}
