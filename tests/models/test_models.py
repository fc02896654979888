"""Hypernetwork and EmbeddingMethod against plain NumPy, with layers of every kind."""

import keras
import numpy as np
import pytest
from helpers import array, normal

import keras_hypernet as kh
from keras_hypernet.layers import ConcatenateCondition, HyperConv2D, HyperDense


def _inputs(batch=6):
    return {"x": normal((batch, 7)), "condition": normal((batch, 4), seed=1)}


def test_hypernetwork_is_g_with_the_generated_weights():
    generator = keras.Sequential([keras.layers.Dense(3, activation="relu")])
    primary = [HyperDense(5, "relu", name="a"), HyperDense(2, name="b", bias_initializer="random_normal")]
    model = kh.Hypernetwork(generator, primary)
    inputs = _inputs()
    y = array(model(inputs))
    theta = {name: array(weight) for name, weight in model.generate(inputs["condition"]).items()}
    assert sorted(theta) == ["a/bias", "a/kernel", "b/bias", "b/kernel"]
    for number, x in enumerate(inputs["x"]):
        hidden = np.maximum(x @ theta["a/kernel"][number] + theta["a/bias"][number], 0)
        expected = hidden @ theta["b/kernel"][number] + theta["b/bias"][number]
        np.testing.assert_allclose(y[number], expected, atol=1e-5)


def test_embedding_method_is_a_hypernetwork_that_generates_the_first_biases():
    """Paper, end of Sec. 4.1: [x, e] W + b = x W_x + (e W_e + b)."""
    embedding = keras.Sequential([keras.layers.Dense(3, activation="relu")])
    method = kh.EmbeddingMethod(
        embedding, [keras.layers.Dense(5, "tanh", bias_initializer="random_normal"), keras.layers.Dense(2)]
    )
    generator = keras.Sequential([keras.layers.Dense(3, activation="relu")])
    first = HyperDense(5, "tanh", kernel="trained", bias="generated")
    hypernetwork = kh.Hypernetwork(generator, [first, keras.layers.Dense(2)])
    inputs = _inputs()
    expected = array(method(inputs))
    hypernetwork(inputs)

    kernel, bias = method.primary[1].get_weights()
    generator.set_weights(embedding.get_weights())
    first.set_weights([kernel[:7], np.concatenate([kernel[7:], bias[np.newaxis]])])
    hypernetwork.primary[1].set_weights(method.primary[2].get_weights())

    np.testing.assert_allclose(array(hypernetwork(inputs)), expected, atol=1e-5)
    generated = hypernetwork.generate(inputs["condition"])[f"{first.name}/bias"]
    folded = method.generate(inputs["condition"])[f"{method.primary[1].name}/bias"]
    np.testing.assert_allclose(array(folded), array(generated), atol=1e-5)


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function that does not know the sizes")
@pytest.mark.parametrize("compiled_by_xla", [False, pytest.param(True, marks=pytest.mark.full)])
def test_the_batch_rule_holds_where_sizes_are_seen_at_run_time_only(compiled_by_xla):
    """One condition for all x, or one for each; TensorFlow and XLA would broadcast others too."""
    import tensorflow as tf

    def call(model):
        return lambda x, condition: model({"x": x, "condition": condition})

    def halves(model):
        return lambda x, condition: model.apply(x, model.generate(condition))

    def embedded(model):
        return lambda x, condition: model.apply_encoded(x, model.encode(condition))

    points = (4,)
    for layers, shape, ways in (
        ([HyperDense(5), HyperDense(2)], (), [call, halves]),
        ([HyperDense(2, contraction="factorised")], points, [call]),
        ([HyperDense(2, kernel="trained")], (), [call]),
        ([ConcatenateCondition(), keras.layers.Dense(2)], points, [call, halves, embedded]),
        ([ConcatenateCondition(), keras.layers.LayerNormalization()], (), [call]),
        ([Own()], (), [call]),
    ):
        hyper = isinstance(layers[0], HyperDense)
        encoder = keras.Sequential([keras.layers.Dense(3)])
        model = kh.Hypernetwork(encoder, layers) if hyper else kh.EmbeddingMethod(encoder, layers)
        model.build({"x": (None, *shape, 7), "condition": (None, 4)})
        specs = [tf.TensorSpec((None, *shape, 7)), tf.TensorSpec((None, 4))]
        for way in ways:
            function = tf.function(way(model), input_signature=specs, jit_compile=compiled_by_xla)
            x, conditions = normal((5, *shape, 7)), normal((5, 4), seed=1)
            for condition in (conditions, conditions[:1]):
                each = np.broadcast_to(condition, (5, 4))
                expected = array(model({"x": x, "condition": each}))
                np.testing.assert_allclose(array(function(x, condition)), expected, rtol=1e-5, atol=1e-5)
            for rows, others in ((1, 5), (4, 2), (2, 4), (2, 0), (0, 2)):
                with pytest.raises(tf.errors.InvalidArgumentError, match="check_that_there_is_one_condition_for_all_x"):
                    function(x[:rows], conditions[:others])


