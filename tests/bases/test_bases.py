"""Each basis: the written weight against plain NumPy, all routes, first values, counts, sharing, and bad arguments."""

import math

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.bases import Chunked, Full, LowRank, Mixture
from keras_hypernet.bases.initializers import HyperfanIn, HyperfanOut
from keras_hypernet.layers import HyperDense

pytestmark = pytest.mark.gpu

INPUTS, UNITS, RANK = 7, 4, 3
K0 = normal((INPUTS, UNITS), seed=5)
MAKERS = {
    "full": lambda **constant: Full(**constant),
    "mixture": lambda **constant: Mixture(2, **constant),
    "low_rank": lambda **constant: LowRank(2, **constant),
    "chunked": lambda **constant: Chunked(5, 3, **constant),
    "chunked_hidden": lambda **constant: Chunked(5, 3, hidden=(6, 2), **constant),
    "chunked_glorot": lambda **constant: Chunked(5, 3, hidden=(4, 4, 4), head_initializer="glorot_uniform", **constant),
}
CONSTANTS = {
    "trained": {},
    "given": {"constant": K0},
    "frozen": {"constant": K0, "train_constant": False},
    "without": {"train_constant": False},
}
every_basis = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_constant = pytest.mark.parametrize("constant", CONSTANTS.values(), ids=CONSTANTS)


def _layer(basis, units=UNITS, **arguments):
    layer = HyperDense(units, use_bias=False, basis=basis, **arguments)
    layer.build((None, INPUTS), (None, RANK))
    return layer


def _randomize(layer):
    for number, weight in enumerate(layer.weights):
        weight.assign(normal(weight.shape, seed=number))


def _numpy(layer, z):
    """The written kernels, from the values of the variables by name."""
    values = {weight.name.removeprefix("kernel_"): array(weight) for weight in layer.weights}
    basis, kernels = layer.basis, []
    for one in z:
        if isinstance(basis, Full):
            terms = values["basis"]
            factors = one @ values["projection"] if isinstance(basis, Mixture) else one
            factors = np.append(factors, 1.0) if basis.train_constant else factors
            kernel = sum(factor * terms[:, number] for number, factor in enumerate(factors))
        elif isinstance(basis, LowRank):
            kernel = values["left"] @ np.diag(one @ values["scale"]) @ values["right"]
        else:
            head = [array(weight) for weight in layer.kernel_head.weights]
            chunks = []
            for embedding in values["chunks"]:
                h = np.concatenate([one, embedding])
                for number in range(0, len(head), 2):
                    h = h @ head[number] + head[number + 1]
                    h = np.maximum(h, 0) if number + 2 < len(head) else h
                chunks.append(h)
            scale = 1.0 if basis.head_initializer else 1 / math.sqrt(INPUTS)
            kernel = scale * np.concatenate(chunks)[: INPUTS * UNITS].reshape(UNITS, INPUTS).T
        kernels.append(kernel + values.get("constant", 0))
    return np.stack(kernels)


@every_basis
@every_constant
def test_written_kernels_and_every_route_match_numpy(make, constant):
    layer, x, z = _layer(make(**constant)), normal((6, INPUTS)), normal((6, RANK), seed=1)
    _randomize(layer)
    kernels = _numpy(layer, z)
    np.testing.assert_allclose(array(layer.generate(z)["kernel"]), kernels, atol=1e-5)
    for contraction in layer.basis.routes:
        layer.contraction = contraction
        np.testing.assert_allclose(array(layer(x, z)), np.einsum("bi,bio->bo", x, kernels), atol=2e-5)
        shared = np.einsum("bi,io->bo", x, kernels[0])
        np.testing.assert_allclose(array(layer(x, z[:1])), shared, atol=2e-5)


@every_basis
def test_routes_have_the_same_gradients(make):
    x, z, by_route = normal((6, INPUTS)), normal((6, RANK), seed=1), []
    routes = make().routes
    for contraction in routes:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((INPUTS,)), keras.Input((RANK,))
        y = HyperDense(UNITS, basis=make(), contraction=contraction)(inputs[0], keras.layers.Dense(RANK)(inputs[1]))
        by_route.append(gradients(keras.Model(inputs, y), [x, z], np.ones((6, UNITS), "float32")))
    for first, other in zip(by_route[0], by_route[-1], strict=True):
        assert np.abs(first).max() > 0
        np.testing.assert_allclose(first, other, atol=1e-5)


