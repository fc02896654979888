"""Spectral complexity, against the products written out and ratios of random pairs."""

import functools
import itertools
import math

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
    """Pairs, far enough apart for rounding; half differ in one entry, where the ratio is largest."""
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


@pytest.mark.parametrize("activation", ["elu", "sigmoid"])
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
    assert theory.spectral_complexity(last) == pytest.approx(0.25)  # C(f) has no last activation


@pytest.mark.parametrize("activation", ["sigmoid", "elu"])
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
    special = kh.specialize(model, condition[:1])
    assert theory.spectral_complexity(special) == pytest.approx(bounds[0], rel=1e-5)


def _check_complexity(model, task):
    """Compares the complexity of a model of a task, for one condition, with ratios of pairs of inputs."""
    network, is_image = model, task.x_dtype == "uint8"
    if "condition" in task.inputs:
        condition = (pixels if task.condition_dtype == "uint8" else normal)((1, *task.condition_shape), seed=1)
        network = kh.specialize(model, condition)
    bound, largest = _bound_and_largest_ratio(network, is_image, task.x_shape)
    assert 0.01 * bound < largest

    if isinstance(model, kh.Hypernetwork):
        # theta_I is applied to standardized images, the network to pixels.
        (generated,) = theory.spectral_complexity(model.generate(condition))
        assert bound == pytest.approx(generated / (255 * 0.3081) if is_image else generated, rel=1e-4)


def _bound_and_largest_ratio(network, is_image, shape):
    """Returns the complexity of a chain of Dense layers and the largest ratio of pairs; checks that the ratio fits."""
    bound = theory.spectral_complexity(network)
    dense = [layer for layer in network.layers if hasattr(layer, "kernel")]
    kernels = [array(layer.kernel) for layer in dense]
    biases = [array(layer.bias) if layer.use_bias else 0 for layer in dense]
    activations = [layer.activation.__name__ for layer in dense]
    if is_image:  # (v / 255 - 0.1307) / 0.3081 of every pixel v, as a part of the first layer
        biases[0] = biases[0] - 0.1307 / 0.3081 * kernels[0].sum(axis=0)
        kernels[0] = kernels[0] / (255 * 0.3081)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Rescaling):  # as a part of the first layer, too
            biases[0] = biases[0] + layer.offset * kernels[0].sum(axis=0)
            kernels[0] = kernels[0] * layer.scale
    forward = functools.partial(_forward, kernels=kernels, biases=biases, activations=activations)

    x, y = _stored_pairs(len(kernels[0]), is_image)
    # A free number of points is one.
    few = array(network(x[:20].reshape(20, *(size or 1 for size in shape)))).reshape(20, -1)
    np.testing.assert_allclose(forward(x[:20]), few, rtol=1e-3, atol=1e-4 * max(np.abs(few).max(), 1))
    chunks = [slice(first, first + 1000) for first in range(0, PAIRS, 1000)]
    largest = max(_largest_ratio(forward, x[chunk].astype("float64"), y[chunk].astype("float64")) for chunk in chunks)
    assert largest <= bound * ROUNDING
    return bound, largest


@functools.lru_cache(maxsize=1)
def _stored_pairs(features, is_image):
    """Pairs of float32 vectors; or of uint8 images, from dark to bright, that differ in one pixel to all pixels."""
    rng = np.random.default_rng(0)
    if not is_image:
        return [rows.astype("float32") for rows in _pairs(rng, features)]
    x, y = (pixels((PAIRS, features), seed) * rng.uniform(size=(PAIRS, 1)).astype("float32") for seed in range(2))
    differs = rng.uniform(size=x.shape) < rng.uniform(size=(PAIRS, 1)) ** 8
    return x.astype("uint8"), np.where(differs, y, x).astype("uint8")


def _trained(*methods):
    """Cards of the zoo whose networks are chains of Dense layers.

    Convolutions, a mean over a set, and a condition that is the number of a task have no complexity here.
    """
    cards = [card for card in kh.list_entries() if card.method in methods]
    cards = [card for card in cards if card.task["name"] not in ("static_kernel", "gaussian_process")]
    cards = [card for card in cards if get_task(**card.task).condition_dtype != "int32"]
    # Cards with the same inputs follow each other, since `_stored_pairs` keeps the last pairs.
    return sorted(cards, key=lambda card: (str(get_task(**card.task).x_shape), card.name))


@pytest.mark.full
@pytest.mark.parametrize("card", _trained("hyper", "embed", "network"), ids=lambda card: card.name)
def test_no_ratio_of_a_trained_network_exceeds_its_complexity(card):
    _check_complexity(kh.load(card.name), get_task(**card.task))


