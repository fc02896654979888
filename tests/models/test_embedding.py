"""EmbeddingMethod computes q of `[x, e(I)]` without building this concatenation."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal

import keras_hypernet as kh
from keras_hypernet.layers import ConcatenateCondition
from keras_hypernet.models.embedding import _multiplies_first

POINTS, FEATURES, SIZE, RANK, EMBEDDING, UNITS = 4, 6, 5, 3, 11, 7  # SIZE: of a condition
points = pytest.mark.parametrize("points", [(), (POINTS,)], ids=["vectors", "points"])
# The kernels of e's last layer and of q's first one are multiplied before a large batch, and after a small one.
batches = pytest.mark.parametrize("batch", [1, 64])
variants = pytest.mark.parametrize(
    ("activation", "use_bias", "functional"),
    [(None, True, False), (None, False, False), (None, True, True), ("tanh", True, False), ("tanh", False, True)],
)


def _dense(units, name, activation=None, use_bias=True):
    # A bias that is zero to begin with would let a test of the bias pass without one.
    return keras.layers.Dense(units, activation, use_bias=use_bias, bias_initializer="random_normal", name=name)


def _layers(activation=None, use_bias=True):
    """The layers of e, and those of q."""
    e = [_dense(RANK, "e_hidden", "tanh", use_bias), _dense(EMBEDDING, "e_output", activation, use_bias)]
    return e, [_dense(UNITS, "hidden", "tanh", use_bias), _dense(2, "output", None, use_bias)]


def _method(activation=None, use_bias=True, functional=False, points=()):
    e, q = _layers(activation, use_bias)
    if functional:
        condition = keras.Input((SIZE,))
        embedding = keras.Model(condition, e[1](e[0](condition)))
    else:
        embedding = keras.Sequential(e)
    model = kh.EmbeddingMethod(embedding, q)
    model.build({"x": (None, *points, FEATURES), "condition": (None, SIZE)})
    return model


def _literal(activation, use_bias, points):
    """The same with Keras's layers: the embedding is repeated for each point, and concatenated with x."""
    e, q = _layers(activation, use_bias)
    x, condition = keras.Input((*points, FEATURES), name="x"), keras.Input((SIZE,), name="condition")
    embedded = e[1](e[0](condition))
    if points:
        embedded = keras.layers.RepeatVector(*points)(embedded)
    joined = keras.layers.Concatenate()([x, embedded])
    return keras.Model({"x": x, "condition": condition}, q[1](q[0](joined)))


def _inputs(batch, points=()):
    return {"x": normal((batch, *points, FEATURES)), "condition": normal((batch, SIZE), seed=1)}


def _by_name(model, values=None):
    """Values, or weights, by the names of the variables they belong to, such as `hidden/kernel`."""
    names = ["/".join(variable.path.split("/")[-2:]) for variable in model.trainable_variables]
    assert len(set(names)) == len(names)
    return dict(zip(names, values or map(array, model.trainable_variables), strict=True))


def _numpy(model, x, condition, activation=None, factors=()):
    """The literal model in plain NumPy; `factors` are those of the outputs of some layers."""
    weights = _by_name(model)

    def dense(name, inputs, function):
        outputs = function(inputs @ weights[f"{name}/kernel"] + weights.get(f"{name}/bias", 0))
        return outputs * dict(factors).get(name, 1)

    hidden = dense("e_hidden", condition, np.tanh)
    embedded = dense("e_output", hidden, np.tanh if activation == "tanh" else np.positive)
    if x.ndim == 3:
        embedded = np.repeat(embedded[:, np.newaxis], x.shape[1], axis=1)
    return dense("output", dense("hidden", np.concatenate([x, embedded], axis=-1), np.tanh), np.positive)


@points
@batches
@variants
def test_outputs_are_those_of_the_concatenation(activation, use_bias, functional, batch, points):
    model, inputs = _method(activation, use_bias, functional, points), _inputs(batch, points)
    assert len(model.trainable_variables) == (8 if use_bias else 4)
    expected = _numpy(model, **inputs, activation=activation)
    assert expected.shape == (batch, *points, 2)
    np.testing.assert_allclose(array(model(inputs)), expected, rtol=1e-5, atol=1e-5)


def test_both_orders_of_the_products_are_tested_here():
    assert [_multiplies_first(batch, RANK, UNITS) for batch in (1, 64)] == [False, True]
    assert _multiplies_first(None, RANK, UNITS)


