"""ConditionalNeuralProcess: sets in any order and of any size, against plain NumPy."""

import keras
import numpy as np
import pytest
from helpers import array, gradients, normal, pixels
from sets import (
    FEATURES,
    LENGTHS,
    MASK,
    MEMBERS,
    SETS,
    SIZE,
    built_model,
    image_model,
    make_embedding,
    make_primary,
    padded_with,
    set_inputs,
)

import keras_hypernet as kh


def _numpy(weights, x, condition, mask):
    """The model, and only for the members that count."""
    embedding_kernel, embedding_bias, kernel, bias, last_kernel, last_bias = weights
    embeddings = [
        np.tanh(members[counts] @ embedding_kernel + embedding_bias).mean(axis=0)
        for members, counts in zip(condition, mask, strict=True)
    ]
    hidden = np.tanh(np.concatenate([x, np.stack(embeddings)], axis=1) @ kernel + bias)
    return hidden @ last_kernel + last_bias


def _variables(model):
    """In the order in which `_numpy` takes them."""
    return [variable for layer in (model.embedding, *model.primary[1:]) for variable in layer.weights]


def _weights(model):
    return [array(variable) for variable in _variables(model)]


@pytest.mark.parametrize("which", [{}, {"mask": MASK}, {"mask": MASK[::-1]}, {"lengths": LENGTHS}])
def test_values_are_those_of_numpy(which):
    model, inputs = built_model(), set_inputs(**which)
    mask = MASK if "lengths" in which else which.get("mask", np.ones_like(MASK))
    expected = _numpy(_weights(model), inputs["x"], inputs["condition"], mask)
    np.testing.assert_allclose(array(model(inputs)), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(inputs, batch_size=3, verbose=0), expected, atol=1e-5)


def test_gradients_are_finite_differences():
    model, inputs = built_model(), set_inputs(mask=MASK)
    weights, targets, step = _weights(model), normal((SETS, 2), seed=2), 1e-5
    found = gradients(model, inputs, targets)

    def loss(number, index, change):
        changed = [weight.copy() for weight in weights]
        changed[number][index] += change
        return np.mean((_numpy(changed, inputs["x"], inputs["condition"], MASK) - targets) ** 2)

    order = [id(variable) for variable in model.trainable_variables]
    for number, variable in enumerate(_variables(model)):
        expected = np.zeros(weights[number].shape)
        for index in np.ndindex(expected.shape):
            expected[index] = (loss(number, index, step) - loss(number, index, -step)) / (2 * step)
        np.testing.assert_allclose(found[order.index(id(variable))], expected, atol=1e-6, rtol=1e-4)


def test_order_of_the_members_makes_no_difference():
    model, inputs = built_model(), set_inputs(mask=MASK)
    order = np.random.default_rng(0).permutation(MEMBERS)
    shuffled = {"x": inputs["x"], "condition": inputs["condition"][:, order], "mask": MASK[:, order]}
    np.testing.assert_allclose(array(model(shuffled)), array(model(inputs)), atol=1e-6)


@pytest.mark.parametrize(
    ("which", "garbage"),
    [({"lengths": LENGTHS}, 1e30), ({"mask": MASK}, np.inf), ({"lengths": LENGTHS}, np.nan)],
    ids=["large", "infinite", "nan"],
)
def test_padding_has_no_influence_to_the_last_bit(which, garbage):
    model, targets = built_model(), normal((SETS, 2), seed=2)
    weights = model.get_weights()
    outputs, found = [], []
    for padding in (0, garbage):
        model.set_weights(weights)
        outputs.append(array(model(padded_with(padding, **which))))
        found.append(gradients(model, padded_with(padding, **which), targets))
    np.testing.assert_array_equal(*outputs)
    for one, other in zip(*found, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)


def test_lengths_and_mask_agree():
    model = built_model()
    np.testing.assert_array_equal(array(model(set_inputs(lengths=LENGTHS))), array(model(set_inputs(mask=MASK))))
    everything = array(model(set_inputs(mask=np.ones_like(MASK))))
    np.testing.assert_array_equal(array(model(set_inputs())), everything)


def test_sets_in_a_ragged_batch_are_each_set_alone():
    model, inputs = built_model(), set_inputs(lengths=LENGTHS)
    together = array(model(inputs))
    for number, length in enumerate(LENGTHS):
        x, members = inputs["x"][number : number + 1], inputs["condition"][number : number + 1, :length]
        alone = array(model({"x": x, "condition": members}))
        np.testing.assert_allclose(together[number : number + 1], alone, atol=1e-6)