@pytest.mark.regression
def test_x_of_no_features_leaves_what_the_condition_decides():
    inputs = {**_inputs(), "x": np.zeros((6, 0), "float32")}
    dense = keras.layers.Dense(5, "tanh", bias_initializer="random_normal")
    for model in (
        kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(5, "tanh"), HyperDense(2)]),
        kh.EmbeddingMethod(keras.Sequential([keras.layers.Dense(3)]), [dense, keras.layers.Dense(2)]),
    ):
        y, condition = array(model(inputs)), inputs["condition"]
        np.testing.assert_allclose(array(model.apply(inputs["x"], model.generate(condition))), y, atol=1e-6)
        network = kh.specialize(model, condition[:1])
        np.testing.assert_allclose(array(network(inputs["x"])), np.repeat(y[:1], 6, axis=0), atol=1e-6)
    kernel, bias = (array(weight) for weight in dense.weights)
    embedded = array(model.encode(condition))
    output = model.primary[-1]
    expected = np.tanh(embedded @ kernel + bias) @ array(output.kernel) + array(output.bias)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def _ids_network(*first):
    return keras.Sequential([*first, keras.layers.Embedding(1000, 4), keras.layers.Flatten()])


@pytest.mark.regression
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float32"])
def test_ids_are_not_rounded(policy):
    keras.config.set_dtype_policy(policy)
    ids = np.array([[1, 999], [259, 777]])
    model = kh.Hypernetwork(_ids_network(keras.Input((2,), dtype="int32")), [HyperDense(2)])
    model({"x": normal((2, 7)), "condition": ids})
    (table,) = model.generator.layers[0].get_weights()
    expected = array(keras.ops.cast(table, model.compute_dtype))[ids].reshape(2, 8)
    np.testing.assert_array_equal(array(model.encode(ids)), expected)
    for undeclared, inputs in (
        (kh.Hypernetwork(_ids_network(), [HyperDense(2)]), {"x": normal((2, 7)), "condition": ids}),
        (kh.Hypernetwork(keras.layers.Dense(3), [_ids_network(), HyperDense(2)]), {"x": ids, "condition": ids}),
    ):
        if policy == "mixed_bfloat16":
            with pytest.raises(ValueError, match=r"rounds ids beyond 256. .* of 1000 ids. Put `keras.Input\("):
                undeclared(inputs)
        else:
            assert tuple(undeclared(inputs).shape) == (2, 2)


def _declaring_ids():
    return keras.Sequential([keras.Input((2,), dtype="int32"), keras.layers.Embedding(1000, 4)])


@pytest.mark.regression
@pytest.mark.parametrize(
    ("layers", "received"),
    [
        (lambda: [keras.layers.Flatten(), keras.layers.Embedding(1000, 4), keras.layers.Flatten()], "Embedding"),
        (lambda: [_declaring_ids(), keras.layers.Flatten()], "Sequential"),
    ],
)
def test_ids_are_not_rounded_before_they_are_read(layers, received):
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = {"x": normal((2, 7)), "condition": np.array([[1, 999], [259, 777]])}
    message = f"beyond 256. Received: {received} of 1000 ids. Put `keras.Input"
    with pytest.raises(ValueError, match=message):
        kh.Hypernetwork(keras.Sequential(layers()), [HyperDense(2)])(inputs)
    declaring = keras.Sequential([keras.Input((2,), dtype="int32"), *layers()])
    assert tuple(kh.Hypernetwork(declaring, [HyperDense(2)])(inputs).shape) == (2, 2)