# The outputs of all pairs are compared above.
@pytest.mark.parametrize(("batch", "points"), [(1, (POINTS,)), (64, ())], ids=["points", "vectors"])
@variants
def test_gradients_are_those_of_the_concatenation(activation, use_bias, functional, batch, points):
    model, literal = _method(activation, use_bias, functional, points), _literal(activation, use_bias, points)
    weights = _by_name(model)
    for variable, name in zip(literal.trainable_variables, _by_name(literal), strict=True):
        variable.assign(weights[name])
    inputs, targets = _inputs(batch, points), normal((batch, *points, 2), seed=2)
    found = _by_name(model, gradients(model, inputs, targets))
    expected = _by_name(literal, gradients(literal, inputs, targets))
    assert set(found) == set(expected) == set(weights)
    for name, gradient in found.items():
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


@points
@batches
def test_one_condition_serves_the_whole_batch(batch, points):
    model, inputs = _method(points=points), _inputs(batch, points)
    condition = inputs["condition"][:1]
    expected = _numpy(model, inputs["x"], np.repeat(condition, batch, axis=0))
    np.testing.assert_allclose(array(model({**inputs, "condition": condition})), expected, rtol=1e-5, atol=1e-5)


@points
@pytest.mark.parametrize(("batch", "conditions"), [(6, 4), (1, 4)])
def test_batches_that_do_not_match_are_refused_after_the_first_call_too(batch, conditions, points):
    model = _method(points=points)
    inputs = {"x": normal((batch, *points, FEATURES)), "condition": normal((conditions, SIZE))}
    message = rf"x and condition must have the same batch size.*condition of shape \({conditions}, {EMBEDDING}\)"
    with pytest.raises(ValueError, match=message):
        model(inputs)


@batches
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_mixed_precision_computes_in_bfloat16_near_float32(activation, batch):
    inputs = _inputs(batch)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = _method(activation)
    y = model(inputs)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.weights} == {"float32"}
    np.testing.assert_allclose(array(y), _numpy(model, **inputs, activation=activation), atol=0.05)


class Doubled(keras.layers.Dense):
    """A Dense layer that computes something else."""

    def call(self, inputs):
        return 2 * super().call(inputs)


class Halved(ConcatenateCondition):
    """A concatenation that does something else."""

    def call(self, x, condition):
        return super().call(x, condition / 2)


@pytest.mark.parametrize("name", ["e_output", "hidden"])
def test_a_dense_layer_that_computes_something_else_is_called(name):
    e, q = (
        [Doubled.from_config(layer.get_config()) if layer.name == name else layer for layer in part]
        for part in _layers()
    )
    model, inputs = kh.EmbeddingMethod(keras.Sequential(e), q), _inputs(64)
    y = array(model(inputs))
    np.testing.assert_allclose(y, _numpy(model, **inputs, factors={name: 2}), rtol=1e-5, atol=1e-5)


def test_what_computes_something_else_is_not_folded():
    e, (hidden, output) = _layers()
    inputs = _inputs(64)
    convolution = keras.layers.Conv1D(UNITS, 2, name="hidden")
    for x, first in ((inputs["x"], Doubled.from_config(hidden.get_config())), (normal((64, 5, 6)), convolution)):
        model = kh.EmbeddingMethod(keras.Sequential(e), [ConcatenateCondition(), first, output])
        y = array(model({"x": x, "condition": inputs["condition"]}))
        encoded = model.encode(inputs["condition"])
        np.testing.assert_allclose(array(model.apply_encoded(x, encoded)), y, rtol=1e-5, atol=1e-5)
        for call in (model.generate, lambda condition, model=model: kh.specialize(model, condition[:1])):
            with pytest.raises(ValueError, match=f"followed by a Dense layer here. Received: {type(first).__name__}"):
                call(inputs["condition"])
    halved = kh.EmbeddingMethod(keras.Sequential(e), [Halved(), *_layers()[1]])
    y = array(halved(inputs))
    encoded = halved.encode(inputs["condition"])
    np.testing.assert_allclose(array(halved.apply_encoded(inputs["x"], encoded)), y, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="of class Halved, which takes the condition itself"):
        kh.specialize(halved, inputs["condition"][:1])


class Tenfold(keras.Sequential):
    """An embedding that does something else with its layers."""

    def call(self, inputs, training=None, mask=None):
        return 10 * super().call(inputs, training=training, mask=mask)