def test_a_set_of_one_member_is_the_embedding_method():
    model, inputs = built_model(), set_inputs()
    method = kh.EmbeddingMethod(make_embedding(), make_primary())
    one = {"x": inputs["x"], "condition": inputs["condition"][:, 0]}
    method(one)
    method.set_weights(model.get_weights())
    found = model({"x": inputs["x"], "condition": inputs["condition"][:, :1]})
    np.testing.assert_allclose(array(found), array(method(one)), atol=1e-6)
    assert model.num_parameters() == method.num_parameters()


def test_sets_may_have_another_size_in_every_call():
    model = built_model()
    for sets, members in ((6, 5), (6, 2), (3, 9), (1, 1)):
        inputs = {"x": normal((sets, FEATURES)), "condition": normal((sets, members, SIZE), seed=1)}
        mask = np.ones((sets, members), "bool")
        expected = _numpy(_weights(model), inputs["x"], inputs["condition"], mask)
        for which in ({}, {"mask": mask}, {"lengths": np.full(sets, members)}):
            np.testing.assert_allclose(array(model({**inputs, **which})), expected, atol=1e-5)
        np.testing.assert_allclose(model.predict({**inputs, **which}, verbose=0), expected, atol=1e-5)


def test_one_set_serves_many_points():
    model, condition = kh.ConditionalNeuralProcess(make_embedding(), make_primary()), normal((SETS, MEMBERS, SIZE))
    x = normal((SETS, 11, FEATURES))
    together = array(model({"x": x, "condition": condition, "lengths": LENGTHS}))
    alone = array(model({"x": x[:, 4], "condition": condition, "lengths": LENGTHS}))
    np.testing.assert_allclose(together[:, 4], alone, atol=1e-6)