@pytest.mark.regression
def test_ids_are_not_rounded_by_an_encoding_of_categories():
    """As Keras's own does in `predict`, whatever its inputs are; what else reads integers or bins keeps them."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = {"x": normal((2, 7)), "condition": np.array([[1, 999], [259, 777]])}
    for first in ([], [keras.Input((2,), dtype="int32")]):
        encoder = keras.Sequential([*first, keras.layers.CategoryEncoding(1000)])
        with pytest.raises(ValueError, match="beyond 256. Received: CategoryEncoding of 1000 ids. .*dtype='float32'"):
            kh.Hypernetwork(encoder, [HyperDense(2)])(inputs)
        exact = keras.Sequential([*first, keras.layers.CategoryEncoding(1000, dtype="float32")])
        initializer = keras.initializers.RandomNormal(stddev=1.0)
        model = kh.Hypernetwork(exact, [HyperDense(2, kernel_initializer=initializer)])
        y = array(keras.ops.cast(model(inputs), "float32"))
        np.testing.assert_allclose(np.float32(model.predict(inputs, verbose=0)), y, atol=0.1)


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="integers of 64 bits")
@pytest.mark.parametrize("method", ["hyper", "embed"])
def test_x_does_not_wrap_around_into_a_narrower_dtype(method):
    if method == "hyper":
        model = kh.Hypernetwork(keras.layers.Dense(3), [_declaring_ids(), keras.layers.Flatten(), HyperDense(2)])
    else:
        last = [ConcatenateCondition(), keras.layers.Dense(2)]
        model = kh.EmbeddingMethod(keras.layers.Dense(3), [_declaring_ids(), keras.layers.Flatten(), *last])
    ids, condition = np.array([[1, 999], [259, 777]]), normal((2, 6))
    y, weights = array(model({"x": ids.astype("int32"), "condition": condition})), model.generate(condition)
    np.testing.assert_allclose(array(model.apply(ids, weights)), y, atol=1e-6)
    for call in (
        lambda x: model({"x": x, "condition": condition}),
        lambda x: model.predict({"x": x, "condition": condition}, verbose=0),
        lambda x: model.apply(x, weights),
    ):
        with pytest.raises(ValueError, match="takes integers that int32 holds. Received: int64, with 4294967297"):
            call(ids + 2**32)


class Untold(keras.Model):
    """A generator whose author has not said the shape of its output."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3, activation="relu")

    def call(self, condition):
        return self.dense(condition)


class Stretched(keras.layers.Layer):
    """A layer whose author has not said the shape of its output."""

    def call(self, x):
        return keras.ops.concatenate([x, x], axis=-1)


def test_parts_need_not_say_the_shape_of_their_outputs():
    model, inputs = kh.Hypernetwork(Untold(), [HyperDense(4), Stretched(), HyperDense(2)]), _inputs()
    assert tuple(model(inputs).shape) == (6, 2)
    assert model.compute_output_shape({"x": (None, 7), "condition": (None, 4)}) == (None, 2)
    assert model.num_parameters()["primary"] == (7 * 4 + 4) + (8 * 2 + 2)


def test_the_last_layer_may_be_exempt_from_mixed_precision():
    generator = keras.Sequential([keras.layers.Dense(3)])
    model = kh.Hypernetwork(generator, [HyperDense(5), HyperDense(2, dtype="float32")], dtype="mixed_bfloat16")
    symbolic = model({"x": keras.Input((7,)), "condition": keras.Input((4,))})
    assert symbolic.dtype == keras.backend.standardize_dtype(model(_inputs()).dtype) == "float32"


