"""Hypernetwork, EmbeddingMethod and specialize; the remark and the sizes of the paper."""

import keras
import numpy as np
import pytest
from helpers import array, normal, pixels

import keras_hypernet as kh
from keras_hypernet.layers import ConcatenateCondition, HyperDense
from keras_hypernet.zoo.architectures import build_model


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


def _image_model():
    task = kh.RotationTask("digits")
    return build_model(task, "hyper", kh.paper_recipe(task))


NOT_PIXELS = "takes uint8 images with pixels of 0 to 255, which it scales itself.*float32"


@pytest.mark.parametrize("scaled", ["x", "condition"])
@pytest.mark.parametrize("predict", [False, True])
def test_float_images_are_refused(scaled, predict):
    model = _image_model()
    call = (lambda inputs: model.predict(inputs, verbose=0)) if predict else model
    inputs = {"x": pixels((2, 28, 28, 1)), "condition": pixels((2, 28, 28, 1))}
    call(inputs)
    inputs[scaled] = inputs[scaled] / np.float32(255)
    with pytest.raises(TypeError, match=NOT_PIXELS):
        call(inputs)


def test_float_images_are_refused_by_a_specialized_model(tmp_path):
    x = pixels((2, 28, 28, 1))
    network = kh.specialize(_image_model(), x[:1])
    network.save(tmp_path / "g.keras")
    loaded = keras.saving.load_model(tmp_path / "g.keras")
    np.testing.assert_array_equal(array(loaded(x)), array(network(x)))
    for model in (network, loaded):
        with pytest.raises(TypeError, match=NOT_PIXELS):
            model.predict(x / np.float32(255), verbose=0)


@pytest.mark.parametrize("name", ["x", "condition"])
@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 32, 32, 1), (2, 784)])
@pytest.mark.parametrize("predict", [False, True])
def test_images_of_another_shape_are_refused(name, shape, predict):
    model = _image_model()
    inputs = {"x": pixels((2, 28, 28, 1)), "condition": pixels((2, 28, 28, 1))}
    call = (lambda inputs: model.predict(inputs, verbose=0)) if predict else model
    call(inputs)  # later shapes are traced with unknown dimensions
    with pytest.raises(ValueError, match=rf"built for `{name}` of shape \(None, 28, 28, 1\). Received: "):
        call({**inputs, name: pixels(shape)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": normal((6, 7))}, r"a dict with the keys 'x' and 'condition', or a pair.*keys \['x'\]"),
        ([normal((6, 7))], "Received: list"),
    ],
)
def test_inputs_other_than_a_dict_or_pair_are_refused(inputs, message):
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2)])
    model(_inputs())
    with pytest.raises(ValueError, match=message):
        model(inputs)


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function that does not know the sizes")
@pytest.mark.parametrize("compiled_by_xla", [False, True])
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


def test_batches_that_do_not_match_are_refused():
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2)])
    for _ in range(2):  # the first call builds the model
        with pytest.raises(
            ValueError, match="x and condition must have the same batch size, or condition a batch size"
        ):
            model({"x": normal((6, 7)), "condition": normal((4, 4))})
        model(_inputs())


@pytest.mark.regression
@pytest.mark.parametrize("method", ["hyper", "embed"])
def test_weights_of_another_shape_or_number_are_refused(method):
    layers = [HyperDense(5, name="a")] if method == "hyper" else [keras.layers.Dense(5, name="a")]
    make = kh.Hypernetwork if method == "hyper" else kh.EmbeddingMethod
    model, inputs = make(keras.Sequential([keras.layers.Dense(3)]), layers), _inputs(2)
    model(inputs)
    weights, x = model.generate(inputs["condition"]), normal((5, 7))
    message = r"Weight 'a/bias' must have the shape \(1, 5\), for all x, or \({}, 5\), for each x. Received: shape "
    for rows, bias, received in (
        (5, weights["a/bias"], r"\(2, 5\)"),
        (1, weights["a/bias"], r"\(2, 5\)"),
        (2, weights["a/bias"][:, :1], r"\(2, 1\)"),
        (2, weights["a/bias"][0], r"\(5,\)"),
    ):
        one = {name: weight[:1] for name, weight in weights.items()}
        with pytest.raises(ValueError, match=message.format(rows) + received):
            model.apply(x[:rows], {**one, "a/bias": bias})


