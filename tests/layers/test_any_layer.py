"""Hyper against the same layer with its weights set by hand, and the layers that Hyper refuses."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.bases import Chunked, LowRank
from keras_hypernet.common.backends import device
from keras_hypernet.layers import Hyper

BATCH, RANK = 2, 3


def _residual_cnn():
    x = keras.Input((4, 4, 2))
    y = keras.layers.Conv2D(3, 3, padding="same", data_format="channels_last", activation="tanh")(x)
    y = keras.layers.Conv2D(2, 1, data_format="channels_last")(keras.layers.LayerNormalization()(y))
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.Flatten()(x + y)))


def _attention():
    x = keras.Input((5, 4))
    return keras.Model(x, x + keras.layers.MultiHeadAttention(2, 3)(x, x))


TARGETS = {
    "dense": (lambda: keras.layers.Dense(4, activation="tanh"), (BATCH, 7)),
    "lstm": (lambda: keras.layers.LSTM(4), (BATCH, 5, 4)),
    "cnn": (_residual_cnn, (BATCH, 4, 4, 2)),
    "attention": (_attention, (BATCH, 5, 4)),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # PyTorch's, of attention in `torch.vmap`
@pytest.mark.parametrize(("make", "shape"), [pytest.param(*case, id=name) for name, case in TARGETS.items()])
def test_values_and_gradients_are_those_of_a_loop_with_weights_set_by_hand(make, shape):
    x, z = normal(shape), normal((BATCH, RANK), seed=1)
    x_input, z_input = keras.Input(shape[1:]), keras.Input((RANK,))
    layer = Hyper(make())
    model = keras.Model([x_input, z_input], layer(x_input, z_input))
    for number, variable in enumerate(layer.basis_variables):
        variable.assign(variable + 0.1 * normal(variable.shape, seed=number))
    y = array(model([x, z]))
    plain, _ = layer.specialize(z[:1])
    plain = keras.Sequential([keras.Input(shape[1:]), plain])
    targets, extended = np.zeros_like(y), np.concatenate([z, np.ones((BATCH, 1))], axis=1)
    expected = [np.zeros(variable.shape) for variable in layer.basis_variables]
    for b in range(BATCH):
        weights = [array(weight[0]) for weight in layer.generate(z[b : b + 1]).values()]
        plain.set_weights(weights)
        np.testing.assert_allclose(array(plain(x[b : b + 1]))[0], y[b], atol=1e-5)
        for total, gradient in zip(expected, gradients(plain, x[b : b + 1], targets[b : b + 1]), strict=True):
            total += extended[b][:, None] * gradient[..., None, :] / BATCH
    for received, gradient in zip(gradients(model, [x, z], targets), expected, strict=True):
        np.testing.assert_allclose(received, gradient, atol=1e-5)


def test_the_mask_of_generated_weights_may_be_an_array():
    layer, x, z = Hyper(keras.layers.SimpleRNN(4)), normal((BATCH, 5, 4)), normal((BATCH, RANK), seed=1)
    layer(x, z)
    weights = layer.generate(z)
    y = layer.apply(x, weights, x_mask=np.arange(5) < np.full((BATCH, 1), 3))
    np.testing.assert_allclose(array(y), array(layer.apply(x[:, :3], weights)), atol=1e-6)
    assert np.abs(array(y) - array(layer.apply(x, weights))).max() > 1e-3


def test_dropout_draws_for_each_sample_and_each_call_and_not_in_prediction():
    x, z = np.ones((3, 200), "float32"), np.ones((3, RANK), "float32")
    layer = Hyper(keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(4)]))
    predicted = array(layer(x, z))
    np.testing.assert_array_equal(array(layer(x, z)), predicted)
    first, second = array(layer(x, z, training=True)), array(layer(x, z, training=True))
    drawn = np.concatenate([first, second])
    assert len({tuple(row) for row in drawn}) == 6
    shared = array(layer(x, z[:1], training=True))
    assert len({tuple(row) for row in shared}) == 3


@pytest.mark.parametrize("basis", [None, LowRank(2, constant="given"), Chunked(5, 3, constant="given")], ids=str)
def test_a_built_layer_begins_as_itself(basis):
    pretrained = keras.Sequential(
        [keras.Input((7,)), keras.layers.Dense(5, bias_initializer="random_normal"), keras.layers.Dense(4)]
    )
    x = normal((3, 7))
    expected = array(pretrained(x))
    layer = Hyper(pretrained, basis)
    np.testing.assert_allclose(array(layer(x, normal((3, RANK)))), expected, atol=1e-5)


def test_other_weights_are_trained_as_the_layers_own():
    layer = Hyper(keras.layers.LSTM(4), weights="*/kernel")
    layer(normal((2, 5, 4)), normal((2, RANK)))
    assert layer.generated_shapes == {"lstm_cell/kernel": (4, 16)}
    assert len(layer.trainable_variables) == 3  # the basis, recurrent_kernel and bias


def test_a_pattern_that_matches_nothing_offers_the_names():
    layer = Hyper(keras.layers.LSTM(4), weights="lstm_cell/kernels")
    with pytest.raises(ValueError, match="'lstm_cell/kernels' matches no .* did you mean lstm_cell/kernel"):
        layer(normal((2, 5, 4)), normal((2, RANK)))


def test_with_a_basis_without_a_constant_kernels_are_linear_in_the_condition():
    dense = keras.layers.Dense(4, bias_initializer="random_normal")
    layer, z = Hyper(dense, LowRank(2)), normal((3, RANK))
    layer(normal((3, 7)), z)
    kernels, twice, at_zero = (layer.generate(factor * z) for factor in (1, 2, 0))
    assert np.abs(array(kernels["kernel"])).min(axis=0).max() > 0
    np.testing.assert_allclose(array(twice["kernel"]), 2 * array(kernels["kernel"]), atol=1e-6)
    np.testing.assert_array_equal(array(at_zero["kernel"]), np.zeros((3, 7, 4)))
    np.testing.assert_array_equal(array(at_zero["bias"]), np.tile(array(dense.bias), (3, 1)))


def test_seeds_are_no_weights():
    layer = Hyper(keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(4)]))
    layer(normal((2, 7)), normal((2, RANK)))
    assert len(layer.weights) == 2
    assert len(layer.variables) == 3


def test_a_recurrent_layer_trains_without_xla_on_tensorflow():
    assert Hyper(keras.layers.Dense(2)).supports_jit
    stacked = keras.Sequential([keras.layers.LSTM(2)])
    assert Hyper(stacked).supports_jit == (keras.backend.backend() != "tensorflow")


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: keras.layers.BatchNormalization(), "FiLM"),
        (lambda: keras.Sequential([keras.layers.Dense(2), keras.layers.BatchNormalization()]), "FiLM"),
        (lambda: keras.layers.LSTM(2, stateful=True), "stateful=False"),
        (lambda: keras.layers.Lambda(lambda x: x), "registered layer"),
        (lambda: keras.layers.Dense(2, activity_regularizer="l2"), "`activity_regularizer` to Hyper"),
    ],
)
def test_layers_that_cannot_run_are_refused_with_advice(make, advice):
    with pytest.raises(ValueError, match=advice):
        Hyper(make())


class Hidden(keras.layers.Layer):
    """A layer with a BatchNormalization, or with a state of its own that changes by the batch."""

    def __init__(self, normalizes):
        super().__init__()
        self.inner = [keras.layers.Dense(4), *([keras.layers.BatchNormalization()] if normalizes else [])]

    def build(self, shape):
        self.inner[0].build(shape)
        self.mean = self.add_weight(shape=(4,), initializer="zeros", trainable=False)

    def call(self, x, training=None):
        y = self.inner[0](x)
        if training:
            self.mean.assign(keras.ops.mean(y, axis=0))
        return y - self.mean


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow" or device() == "gpu",
    reason="only TensorFlow on a processor lacks channels_first",
)
@pytest.mark.parametrize("convolution", [keras.layers.Conv2D, keras.layers.SeparableConv2D])
def test_a_convolution_that_the_processor_lacks_is_refused(convolution):
    with pytest.raises(ValueError, match="has channels_first, .* use channels_last, or a layer such as HyperConv2D"):
        Hyper(keras.Sequential([convolution(4, 2, data_format="channels_first")]))
    Hyper(keras.Sequential([convolution(4, 2, data_format="channels_last")]))


def test_a_hidden_state_that_changes_by_the_batch_is_refused():
    with pytest.raises(ValueError, match="FiLM"):
        Hyper(Hidden(normalizes=True))
    layer, x, z = Hyper(Hidden(normalizes=False)), normal((3, 7)), normal((3, RANK))
    assert layer(x, z).shape == (3, 4)
    with pytest.raises(ValueError, match="changes its state"):
        layer(x, z, training=True)


class Penalised(keras.layers.Dense):
    """A Dense layer that adds a loss in its call."""

    def call(self, x):
        y = super().call(x)
        self.add_loss(keras.ops.mean(y))
        return y


def test_a_loss_in_the_call_is_refused_and_regularizers_of_weights_act():
    x, z = normal((3, 7)), normal((3, RANK))
    with pytest.raises(ValueError, match="adds a loss in its call"):
        Hyper(Penalised(4))(x, z)
    layer = Hyper(keras.layers.Dense(4, kernel_regularizer="l2", bias_regularizer="l2"), weights="kernel")
    layer(x, z)
    layer.own_0.assign(np.ones(4))
    expected = 0.01 * (np.square(array(layer.basis_variables[0])).sum() + 4)
    np.testing.assert_allclose(sum(array(loss) for loss in layer.losses), expected, rtol=1e-5)


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="ordinary layer"):
        Hyper("dense")
    with pytest.raises(ValueError, match="no trainable weights"):
        Hyper(keras.layers.Flatten())(normal((3, 7)), normal((3, RANK)))
    with pytest.raises(ValueError, match="one output"):
        Hyper(keras.layers.LSTM(2, return_state=True))(normal((3, 5, 7)), normal((3, RANK)))


@pytest.mark.parametrize(
    "first", [keras.layers.Flatten, pytest.param(lambda: Hyper(keras.layers.LSTM(4)), marks=pytest.mark.full)]
)
def test_a_hypernetwork_of_any_layer_fits_and_is_saved_cloned_and_specialized(first, tmp_path):
    target = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.LayerNormalization()])
    model = kh.Hypernetwork(keras.layers.Dense(RANK), [first(), Hyper(target), Hyper(keras.layers.Dense(2))])
    inputs = {"x": normal((6, 5, 4)), "condition": normal((6, 2), seed=1)}
    model(inputs)
    model.compile("sgd", "mse")
    model.fit(inputs, normal((6, 2)), batch_size=4, verbose=0)
    y = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(inputs)), array(model(inputs)))
    network = kh.specialize(model, inputs["condition"][:1])
    np.testing.assert_allclose(array(network(inputs["x"][:1])), y[:1], atol=1e-5)
    clone = keras.models.clone_model(model)
    clone(inputs)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(array(clone(inputs)), y, atol=1e-5)


def test_a_trained_layer_is_saved(tmp_path):
    inputs = keras.Input((4,)), keras.Input((3,))
    model = keras.Model(inputs, Hyper(keras.layers.Dense(2), basis=LowRank(1, constant="given"))(*inputs))
    model.compile("sgd", "mse")
    arrays = [normal((6, 4)), normal((6, 3), seed=1)]
    model.fit(arrays, normal((6, 2), seed=2), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(arrays)), array(model(arrays)), atol=1e-6)
