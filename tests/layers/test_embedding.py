"""HyperEmbedding against plain NumPy, its routes against each other, masks, models of ids, and bad arguments."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.bases import Chunked, Full, LowRank, Mixture
from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.layers import HyperDense, HyperEmbedding, HyperGRU

IDS, DIM, RANK = 6, 4, 3
BASES = {
    "full": Full,
    "full_frozen": lambda: Full(constant="glorot_uniform", train_constant=False),
    "mixture": lambda: Mixture(2),
    "low_rank": lambda: LowRank(2),
}


def _ids(shape, seed=0):
    return np.random.default_rng(seed).integers(0, IDS, shape).astype("int32")


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
@pytest.mark.parametrize("conditions", [5, 1])
def test_every_route_looks_up_the_written_rows(basis, shape, conditions):
    layer, x, z = HyperEmbedding(IDS, DIM, basis=basis()), _ids(shape), normal((conditions, RANK), seed=1)
    layer(x, z)
    tables = array(layer.generate(z)["embeddings"])
    expected = np.stack([tables[number % conditions][row] for number, row in enumerate(x)])
    for contraction in ("factorised", "materialised", "auto"):
        layer.contraction = contraction
        np.testing.assert_allclose(array(layer(x, z)), expected, atol=1e-5)
    np.testing.assert_allclose(array(layer.apply(x, layer.generate(z))), expected, atol=1e-5)


def test_written_tables_match_numpy():
    layer, z = HyperEmbedding(IDS, DIM), normal((5, RANK))
    layer(_ids((5,)), z)
    (terms,) = layer.get_weights()
    expected = np.einsum("br,vro->bvo", np.concatenate([z, np.ones((5, 1))], axis=1), terms)
    np.testing.assert_allclose(array(layer.generate(z)["embeddings"]), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 2), (5, 2, 4)])
def test_a_condition_of_each_id_or_sequence(shape):
    layer, x, z = HyperEmbedding(IDS, DIM), _ids(shape), normal((5, 2, RANK), seed=1)
    y = array(layer(x, z))
    for point in range(2):
        np.testing.assert_allclose(y[:, point], array(layer(x[:, point], z[:, point])), atol=1e-6)


def test_routes_have_the_same_gradients_and_match_numpy():
    x, z, targets, by_route = _ids((5, 2)), normal((5, RANK), seed=1), normal((5, 2, DIM), seed=2), {}
    for contraction in ("factorised", "materialised"):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((2,), dtype="int32"), keras.Input((RANK,))
        model = keras.Model(inputs, HyperEmbedding(IDS, DIM, contraction=contraction)(*inputs))
        residual = array(model([x, z])) - targets
        (by_route[contraction],) = gradients(model, [x, z], targets)
    expected = np.zeros((IDS, RANK + 1, DIM))
    for row in range(5):
        for place in range(2):
            slope = 2 * residual[row, place] / residual.size
            expected[x[row, place]] += np.outer(np.append(z[row], 1), slope)
    for gradient in by_route.values():
        np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_the_table_is_written_where_it_has_fewer_rows_than_are_looked_up():
    layer = HyperEmbedding(100, DIM)
    layer.build((None, 5), (None, RANK))
    assert layer.plan((8, 5), (8, RANK)).route == "factorised"
    assert layer.plan((8, 200), (8, RANK)).route == "materialised"
    assert layer.plan((64, 5), (1, RANK)).route == "materialised"
    chunked = HyperEmbedding(100, DIM, basis=Chunked(5, 3))
    assert chunked.plan((8, 5), (8, RANK)).route == "materialised"


def test_generated_rows_have_variance_one():
    layer = HyperEmbedding(300, 40, embeddings_initializer=HyperfanIn(seed=0))
    layer.build((None,), (None, 50))
    rows = array(layer.generate(np.sign(normal((8, 50))))["embeddings"])
    np.testing.assert_allclose(rows.var(), 1.0, rtol=0.05)


def test_mask_zero_reaches_the_layers_behind_in_every_way_to_run_a_model():
    primary = [HyperEmbedding(IDS, DIM, mask_zero=True), HyperGRU(3), HyperDense(2)]
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(RANK)]), primary)
    x, condition = np.array([[1, 2, 0], [3, 0, 0], [4, 1, 2]], "int32"), normal((3, 6))
    y = array(model({"x": x, "condition": condition}))
    short, z = x[1:2, :1], model.encode(condition[1:2])
    for layer in primary:
        short = layer(short, z)
    short = array(short)
    np.testing.assert_allclose(y[1:2], short, atol=1e-5)
    np.testing.assert_allclose(array(model.apply(x, model.generate(condition))), y, atol=1e-5)
    network = kh.specialize(model, condition[1:2])
    assert network.inputs[0].dtype == "int32"
    np.testing.assert_allclose(array(network(x))[1:2], short, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "`input_dim` must be an integer of at least 1. Received: 0"),
        ((3, 2.5), "`output_dim` must be an integer of at least 1. Received: 2.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HyperEmbedding(*arguments)
    with pytest.raises(ValueError, match="`contraction` must be one of"):
        HyperEmbedding(3, 3, contraction="fast")


def test_the_factorised_route_of_a_basis_without_one_is_refused():
    layer = HyperEmbedding(IDS, DIM, basis=Chunked(5, 3), contraction="factorised")
    with pytest.raises(ValueError, match="have the routes .'materialised',.. Received: 'factorised'"):
        layer(_ids((5,)), normal((5, RANK)))