@pytest.mark.parametrize("method", ["hyper", "embed"])
def test_masked_points_do_not_count(method):
    encoder, pooled = keras.Sequential([keras.layers.Dense(3)]), keras.layers.GlobalAveragePooling1D()
    masking = keras.layers.Masking()
    if method == "hyper":
        model = kh.Hypernetwork(encoder, [masking, HyperDense(5, "tanh"), HyperDense(2), pooled])
    else:
        q = [ConcatenateCondition(), keras.layers.Dense(5, "tanh"), keras.layers.Dense(2)]
        model = kh.EmbeddingMethod(encoder, [masking, *q, pooled])
    x, condition = normal((6, 4, 7)), normal((6, 4), seed=1)
    x[:, 2:] = 0
    y = array(model({"x": x, "condition": condition}))
    expected = array(model({"x": x[:, :2], "condition": condition}))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(model.apply(x, model.generate(condition))), expected, rtol=1e-5, atol=1e-5)
    encoded = model.encode(condition)
    np.testing.assert_allclose(array(model.apply_encoded(x, encoded)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.regression
@pytest.mark.parametrize("points", [(), (4,)])
def test_a_hypernetwork_may_also_join_the_condition_to_x(points):
    joined = keras.layers.Dense(5, "tanh", bias_initializer="random_normal")
    last = HyperDense(2, kernel="trained", bias_initializer="random_normal", name="last")
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [ConcatenateCondition(), joined, last])
    inputs = {"x": normal((6, *points, 7)), "condition": normal((6, 4), seed=1)}
    y, z = array(model(inputs)), array(model.encode(inputs["condition"]))
    each = np.broadcast_to(z.reshape(6, *(1 for _ in points), 3), (6, *points, 3))
    hidden = np.tanh(np.concatenate([inputs["x"], each], axis=-1) @ array(joined.kernel) + array(joined.bias))
    kernel, basis = last.get_weights()
    expected = hidden @ kernel + each @ basis[:3] + basis[3]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    weights = model.generate(inputs["condition"])
    assert sorted(weights) == sorted([f"{joined.name}/bias", "last/bias"])
    np.testing.assert_allclose(array(model.apply(inputs["x"], weights)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(model.apply_encoded(inputs["x"], z)), expected, rtol=1e-5, atol=1e-5)
    network = kh.specialize(model, inputs["condition"][:1])
    np.testing.assert_allclose(array(network(inputs["x"][:1])), expected[:1], rtol=1e-5, atol=1e-5)


class Own(kh.layers.ConditionedLayer):
    """A layer that takes the condition in a way of its own."""

    def call(self, x, condition):
        return x * condition[:, :1]

    def compute_output_shape(self, x_shape, condition_shape):
        return x_shape


def test_a_layer_that_takes_the_condition_itself_has_no_weights_to_keep():
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2), Own(name="mine")])
    inputs = _inputs()
    model(inputs)
    with pytest.raises(ValueError, match="Layer 'mine' of class Own needs the condition itself"):
        model.apply(inputs["x"], model.generate(inputs["condition"]))
    with pytest.raises(ValueError, match="No network of x alone is known for layer 'mine' of class Own"):
        kh.specialize(model, inputs["condition"][:1])


def test_x_may_have_every_size_that_the_layers_leave_free():
    def model(last):
        primary = [HyperConv2D(4, 3, strides=2), last, HyperDense(3)]
        model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), primary)
        model({"x": normal((2, 9, 9, 2)), "condition": normal((2, 4))})
        return model

    pooled, flat = model(keras.layers.GlobalAveragePooling2D()), model(keras.layers.Flatten())
    assert pooled.network.free_x_shape == (None, None, None, 2)
    x, condition = normal((2, 12, 7, 2)), normal((2, 4))
    y = pooled({"x": x, "condition": condition})
    np.testing.assert_allclose(array(pooled.apply(x, pooled.generate(condition))), array(y), atol=1e-5)
    for wrong, model in ((normal((2, 12, 7, 2)), flat), (normal((2, 9, 9, 3)), pooled), (normal((2, 9, 2)), pooled)):
        with pytest.raises(ValueError, match=r"was built for `x` of shape \(None, .*\). Received: \(2, "):
            model({"x": wrong, "condition": condition})


@pytest.mark.regression
def test_a_compiled_model_is_loaded_compiled(tmp_path):
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2)])
    inputs, targets = {"x": normal((4, 5)), "condition": normal((4, 3))}, normal((4, 2))
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse", run_eagerly=keras.backend.backend() == "tensorflow")
    model.fit(inputs, targets, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.compiled
    assert loaded.evaluate(inputs, targets, verbose=0) == pytest.approx(model.evaluate(inputs, targets, verbose=0))
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