@every_basis
@every_constant
def test_number_of_parameters(make, constant):
    layer = _layer(make(**constant))
    total = sum(math.prod(weight.shape) for weight in layer.weights)
    assert layer.basis.num_parameters((INPUTS, UNITS), RANK) == total
    assert len(layer.basis_variables) == len(layer.weights)


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        (Full(train_constant=False), RANK * 28),
        (Full(), (RANK + 1) * 28),
        (Mixture(2, train_constant=False), 2 * 28 + RANK * 2),
        (LowRank(2, train_constant=False), 2 * (7 + 4) + RANK * 2),
        (LowRank(100, train_constant=False), 4 * (7 + 4) + RANK * 4),  # min(rank, inputs, outputs)
        (Chunked(5, 3, train_constant=False), 6 * 3 + 5 * (RANK + 3 + 1)),
    ],
)
def test_number_of_parameters_by_the_formula(basis, expected):
    assert basis.num_parameters((INPUTS, UNITS), RANK) == expected


@every_basis
@pytest.mark.parametrize("train_constant", [True, False])
def test_with_a_given_constant_the_first_weight_is_the_constant_and_its_gradient_is_not_zero(make, train_constant):
    layer = _layer(make(constant=K0, train_constant=train_constant))
    z = normal((6, RANK), seed=1)
    np.testing.assert_allclose(array(layer.generate(z)["kernel"]), np.broadcast_to(K0, (6, INPUTS, UNITS)), atol=1e-6)
    inputs = keras.Input((INPUTS,)), keras.Input((RANK,))
    layer = HyperDense(UNITS, use_bias=False, basis=make(constant=K0, train_constant=train_constant))
    model = keras.Model(inputs, layer(*inputs))
    changes = gradients(model, [normal((6, INPUTS)), z], np.ones((6, UNITS), "float32"))
    assert max(np.abs(change).max() for change in changes) > 1e-3
    assert not np.allclose(array(layer.generate(z)["kernel"]), K0, atol=1e-4)


@every_basis
def test_a_frozen_constant_is_not_trained(make):
    frozen, trained = (_layer(make(constant=K0, train_constant=train)) for train in (False, True))
    assert {weight.name for weight in frozen.non_trainable_variables} == {"kernel_constant"}
    assert not trained.non_trainable_variables


@pytest.mark.parametrize(("initializer", "second_moment"), [(HyperfanIn, 1.0), (HyperfanOut, 0.25)])
@pytest.mark.parametrize(
    "basis",
    [Full(), Mixture(50), LowRank(100), Chunked(100, 40), Chunked(100, 40, hidden=(300,)), Chunked(9, 40, stddev=0.1)],
    ids=["full", "mixture", "low_rank", "chunked", "chunked_hidden", "chunked_alike"],
)
def test_generated_kernels_have_the_variance_of_the_initializer(basis, initializer, second_moment):
    """Sampled over many conditions and several draws of the variables."""
    fan_in, units, rank = 200, 80, 60
    variances = []
    for seed in range(4):
        keras.utils.set_random_seed(seed)
        copy = type(basis).from_config(basis.get_config())
        layer = HyperDense(units, kernel_initializer=initializer(2.0, second_moment), basis=copy)
        layer.build((None, fan_in), (None, rank))
        z = normal((40, rank), seed=seed) * np.float32(second_moment**0.5)
        variances.append(array(layer.generate(z)["kernel"]).var())
    assert np.mean(variances) == pytest.approx(2 / (fan_in if initializer is HyperfanIn else units), rel=0.05)


def test_a_seed_gives_the_variables_of_a_weight_different_values():
    layer = HyperDense(6, use_bias=False, basis=LowRank(6), kernel_initializer=HyperfanIn(seed=0))
    layer.build((None, 6), (None, 6))
    left, scale, right = (array(getattr(layer, f"kernel_{name}")) for name in ("left", "scale", "right"))
    for one, other in ((left, scale), (left, right), (scale, right)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.7


def test_a_head_of_a_given_initializer_writes_the_weights_as_they_are():
    keras.utils.set_random_seed(0)
    basis = Chunked(100, 40, hidden=(4, 4, 4), head_initializer="glorot_uniform")
    layer = HyperDense(80, basis=basis, vector_basis=basis)
    layer.build((None, 200), (None, 60))
    weights = {weight.name: array(weight) for weight in layer.kernel_head.weights}
    assert np.abs(weights["kernel_1"] - weights["kernel_2"]).min() > 0
    assert np.abs(weights["kernel_3"]).max() <= math.sqrt(6 / (4 + 100))
    z = normal((1, 60))
    chunks = array(layer.kernel_head(z, layer.bias_chunks))
    np.testing.assert_allclose(array(layer.generate(z)["bias"]), chunks.reshape(1, 100)[:, :80], rtol=1e-6)


def test_the_chunks_of_a_small_deviation_start_alike():
    keras.utils.set_random_seed(0)
    layer = HyperDense(80, use_bias=False, basis=Chunked(100, 40, stddev=0.01))
    layer.build((None, 200), (None, 60))
    chunks = array(layer.generate(normal((1, 60)))["kernel"])[0].T.reshape(160, 100)
    assert np.corrcoef(chunks)[0, 1:].min() > 0.98
    assert array(layer.kernel_chunks).std() == pytest.approx(0.01, rel=0.05)


def _shared_model():
    basis = Chunked(5, 3, hidden=(4,))
    generator = keras.Sequential([keras.layers.Dense(RANK, activation="relu")])
    return kh.Hypernetwork(generator, [HyperDense(6, "tanh", basis=basis), HyperDense(2, basis=basis)])


def test_layers_of_a_hypernetwork_share_a_head_and_are_saved_and_loaded(tmp_path):
    model, inputs = _shared_model(), {"x": normal((6, INPUTS)), "condition": normal((6, 5), seed=1)}
    y = array(model(inputs))
    head = 4 * (RANK + 3 + 1) + 5 * (4 + 1)
    assert model.num_parameters()["generator"] == 5 * RANK + RANK + head + 9 * 3 + 42 + 4 * 6 + 3 * 3 + 12 + 4 * 2
    assert sum(math.prod(weight.shape) for weight in model.weights) == model.num_parameters()["generator"]
    assert len(model.get_config()["bases"]) == 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(inputs)), y)
    first, second = loaded.primary
    assert first.basis is second.basis
    assert first.kernel_head is second.kernel_head
    assert loaded.num_parameters() == model.num_parameters()