@batches
def test_an_embedding_that_computes_something_else_is_called(batch):
    e, q = _layers()
    model, inputs = kh.EmbeddingMethod(Tenfold(e), q), _inputs(batch)
    y = array(model(inputs))
    np.testing.assert_allclose(y, _numpy(model, **inputs, factors={"e_output": 10}), rtol=1e-5, atol=1e-5)


def test_a_concatenation_that_does_something_else_is_called():
    e, q = _layers()
    model, inputs = kh.EmbeddingMethod(keras.Sequential(e), [Halved(), *q]), _inputs(64)
    y = array(model(inputs))
    np.testing.assert_allclose(y, _numpy(model, **inputs, factors={"e_output": 0.5}), rtol=1e-5, atol=1e-5)


def test_the_condition_may_be_joined_twice():
    e, (hidden, output) = _layers()
    primary = [ConcatenateCondition(name="first"), hidden, ConcatenateCondition(name="second"), output]
    model, inputs = kh.EmbeddingMethod(keras.Sequential(e), primary), _inputs(64)
    y, weights = array(model(inputs)), _by_name(model)
    embedded = np.tanh(inputs["condition"] @ weights["e_hidden/kernel"] + weights["e_hidden/bias"])
    embedded = embedded @ weights["e_output/kernel"] + weights["e_output/bias"]
    joined = np.concatenate([inputs["x"], embedded], axis=1)
    joined = np.concatenate([np.tanh(joined @ weights["hidden/kernel"] + weights["hidden/bias"]), embedded], axis=1)
    expected = joined @ weights["output/kernel"] + weights["output/bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_an_embedding_of_one_layer_has_nothing_before_its_kernel():
    model, inputs = kh.EmbeddingMethod(keras.Sequential([_dense(EMBEDDING, "e")]), _layers()[1]), _inputs(64)
    y, weights = array(model(inputs)), _by_name(model)
    joined = np.concatenate([inputs["x"], inputs["condition"] @ weights["e/kernel"] + weights["e/bias"]], axis=1)
    hidden = np.tanh(joined @ weights["hidden/kernel"] + weights["hidden/bias"])
    np.testing.assert_allclose(y, hidden @ weights["output/kernel"] + weights["output/bias"], rtol=1e-5, atol=1e-5)


def test_penalties_on_outputs_count():
    e, q = _layers()
    e[1].activity_regularizer = keras.regularizers.L1(1.0)
    q[0].activity_regularizer = keras.regularizers.L1(100.0)
    model, inputs = kh.EmbeddingMethod(keras.Sequential(e), q), _inputs(64)
    model(inputs)
    weights = _by_name(model)
    embedded = np.tanh(inputs["condition"] @ weights["e_hidden/kernel"] + weights["e_hidden/bias"])
    embedded = embedded @ weights["e_output/kernel"] + weights["e_output/bias"]
    joined = np.concatenate([inputs["x"], embedded], axis=1)
    hidden = np.tanh(joined @ weights["hidden/kernel"] + weights["hidden/bias"])
    expected = sorted([np.abs(embedded).sum() / 64, 100 * np.abs(hidden).sum() / 64])
    np.testing.assert_allclose(sorted(array(loss) for loss in model.losses), expected, rtol=1e-4)


def _shapes(model, batch):
    """The shapes of all tensors, those of the gradients too, that TensorFlow computes for a batch."""
    import tensorflow as tf

    @tf.function
    def loss_and_gradients(x, condition):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model({"x": x, "condition": condition}))
        return loss, tape.gradient(loss, model.trainable_variables)

    specs = [tf.TensorSpec(value.shape) for value in _inputs(batch).values()]
    graph = loss_and_gradients.get_concrete_function(*specs).graph
    outputs = [output for operation in graph.get_operations() for output in operation.outputs]
    return {tuple(output.shape) for output in outputs if output.shape.rank is not None}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="looks into TensorFlow's graph")
def test_neither_the_embedding_nor_what_it_is_joined_to_is_built_for_a_large_batch():
    built, joined = (64, EMBEDDING), (64, FEATURES + EMBEDDING)
    shapes = _shapes(_method(), 64)
    assert (64, UNITS) in shapes
    assert (RANK, UNITS) in shapes  # the product of the kernels
    assert not {built, joined} & shapes
    # Where an activation stands between the kernels, or the batch is small, the embedding is needed.
    shapes = _shapes(_method("tanh"), 64)
    assert built in shapes
    assert joined not in shapes
    assert (1, EMBEDDING) in _shapes(_method(), 1)
    assert joined in _shapes(_literal(None, True, ()), 64)