def test_ragged_sets_are_fitted_saved_and_loaded(tmp_path):
    model = kh.ConditionalNeuralProcess(make_embedding(), make_primary())
    inputs, targets = set_inputs(lengths=LENGTHS), normal((SETS, 2))
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    losses = model.fit(inputs, targets, batch_size=4, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    y = array(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(array(loaded(inputs)), y)
    assert array(loaded({"x": inputs["x"], "condition": inputs["condition"][:, :2]})).shape == y.shape


def test_generated_and_specialized_for_sets():
    model, inputs = built_model(), set_inputs()
    generated = array(model.generate(inputs["condition"], lengths=LENGTHS)["hidden/bias"])
    expected = array(model({**inputs, "lengths": LENGTHS}))
    for number, length in enumerate(LENGTHS):
        members = inputs["condition"][number : number + 1, :length]
        network = kh.specialize(model, members)
        np.testing.assert_allclose(array(network.layers[0].bias), generated[number], atol=1e-6)
        np.testing.assert_allclose(array(network(inputs["x"]))[number], expected[number], atol=1e-5)


def test_a_functional_model_takes_sets_of_free_size():
    model, inputs = built_model(), set_inputs(lengths=LENGTHS)
    arguments = {
        "x": keras.Input((FEATURES,), name="x"),
        "condition": keras.Input((None, SIZE), name="condition"),
        "lengths": keras.Input((), dtype="int32", name="lengths"),
    }
    functional = keras.Model(arguments, model(arguments))
    assert functional.output_shape == (None, 2)
    np.testing.assert_allclose(array(functional(inputs)), array(model(inputs)), atol=1e-6)


def test_mixed_precision_takes_the_mean_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    # bfloat16 cannot tell 512 from 513, nor add 1 to 256.
    model = kh.ConditionalNeuralProcess(keras.layers.Identity(), [keras.layers.Dense(1)])
    condition = np.ones((1, 513, 1), "float32")
    model({"x": np.ones((1, 1), "float32"), "condition": condition})
    embedded = model.encode(condition)
    assert keras.backend.standardize_dtype(embedded.dtype) == "bfloat16"
    np.testing.assert_array_equal(array(embedded), [[1]])


def test_images_are_pixels_in_the_padding_too():
    model, condition = image_model(), pixels((SETS, MEMBERS, 4, 4, 1), seed=1)
    inputs = {"x": pixels((SETS, 4, 4, 1)), "condition": condition, "mask": MASK}
    y = array(model(inputs))
    other = condition.copy()
    other[~MASK] = 255
    np.testing.assert_array_equal(array(model({**inputs, "condition": other})), y)
    floats = {**inputs, "condition": condition / np.float32(255)}
    for call in (model, lambda inputs: model.predict(inputs, verbose=0)):
        with pytest.raises(TypeError, match="takes uint8 images with pixels of 0 to 255, which it scales itself"):
            call(floats)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="serving is TensorFlow's")
def test_exported_model_takes_sets_of_free_size(tmp_path):
    import tensorflow as tf

    model = image_model()
    model({"x": pixels((2, 4, 4, 1)), "condition": pixels((2, 3, 4, 4, 1))})
    signature = tf.saved_model.load(str(kh.export(model, tmp_path))).signatures["serving_default"]
    _, specs = signature.structured_input_signature
    assert tuple(specs["condition"].shape) == (None, None, 4, 4, 1)
    for sets, members in ((5, 7), (1, 1)):
        inputs = {"x": pixels((sets, 4, 4, 1)), "condition": pixels((sets, members, 4, 4, 1), seed=1)}
        outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
        np.testing.assert_allclose(outputs["logits"].numpy(), array(model(inputs)), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function that TensorFlow compiles")
@pytest.mark.parametrize("which", ["mask", "lengths"])
def test_a_set_without_members_is_embedded_as_zero_where_it_is_not_seen(which):
    model, inputs = built_model(), set_inputs()
    empty = np.zeros((SETS, MEMBERS), "bool") if which == "mask" else np.zeros(SETS, "int32")
    y = model.predict({**inputs, which: empty}, verbose=0)
    *_, kernel, bias, last_kernel, last_bias = _weights(model)
    expected = np.tanh(inputs["x"] @ kernel[:FEATURES] + bias) @ last_kernel + last_bias
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.regression
@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32", "int64"])
def test_long_lengths_do_not_wrap_around(dtype):
    if dtype == "uint64" and keras.backend.backend() == "torch":
        pytest.skip("Keras has no uint64 on PyTorch")
    model, inputs = built_model(), set_inputs()
    lengths = np.array(LENGTHS, dtype)
    expected = array(model({**inputs, "lengths": LENGTHS}))
    np.testing.assert_allclose(model.predict({**inputs, "lengths": lengths}, verbose=0), expected, atol=1e-5)
    if keras.backend.backend() == "tensorflow" and dtype == "int64":
        wide = model.predict({**inputs, "lengths": lengths + 2**32}, verbose=0)
        np.testing.assert_allclose(wide, array(model(inputs)), atol=1e-5)  # at most all members count


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function that does not know the sizes")
@pytest.mark.parametrize("compiled_by_xla", [False, True])
def test_an_empty_set_is_refused_at_run_time(compiled_by_xla):
    import tensorflow as tf

    model, inputs = built_model(), set_inputs()
    specs = [tf.TensorSpec((None, FEATURES)), tf.TensorSpec((None, None, SIZE))]
    function = tf.function(lambda *inputs: model(inputs), input_signature=specs, jit_compile=compiled_by_xla)
    np.testing.assert_allclose(array(function(*inputs.values())), array(model(inputs)), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="check_that_a_set_has_a_member"):
        function(inputs["x"], inputs["condition"][:, :0])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function that TensorFlow compiles")
def test_a_mask_is_broadcast_where_shapes_are_not_seen():
    model = built_model()
    for members in (5, 4, 7):  # from the second call on the number of members is free
        inputs = {"x": normal((SETS, FEATURES)), "condition": normal((SETS, members, SIZE))}
        y = model.predict({**inputs, "mask": np.ones((SETS, members), "bool")}, verbose=0)
    column = model.predict({**inputs, "mask": np.ones((SETS, 1), "bool")}, verbose=0)
    np.testing.assert_allclose(column, y, atol=1e-6)


@pytest.mark.regression
@pytest.mark.skipif(keras.backend.backend() == "openvino", reason="predictions alone")
@pytest.mark.parametrize("which", [{"mask": MASK}, {"lengths": LENGTHS}], ids=["mask", "lengths"])
def test_sets_may_be_vectorized_over(which):
    """By `torch.vmap`, `jax.vmap` and `tf.vectorized_map`."""
    model, inputs = built_model(), set_inputs(**which)
    arrays = [keras.ops.convert_to_tensor(value) for value in inputs.values()]

    def one(values):
        return model({name: value[None] for name, value in zip(inputs, values, strict=True)})[0]

    y = keras.ops.vectorized_map(one, arrays)
    np.testing.assert_allclose(array(y), array(model(inputs)), atol=1e-6)
