"""Conditions of every kind: structures of tensors, free sizes, and the errors for invalid conditions."""

import keras
import numpy as np
import pytest
from helpers import array, mostly_full, normal, pixels

import keras_hypernet as kh
from keras_hypernet.layers import HyperDense, StandardizeImage
from keras_hypernet.models.conditions import as_declared, parts

pytestmark = pytest.mark.regression
tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="serving is TensorFlow's")

ROWS, FEATURES = 6, 7
X, PLACES = normal((ROWS, FEATURES)), normal((ROWS, 4), seed=1)
WORDS = np.random.default_rng(0).integers(0, 9, (ROWS, 5), dtype="int32")


@keras.saving.register_keras_serializable(package="test_conditions")
class OfTwo(keras.Model):
    """A generator that declares no inputs, and takes a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.places, self.others = keras.layers.Dense(3), keras.layers.Dense(3)

    def call(self, condition):
        return self.places(condition["places"]) * self.others(condition["others"])


def _functional(structure):
    places, words = keras.Input((4,), name="places"), keras.Input((None,), dtype="int32", name="words")
    embedded = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 3)(words))
    return keras.Model(structure(places, words), keras.layers.Multiply()([keras.layers.Dense(3)(places), embedded]))


STRUCTURES = {
    "dict": (
        lambda: _functional(lambda places, words: {"places": places, "words": words}),
        {"places": PLACES, "words": WORDS},
    ),
    "list": (lambda: _functional(lambda *inputs: list(inputs)), [PLACES, WORDS]),
    "tuple": (lambda: _functional(lambda *inputs: list(inputs)), (PLACES, WORDS)),
    "names": (lambda: _functional(lambda *inputs: list(inputs)), {"words": WORDS, "places": PLACES}),
    "nested": (
        lambda: _functional(lambda *inputs: {"b": [{"c": inputs[0]}, inputs[1]]}),
        {"b": [{"c": PLACES}, WORDS]},
    ),
    "undeclared": (OfTwo, {"places": PLACES, "others": normal((ROWS, 2), seed=2)}),
}
NAMES = {
    "dict": ["condition_places", "condition_words"],
    "list": ["condition_0", "condition_1"],
    "tuple": ["condition_0", "condition_1"],
    "names": ["condition_places", "condition_words"],
    "nested": ["condition_b_0_c", "condition_b_1"],
    "undeclared": ["condition_others", "condition_places"],
}


def _map(function, condition):
    return keras.tree.map_structure(function, condition)


def _numpy(model, condition, encoded=None):
    """The model of one linear layer, by its weights: of either method."""
    z = array(model.encoder(_map(keras.ops.convert_to_tensor, condition)))
    last = model.primary[-1]
    if isinstance(last, HyperDense):
        z = np.concatenate([z, np.ones((len(z), 1))], axis=1)
        kernel, bias = (array(basis) for basis in (last.kernel_basis, last.bias_basis))
        return np.einsum("bi,br,iro->bo", X, z, kernel) + z @ bias
    return np.concatenate([X, z], axis=1) @ array(last.kernel) + array(last.bias)


def _model(method, encoder):
    if method == "hyper":
        return kh.Hypernetwork(encoder, [HyperDense(2, bias_initializer="random_normal", name="value")])
    return kh.EmbeddingMethod(encoder, [keras.layers.Dense(2, bias_initializer="random_normal", name="value")])


@pytest.mark.parametrize(
    ("method", "structure"),
    [
        ("embed", "dict"),
        *(("hyper", name) for name in ("names", "nested", "undeclared")),
        *(pytest.param("hyper", name, marks=pytest.mark.full) for name in ("dict", "list", "tuple")),
    ],
)
def test_a_condition_may_be_any_structure_that_the_encoder_takes(method, structure, tmp_path):
    make, condition = STRUCTURES[structure]
    model, inputs = _model(method, make()), {"x": X, "condition": condition}
    y = array(model(inputs))
    np.testing.assert_allclose(y, _numpy(model, condition), atol=1e-5)
    assert list(parts(condition)) == NAMES[structure]
    # One structure in functions of TensorFlow's, which take longer to trace than the others to compute.
    eagerly = structure != "nested" and keras.backend.backend() == "tensorflow"
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse", run_eagerly=eagerly)
    losses = model.fit(inputs, np.zeros((ROWS, 2)), batch_size=3, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    expected = _numpy(model, condition)
    np.testing.assert_allclose(model.predict(inputs, batch_size=3, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict((X, condition), batch_size=3, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(array(model.apply(X, model.generate(condition))), expected, atol=1e-5)
    network = kh.specialize(model, _map(lambda part: part[2:3], condition))
    np.testing.assert_allclose(array(network(X))[2], expected[2], atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(inputs)), expected, atol=1e-5)
    others = _map(lambda part: part[::-1].copy(), condition)
    np.testing.assert_allclose(array(loaded({"x": X, "condition": others})), _numpy(model, others), atol=1e-5)


@tensorflow
@pytest.mark.parametrize(
    ("method", "structure"), [("hyper", "nested"), pytest.param("embed", "undeclared", marks=pytest.mark.full)]
)
def test_the_parts_of_a_condition_are_inputs_of_what_is_exported(method, structure, tmp_path):
    import tensorflow as tf

    from keras_hypernet.serving.local.servable import Servable
    from keras_hypernet.serving.specialized import export_formats, read_condition

    make, condition = STRUCTURES[structure]
    model = _model(method, make())
    expected = array(model({"x": X, "condition": condition}))
    whole, *_ = export_formats(model, tmp_path, "whole")  # by their own runtimes, too
    served = tf.saved_model.load(str(whole.path)).signatures
    tensors = {name: tf.constant(part) for name, part in parts(condition).items()}
    assert sorted(served["serving_default"].structured_input_signature[1]) == [*NAMES[structure], "x"]
    np.testing.assert_allclose(served["serving_default"](x=tf.constant(X), **tensors)["value"], expected, atol=1e-5)
    (half,) = set(served) - {"serving_default", "apply"}
    outputs = served["apply"](x=tf.constant(X), **served[half](**tensors))
    np.testing.assert_allclose(outputs["value"], expected, atol=1e-5)
    Servable("whole", 1, whole.path)  # runs the warm-up requests
    for exported in export_formats(model, tmp_path, "g", condition=_map(lambda part: part[3], condition)):
        assert exported.difference < 1e-5
    with pytest.raises(ValueError, match="has several parts, .*: pass it to `export_formats` in Python"):
        read_condition(tmp_path / "condition.npy", model)
    with pytest.raises(ValueError, match=rf"The {NAMES[structure][0]} must be of shape .*, without a batch"):
        export_formats(model, tmp_path, "g", condition=condition)


@tensorflow
def test_autograph_transforms_what_reads_a_condition():
    """Otherwise, TensorFlow prints a warning in each function that calls a model."""
    import tensorflow as tf

    assert tf.autograph.to_graph(as_declared)


def test_parts_need_distinct_names():
    with pytest.raises(ValueError, match="must have distinct names when joined by _"):
        parts({"a_b": PLACES, "a": {"b": PLACES}})


ENCODERS = {
    "declared": lambda: keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(3)]),
    "undeclared": lambda: keras.Sequential([keras.layers.Conv1D(3, 2), keras.layers.GlobalMaxPooling1D()]),
    "layer": lambda: keras.layers.GRU(3),
    "ids": lambda: keras.Sequential(
        [keras.Input((None,), dtype="int32"), keras.layers.Embedding(9, 3), keras.layers.GlobalMaxPooling1D()]
    ),
    "images": lambda: keras.Sequential(
        [
            keras.Input((None, None, 1), dtype="uint8"),
            StandardizeImage(),
            keras.layers.Conv2D(3, 3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    ),
    "undeclared images": lambda: keras.Sequential(
        [keras.layers.Conv2D(3, 3), keras.layers.GlobalAveragePooling2D()],
    ),
}


def _sized(name, size):
    if name == "ids":
        return np.random.default_rng(size).integers(0, 9, (ROWS, size), dtype="int32")
    if "images" in name:
        return (normal if "undeclared" in name else pixels)((ROWS, size, size + 1, 1), seed=size)
    return normal((ROWS, size, 2), seed=size)


@pytest.mark.parametrize("name", mostly_full(ENCODERS, "declared", "undeclared", "ids", "images"))
def test_sizes_that_the_encoder_leaves_free_stay_free(name, tmp_path):
    model = _model("embed" if name in ("declared", "images") else "hyper", ENCODERS[name]())
    model({"x": X, "condition": _sized(name, 5)})
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for size in (7, 4):
        condition = _sized(name, size)
        expected, inputs = _numpy(model, condition), {"x": X, "condition": condition}
        np.testing.assert_allclose(array(model(inputs)), expected, atol=1e-5)
        np.testing.assert_allclose(array(loaded(inputs)), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(array(model.apply(X, model.generate(condition))), expected, atol=1e-5)
    np.testing.assert_allclose(array(kh.specialize(model, condition[:1])(X))[0], expected[0], atol=1e-5)
    with pytest.raises(ValueError, match=r"The model was built for `condition` of shape \(None, None"):
        model({"x": X, "condition": _sized(name, 5)[..., None]})


@tensorflow
@pytest.mark.parametrize("name", ["undeclared", "images"])
def test_free_sizes_are_free_in_what_is_exported(name, tmp_path):
    import tensorflow as tf

    from keras_hypernet.serving.local.servable import Servable

    model = _model("hyper", ENCODERS[name]())
    model({"x": X, "condition": _sized(name, 5)})
    version = kh.export(model, tmp_path)
    Servable("model", 1, version)  # its warm-up requests are not too small for a convolution
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    for size in (8, 3):
        outputs = served(x=tf.constant(X), condition=tf.constant(_sized(name, size)))
        np.testing.assert_allclose(outputs["value"], _numpy(model, _sized(name, size)), atol=1e-5)


def test_sizes_that_the_encoder_needs_are_those_of_the_first_call():
    fixed = {
        "dense": keras.Sequential([keras.layers.Dense(3)]),
        "flat": keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]),
        "declared": keras.Sequential([keras.Input((5, 4)), keras.layers.GRU(3)]),
    }
    for name, encoder in fixed.items():
        model, shape = _model("hyper", encoder), (5,) if name == "dense" else (5, 4)
        model({"x": X, "condition": normal((ROWS, *shape))})
        message = (
            r"for `condition` of shape \(None, 5.*Received: \(6, 6.* A size that the encoder leaves free is None in"
        )
        with pytest.raises(ValueError, match=message):
            model({"x": X, "condition": normal((ROWS, 6, *shape[1:]))})


def _built(make=lambda: keras.Sequential([keras.layers.Dense(3)])):
    model = _model("hyper", make())
    model({"x": X, "condition": PLACES})
    return model


def _ways(model):
    """The methods that take a condition, as functions of it."""
    return (
        lambda condition: model({"x": X, "condition": condition}),
        lambda condition: model.predict({"x": X, "condition": condition}, verbose=0),
        lambda condition: model.generate(condition),
        lambda condition: kh.specialize(model, condition),
    )


def test_what_is_no_condition_is_refused_with_what_to_do():
    model = _built()
    one = r"must be one tensor of shape \(None, 4\), as the encoder takes it. Received: condition_0 \(4,\)"
    for call in _ways(model):
        with pytest.raises(ValueError, match=f"{one}.* A list of conditions becomes one array by `numpy.stack`"):
            call(list(PLACES))
        with pytest.raises(ValueError, match=r"Received: condition_a \(6, 4\), condition_b \(6, 4\)"):
            call({"a": PLACES, "b": PLACES})
        with pytest.raises(TypeError, match="list with .* in it. `numpy.asarray` makes an array of nested lists"):
            call(PLACES.tolist())
        with pytest.raises(
            ValueError, match=r"shape \(None, 4\). Received: \(4,\). A batch of one is `condition\[None\]"
        ):
            call(PLACES[0])
    with pytest.raises(TypeError, match="`x` must be an array, batch first.* list with .* in it"):
        model({"x": X.tolist(), "condition": PLACES})


def test_the_first_condition_is_refused_with_what_to_do():
    for encoder in (keras.Sequential([keras.layers.Dense(3)]), _functional(lambda places, words: [places, words])):
        expected = "one tensor" if isinstance(encoder, keras.Sequential) else "2, places, words"
        for condition in (list(PLACES), [PLACES]):
            if len(condition) != len(getattr(encoder, "inputs", None) or [0]):
                with pytest.raises(
                    ValueError, match=f"`condition` must be {expected}, as the encoder takes it. Received: "
                ):
                    _model("hyper", encoder)({"x": X, "condition": condition})
    sets = kh.ConditionalNeuralProcess(OfTwo(), [keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="must be one tensor of sets. Received: condition_others, condition_places"):
        sets({"x": X, "condition": {"places": PLACES, "others": PLACES}})


@tensorflow
def test_ragged_conditions_are_refused_with_what_to_do():
    import tensorflow as tf

    ragged = tf.RaggedTensor.from_row_lengths(normal((ROWS + 15, 4)), [1, 2, 3, 4, 5, 6])
    model = kh.ConditionalNeuralProcess(keras.Sequential([keras.layers.Dense(3)]), [keras.layers.Dense(2)])
    sets, lengths = ragged.to_tensor(), ragged.row_lengths()
    y = array(model({"x": X, "condition": sets, "lengths": lengths}))
    np.testing.assert_allclose(array(model({"x": X, "condition": sets, "lengths": [1, 2, 3, 4, 5, 6]})), y, atol=1e-6)
    for call in _ways(model):
        with pytest.raises(TypeError, match=r"Received: a RaggedTensor. Pad it .* `lengths=ragged.row_lengths\(\)`"):
            call(ragged)


@pytest.mark.parametrize("which", [{"lengths": [1, 2, 3, 1, 2, 3]}, {"mask": [[True, False, True]] * ROWS}])
def test_members_may_be_counted_by_lists(which):
    model = kh.ConditionalNeuralProcess(keras.Sequential([keras.layers.Dense(3)]), [keras.layers.Dense(2)])
    inputs = {"x": X, "condition": normal((ROWS, 3, 4))}
    expected = array(model({**inputs, **{name: np.array(value) for name, value in which.items()}}))
    np.testing.assert_allclose(array(model({**inputs, **which})), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict({**inputs, **which}, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("structure", [pytest.param(None, marks=pytest.mark.full), "dict"])
def test_one_condition_for_all_x_is_predicted_and_trained_with(structure):
    make, condition = (
        STRUCTURES[structure] if structure else (lambda: keras.Sequential([keras.layers.Dense(3)]), PLACES)
    )
    model, one = _model("hyper", make()), _map(lambda part: part[:1], condition)
    inputs, targets = {"x": X, "condition": one}, normal((ROWS, 2))
    expected = array(model(inputs))
    each = {"x": X, "condition": _map(lambda part: np.repeat(part, ROWS, axis=0), one)}
    np.testing.assert_allclose(array(model(each)), expected, atol=1e-5)
    for given in (inputs, (X, one), each):
        np.testing.assert_allclose(model.predict(given, batch_size=4, verbose=0), expected, atol=1e-5)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    loss = np.mean((expected - targets) ** 2)
    assert model.evaluate(inputs, targets, verbose=0) == pytest.approx(loss, rel=1e-4)
    history = model.fit(inputs, targets, verbose=0, validation_data=(inputs, targets)).history
    assert [history["loss"][0], history["val_loss"][0]] == pytest.approx([loss, loss], rel=1e-4)


@tensorflow
def test_integers_do_not_wrap_around_into_a_narrower_dtype():
    ids = keras.Input((1,), dtype="int32")
    model = _model("hyper", keras.Sequential([ids, keras.layers.Embedding(9, 3), keras.layers.Flatten()]))
    narrow = np.array([[0], [1], [2], [3], [4], [8]])
    y = array(model({"x": X, "condition": narrow.astype("int32")}))
    np.testing.assert_array_equal(array(model({"x": X, "condition": narrow})), y)
    np.testing.assert_allclose(model.predict({"x": X, "condition": narrow}, verbose=0), y, atol=1e-6)
    for call in (_ways(model)[0], _ways(model)[2]):
        with pytest.raises(ValueError, match="takes integers that int32 holds. Received: int64, with 4294967296"):
            call(narrow + 2**32)
    with pytest.raises(Exception, match=r"indices\[\d,0\] = 2147483647 is not in \[0, 9\)"):
        model.predict({"x": X, "condition": narrow + 2**32}, verbose=0)


@pytest.mark.regression
def test_a_size_that_a_stride_leaves_over_is_not_free():
    class Encoder(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv1D(2, 3, strides=2)
            self.dense = keras.layers.Dense(3)

        def call(self, condition):
            return self.dense(keras.ops.reshape(self.convolution(condition), (-1, 8)))

    model = kh.Hypernetwork(Encoder(), [HyperDense(2)])
    model({"x": normal((2, 5)), "condition": normal((2, 9, 1))})  # one more leaves four steps, too
    assert model.condition_shape == (2, 9, 1)