@pytest.mark.full
@pytest.mark.parametrize("card", _trained("hyper"), ids=lambda card: card.name)
def test_no_ratio_of_a_trained_f_exceeds_its_complexity(card):
    model, task = kh.load(card.name), get_task(**card.task)
    _, largest = _bound_and_largest_ratio(model.generator, task.condition_dtype == "uint8", task.condition_shape)
    assert largest > 0


UNTRAINED = [
    *((SyntheticTask(dim=20), method) for method in ("hyper", "embed")),
    (ClassificationTask("digits"), "network"),
    *(
        pytest.param(task, method, marks=pytest.mark.full)
        for task in (ColorizationTask("patches"), kh.RotationTask("digits"))
        for method in ("hyper", "embed")
    ),
    *(
        pytest.param(ApproximationTask(data, num_samples=64), "network", marks=pytest.mark.full)
        for data in ("uniform", "digits")
    ),
]


@pytest.mark.parametrize(("task", "method"), UNTRAINED, ids=lambda value: getattr(value, "name", value))
def test_no_ratio_of_an_untrained_network_of_any_task_exceeds_its_complexity(task, method):
    _check_complexity(kh.build_model(task, method, kh.paper_recipe(task)), task)


def test_pixels_are_scaled_by_the_layer_that_standardizes_them():
    dense = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
    network = keras.Sequential([keras.Input((3,), dtype="uint8"), StandardizeImage(mean=0.5, stddev=0.25), dense])
    assert theory.spectral_complexity(network) == pytest.approx(2 / (255 * 0.25))
    x, y = np.array([[0, 0, 0]], "uint8"), np.array([[0, 255, 0]], "uint8")
    assert np.abs(array(network(y) - network(x))).sum() / 255 == pytest.approx(2 / (255 * 0.25))


@pytest.mark.regression
def test_a_rescaling_counts_with_its_largest_scale():
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    network = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling([0.5, -3.0], offset=1.0), dense])
    assert theory.spectral_complexity(network) == pytest.approx(3.0)


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
def test_kernels_of_no_network(weights, message):
    with pytest.raises(ValueError, match=message):
        theory.spectral_complexity(weights)


def test_models_with_an_unknown_constant():
    dense = keras.layers.Dense
    with pytest.raises(ValueError, match="'unbuilt' has no weights yet: call it on x before"):
        theory.spectral_complexity(keras.Sequential([dense(2)], name="unbuilt"))
    unknown = keras.Sequential([keras.Input((3,)), dense(2, "gelu", name="one"), dense(1)])
    with pytest.raises(ValueError, match="The activation 'gelu' of 'one' is unknown: pass its constant as `lipschitz`"):
        theory.spectral_complexity(unknown)
    assert theory.spectral_complexity(unknown, lipschitz=1.13) > 0
    with pytest.raises(ValueError, match="`lipschitz` must be positive. Received: -1"):
        theory.spectral_complexity([np.ones((2, 2))], lipschitz=-1)

    layers = keras.layers
    for layer, shape in [
        (layers.Conv1D(2, 1, name="odd"), (4, 3)),
        (layers.BatchNormalization(name="odd"), (3,)),
        (layers.EinsumDense("ab,cb->ac", 2, name="odd"), (3,)),
        (keras.Sequential([keras.Input((3,)), dense(2)], name="odd"), (3,)),
    ]:
        with pytest.raises(TypeError, match="chain of Dense.*Received: layer 'odd' of class.*`specialize`"):
            theory.spectral_complexity(keras.Sequential([keras.Input(shape), layer]))
    inputs, once = keras.Input((3,)), dense(3, name="once")
    twice = keras.Model(inputs, 1000 * once(once(inputs)), name="twice")  # more than `layers` lists
    with pytest.raises(TypeError, match="must be a keras.Sequential, .*Received: 'twice' of class Functional"):
        theory.spectral_complexity(twice)
    quantized = keras.Sequential([keras.Input((3,)), dense(2)])
    quantized.layers[0].quantize("int8")  # its kernel is integers, to be scaled by another weight
    with pytest.raises(TypeError, match=r"of class Dense with the weights \['bias', 'kernel', 'kernel_scale'\]"):
        theory.spectral_complexity(quantized)
    for model in (kh.Hypernetwork(dense(2), [HyperDense(2)]), kh.EmbeddingMethod(dense(2), [dense(2)])):
        model({"x": normal((3, 4)), "condition": normal((3, 5))})
        with pytest.raises(TypeError, match="Make the network of one condition with `specialize`"):
            theory.spectral_complexity(model)