def test_a_functional_model_that_would_lose_a_shared_head_is_not_saved(tmp_path):
    basis = Chunked(5, 3)
    x, z = keras.Input((INPUTS,)), keras.Input((RANK,))
    y = HyperDense(2, basis=basis, name="last")(HyperDense(6, basis=basis, name="first")(x, z), z)
    with pytest.raises(ValueError, match=r"\['first', 'last'\] share one Chunked.*`keras_hypernet.Hypernetwork`"):
        keras.Model([x, z], y).save(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowRank(0), "`rank` must be an integer of at least 1. Received: 0"),
        (lambda: Mixture(2.0), "`size` must be an integer of at least 1. Received: 2.0"),
        (lambda: Chunked(0, 3), "`size` must be an integer of at least 1. Received: 0"),
        (lambda: Chunked(5, 3, hidden=(0,)), "`hidden` must be an integer of at least 1. Received: 0"),
        (lambda: Chunked(5, 3, head_initializer="glorot"), "Could not interpret initializer identifier: glorot"),
        (lambda: Chunked(5, 3, stddev=0), "`stddev` must be positive. Received: 0"),
        (lambda: Full(constant="ones and zeros"), "`constant` must be 'zeros', 'given', an initializer or an array"),
        (lambda: HyperDense(4, basis="full"), "`basis` must be a basis, such as .*Received: 'full'"),
        (
            lambda: _layer(Full(constant=np.zeros((3, 4)))),
            r"'kernel' of layer '.*' must have the shape \(7, 4\). Received: an array of shape \(3, 4\)",
        ),
        (
            lambda: _layer(LowRank(2), kernel_initializer="random_normal"),
            "LowRank needs an initializer that states the variance of the generated weight",
        ),
        (
            lambda: _layer(Chunked(5, 3), contraction="factorised")(normal((6, INPUTS)), normal((6, RANK))),
            "have the routes .*Received: 'factorised'",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Unallocated(Full):
    """A basis that states its size, but makes no variables."""

    def draw(self, name, shape, rank, initializer, fans):
        raise NotImplementedError


def test_a_basis_of_gigabytes_warns_before_it_allocates():
    layer = HyperDense(4096, basis=Unallocated(), name="wide")
    with (
        pytest.warns(UserWarning, match=r"'kernel' of layer 'wide' 1,090,519,040 parameters, 4.1 GiB.*LowRank\(16\)"),
        pytest.raises(NotImplementedError),
    ):
        layer.build((None, 4096), (None, 64))


def test_a_layer_that_is_gone_shares_no_basis():
    basis = Chunked(5, 3)
    _layer(basis)
    layer = _layer(basis)
    assert layer.get_config()["basis"]["config"]["embedding_dim"] == 3
    assert list(basis.users) == [layer]


def test_layers_that_share_a_head_take_conditions_of_one_dimension():
    basis = Chunked(5, 3)
    _layer(basis)
    other = HyperDense(4, basis=basis)
    with pytest.raises(ValueError, match="take conditions of one dimension. Received: 3 and 2"):
        other.build((None, 7), (None, 2))


@pytest.mark.regression
def test_layers_that_share_a_head_are_specialized():
    basis = Chunked(5, 3)
    generator = keras.Sequential([keras.layers.Dense(RANK, activation="relu")])
    model = kh.Hypernetwork(generator, [kh.layers.HyperGRU(4, basis=basis), HyperDense(2, basis=basis)])
    x, condition = normal((3, 6, INPUTS)), normal((1, 5), seed=1)
    y = array(model({"x": x, "condition": condition}))
    np.testing.assert_allclose(array(kh.specialize(model, condition)(x)), y, atol=1e-5)