@pytest.mark.regression
def test_generate_says_the_shape_of_the_condition():
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2, name="a")])
    model(_inputs())
    for wrong in (normal((4,)), normal((2, 6, 4)), normal((2, 5))):
        with pytest.raises(ValueError, match=r"was built for `condition` of shape \(None, 4\). Received: \("):
            model.generate(wrong)
    for wrong in (normal((3,)), normal((2, 2, 3)), normal((2, 4))):
        with pytest.raises(ValueError, match=r"'a' was built for conditions of shape \[batch, 3\]. Received: shape \("):
            model.primary[0].generate(wrong)
    with pytest.raises(ValueError, match="x and a/kernel must have the same batch size, or a/kernel a batch"):
        model.primary[0].apply(normal((5, 7)), model.primary[0].generate(normal((2, 3))))


def test_models_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="has no hyper layer, so nothing is generated"):
        kh.Hypernetwork(keras.layers.Dense(3), [keras.layers.Dense(2)])
    network = keras.Sequential([HyperDense(3)])
    with pytest.raises(TypeError, match="`primary` must be a list of layers; of a Sequential, its `.layers`"):
        kh.Hypernetwork(keras.layers.Dense(3), network)
    with pytest.raises(ValueError, match="distinct names"):
        kh.Hypernetwork(keras.layers.Dense(3), [HyperDense(2, name="a"), HyperDense(2, name="a")])


@pytest.mark.regression
def test_primary_is_a_flat_list_and_the_encoder_a_layer():
    for method, layer in ((kh.Hypernetwork, HyperDense(2)), (kh.EmbeddingMethod, keras.layers.Dense(2))):
        with pytest.raises(TypeError, match="`primary` must be a flat list of layers. Received among them: list"):
            method(keras.layers.Dense(3), [layer, [keras.layers.Dense(2)]])
        with pytest.raises(TypeError, match="`(generator|embedding)` must be a `keras.Model` or layer. Received: list"):
            method([keras.layers.Dense(3)], [layer])


@pytest.mark.regression
def test_the_format_that_cannot_be_loaded_is_refused(tmp_path):
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2)])
    y = array(model(_inputs()))
    for name in ("model.h5", "model.hdf5", "model.weights.h5"):
        with pytest.raises(ValueError, match=r"saved in the format `.keras`, as in `model.save\('model.keras'\)`"):
            model.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    model.save_weights(tmp_path / "model.weights.h5")
    model.generator.layers[0].kernel.assign(keras.ops.zeros((4, 3)))
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(array(model(_inputs())), y)


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
    for call in (lambda x: model({"x": x, "condition": condition}), lambda x: model.apply(x, weights)):
        with pytest.raises(ValueError, match="takes integers that int32 holds. Received: int64, with 4294967297"):
            call(ids + 2**32)
    with pytest.raises(Exception, match=r"indices\[0,0\] = 2147483647 is not in \[0, 1000\)"):
        model.predict({"x": ids + 2**32, "condition": condition}, verbose=0)


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


def test_shapes_are_checked_where_models_are_put_together():
    layer = HyperDense(2)
    layer(normal((6, 4)), normal((6, 3)))
    with pytest.raises(ValueError, match="was built for 4 features of x and a condition of dimension 3"):
        layer(keras.Input((9,)), keras.Input((3,)))
    with pytest.raises(ValueError, match="A condition must have an entry"):
        HyperDense(2)(normal((6, 4)), normal((6, 0)))
    with pytest.raises(TypeError, match="`primary` must be a list of layers; of a Sequential, its `.layers`"):
        kh.EmbeddingMethod(keras.layers.Dense(3), keras.Sequential([keras.layers.Dense(2)]))


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


def test_specialize_says_what_it_needs():
    with pytest.raises(TypeError, match="Only models of x and a condition are specialized"):
        kh.specialize(keras.Sequential([keras.layers.Dense(3)]), normal((1, 4)))
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2)])
    with pytest.raises(ValueError, match="call it on x and a condition before `specialize`"):
        kh.specialize(model, normal((1, 4)))
    model(_inputs())
    with pytest.raises(ValueError, match=r"one condition, of shape \[1, ...\]. Received: shape \(6, 4\)"):
        kh.specialize(model, normal((6, 4)))
    concatenating = kh.EmbeddingMethod(
        keras.Sequential([keras.layers.Dense(3)]), [ConcatenateCondition(), keras.layers.LayerNormalization()]
    )
    concatenating(_inputs())
    with pytest.raises(ValueError, match="must be followed by a Dense layer here. Received: LayerNormalization"):
        kh.specialize(concatenating, normal((1, 4)))
    last = kh.EmbeddingMethod(
        keras.Sequential([keras.layers.Dense(3)]), [keras.layers.Dense(2), ConcatenateCondition()]
    )
    assert tuple(last(_inputs()).shape) == (6, 5)
    with pytest.raises(ValueError, match="must be followed by a Dense layer here. Received: no layer"):
        kh.specialize(last, normal((1, 4)))
