"""hypernetize: outputs and gradients against a Python loop over samples of the original model."""

import keras
import numpy as np
import pytest
from helpers import array, jax_exported, mostly_full, normal, pixels
from keras import layers

import keras_hypernet as kh

RANK, SIZE = 3, 4  # of z, and of the condition
# What PyTorch says of attention within `torch.vmap`.
pytestmark = pytest.mark.filterwarnings("ignore:(.|\n)*not yet implemented the batching rule")


def _generator():
    return keras.Sequential([keras.Input((SIZE,)), layers.Dense(RANK)])


def _mlp():
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(6, "tanh", name="first"), layers.Dropout(0.5), layers.Dense(2, name="last")]
    )


def _resnet():
    inputs = keras.Input((5, 5, 2))
    x = layers.Conv2D(3, 3, padding="same", name="stem")(inputs)
    y = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = x + layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv")(y)
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(x)))


def _gru():
    ids = keras.Input((4,), dtype="int32")
    x = layers.GRU(3, name="gru")(layers.Embedding(7, 2, mask_zero=True, name="table")(ids))
    return keras.Model(ids, layers.Dense(2, name="head")(x))


def _two():
    """Two inputs, two outputs, a nested model, a shared layer."""
    a, b = keras.Input((5,), name="a"), keras.Input((3,), name="b")
    shared = layers.Dense(4, "tanh", name="shared")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="dense"), layers.LayerNormalization()], name="in")
    x = layers.concatenate([inner(shared(a)), shared(layers.Dense(5, name="dense")(b))])
    return keras.Model({"a": a, "b": b}, {"u": layers.Dense(1, name="u")(x), "v": 2.0 * layers.Dense(2, name="v")(x)})


def _mobilenet():
    return keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), alpha=0.5, classes=3)


def _transformer():
    hub = pytest.importorskip("keras_hub")
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 6, "intermediate_dim": 8, "max_sequence_length": 4}
    return hub.models.DistilBertBackbone(vocabulary_size=7, dropout=0.1, **sizes)


def _ids():
    return np.random.default_rng(0).integers(0, 7, (3, 4)).astype("int32")


MODELS = {
    "mlp": (_mlp, normal((3, 5))),
    "resnet": (_resnet, normal((3, 5, 5, 2))),
    "gru": (_gru, _ids()),
    "two": (_two, {"a": normal((3, 5)), "b": normal((3, 3), seed=1)}),
    "transformer": (
        _transformer,
        {"token_ids": _ids(), "padding_mask": np.int32([[1, 1, 1, 1], [1, 1, 0, 0]] * 2)[:3]},
    ),
    "mobilenet": (_mobilenet, pixels((3, 32, 32, 3)).astype("float32")),
}


class Case:
    """A model, its hypernetwork with weights that are not those of the start, and inputs."""

    def __init__(self, name):
        self.name, (make, self.x) = name, MODELS[name]
        self.model, self.condition = make(), normal((3, SIZE), seed=2)
        _scatter(self.model.weights)
        self.hyper = kh.hypernetize(self.model, _generator())
        self.inputs = {"x": self.x, "condition": self.condition}
        self.first = _flat(self.hyper(self.inputs))
        _scatter(self.hyper.trainable_variables, seed=3)
        self.output = _flat(self.hyper(self.inputs))

    def row(self, i):
        return keras.tree.map_structure(lambda part: part[i : i + 1], self.x)

    def layers(self):
        """The layers of the model that have weights, each once, by the names in the hypernetwork."""
        names = {"in_dense": "dense", "dense": "dense"} if "in" in [each.name for each in self.model.layers] else {}
        for layer in self.hyper.primary.layers:
            if layer.weights:
                owner = self.model
                if layer.name.startswith(("in_", "layer_normalization")):
                    owner = self.model.get_layer("in")
                yield layer, owner.get_layer(names.get(layer.name, layer.name))

    def with_weights(self, weights, i):
        """The model, whose weights are set by hand to those of a sample."""
        for layer, own in self.layers():
            for name, variable in zip(layer.generated_shapes, own.weights, strict=False):
                variable.assign(weights[f"{layer.name}/{name}"][i])
        return self.model


def _scatter(variables, seed=0):
    for number, variable in enumerate(variables):
        noise = 0.3 * normal(variable.shape, seed=1000 * seed + number)
        variable.assign(array(variable) + (np.abs(noise) if "variance" in variable.path else noise))


def _flat(y):
    return np.concatenate([array(part).reshape(len(part), -1) for part in keras.tree.flatten(y)], axis=-1)


def _gradients(model, inputs, factors):
    """The gradients of `sum(outputs * factors)` without training, an array for each trainable variable."""

    def loss(y):
        parts = [keras.ops.reshape(part, (part.shape[0], -1)) for part in keras.tree.flatten(y)]
        return keras.ops.sum(keras.ops.concatenate(parts, axis=-1) * keras.ops.convert_to_tensor(factors))

    variables, backend = model.trainable_variables, keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(model(inputs, training=False))
        found = tape.gradient(value, [variable.value for variable in variables], unconnected_gradients="zero")
        return [array(tf.convert_to_tensor(each)) for each in found]
    if backend == "torch":
        for variable in variables:
            variable.value.grad = None
        loss(model(inputs, training=False)).backward()
        return [array(variable.value.grad) for variable in variables]
    import jax

    def of(values):
        others = [variable.value for variable in model.non_trainable_variables]
        return loss(model.stateless_call(values, others, inputs, training=False)[0])

    return [np.asarray(each) for each in jax.grad(of)([variable.value for variable in variables])]


@pytest.fixture(scope="module", params=mostly_full(MODELS, "resnet", "gru", "two"))
def case(request):
    return Case(request.param)


def test_it_starts_as_the_model(case):
    np.testing.assert_allclose(case.first, _flat(case.model(case.x)), atol=1e-5)


def test_output_is_that_of_a_loop_over_samples(case):
    theta = {name: array(weight) for name, weight in case.hyper.generate(case.condition).items()}
    copy = [array(variable) for variable in case.model.variables]
    loop = [_flat(case.with_weights(theta, i)(case.row(i))) for i in range(3)]
    np.testing.assert_allclose(case.output, np.concatenate(loop), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(_flat(case.hyper.apply(case.x, theta)), case.output, rtol=1e-5, atol=1e-5)
    for variable, value in zip(case.model.variables, copy, strict=True):
        variable.assign(value)


def test_gradients_are_those_of_a_loop_over_samples(case):
    theta = {name: array(weight) for name, weight in case.hyper.generate(case.condition).items()}
    factors = normal(case.output.shape, seed=4)
    variables = case.hyper.trainable_variables
    found = dict(zip(map(id, variables), _gradients(case.hyper, case.inputs, factors), strict=True))
    copy = [array(variable) for variable in case.model.variables]
    of_samples = []  # the gradient of each weight of the model, by its id
    for i in range(3):
        model = case.with_weights(theta, i)
        own = map(id, model.trainable_variables)
        of_samples.append(dict(zip(own, _gradients(model, case.row(i), factors[i : i + 1]), strict=True)))
    z = np.concatenate([array(case.hyper.encode(case.condition)), np.ones((3, 1))], axis=-1)
    of_z = np.zeros((3, RANK))
    for layer, own in case.layers():
        for name, weight in zip(layer.generated_shapes, own.weights, strict=False):
            of_weight = np.stack([each[id(weight)] for each in of_samples])
            basis = getattr(layer, layer.attribute(name, "basis"))
            expected = np.einsum("br,b...o->...ro", z, of_weight)
            # The LayerNormalization of the transformer has an epsilon of 1e-12.
            tolerance = (1e-4 if case.name == "transformer" else 1e-5) * max(1, np.abs(expected).max())
            np.testing.assert_allclose(found[id(basis)], expected, atol=tolerance)
            terms = np.moveaxis(array(basis), -2, 0)[:RANK].reshape(RANK, -1)
            of_z += of_weight.reshape(3, -1) @ terms.T
    kernel = case.hyper.generator.layers[-1].kernel
    np.testing.assert_allclose(found[id(kernel)], case.condition.T @ of_z, rtol=1e-4, atol=1e-4)
    for variable, value in zip(case.model.variables, copy, strict=True):
        variable.assign(value)


def test_it_is_saved_and_loaded(case, tmp_path):
    case.hyper.save(tmp_path / "hyper.keras")
    loaded = keras.models.load_model(tmp_path / "hyper.keras")
    np.testing.assert_array_equal(_flat(loaded(case.inputs)), case.output)
    assert {name: weight.shape for name, weight in loaded.generate(case.condition).items()} == {
        name: weight.shape for name, weight in case.hyper.generate(case.condition).items()
    }


def test_it_is_specialized(case):
    network = kh.specialize(case.hyper, case.condition[1:2])
    assert not any(type(layer).__module__.startswith("keras_hypernet") for layer in network.layers)
    np.testing.assert_allclose(_flat(network(case.row(1))), case.output[1:2], rtol=1e-5, atol=1e-5)
    assert network.count_params() == case.model.count_params()


def test_one_condition_for_all_x(case):
    one = _flat(case.hyper({"x": case.x, "condition": case.condition[:1]}))
    each = _flat(case.hyper({"x": case.x, "condition": np.repeat(case.condition[:1], 3, axis=0)}))
    np.testing.assert_allclose(one, each, rtol=1e-5, atol=1e-5)
    assert case.hyper.num_parameters()["primary"] == case.model.count_params()


@pytest.mark.full
def test_it_predicts(case):
    predicted = case.hyper.predict(case.inputs, verbose=0)
    np.testing.assert_allclose(_flat(predicted), case.output, rtol=1e-5, atol=1e-5)


def test_shapes_are_known_before_a_call(case):
    shapes = keras.tree.map_structure(lambda part: part.shape, case.inputs)
    symbols = keras.tree.map_structure(lambda part: keras.KerasTensor((None, *part.shape[1:]), part.dtype), case.inputs)
    y = case.model(case.x)
    assert _shapes(case.hyper(symbols), None) == _shapes(y, None)
    assert case.hyper.compute_output_shape(shapes) == _shapes(y, 3)
    pair = case.hyper((case.x, case.condition))
    np.testing.assert_array_equal(_flat(pair), case.output)


def _shapes(y, batch):
    return keras.tree.map_structure(lambda part: (batch, *part.shape[1:]), y)


def test_a_clone_has_the_layers_of_the_model(case):
    clone = keras.models.clone_model(case.hyper)
    clone.build({"x": keras.tree.map_structure(lambda part: part.shape, case.x), "condition": (None, SIZE)})
    clone.set_weights(case.hyper.get_weights())
    np.testing.assert_array_equal(_flat(clone(case.inputs)), case.output)


@pytest.mark.full
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow's")
def test_a_checkpoint_holds_every_weight(case, tmp_path):
    import tensorflow as tf

    path = tf.train.Checkpoint(model=case.hyper).save(tmp_path / "checkpoint")
    copy = kh.hypernetize(case.model, _generator())
    copy(case.inputs)
    tf.train.Checkpoint(model=copy).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(_flat(copy(case.inputs)), case.output)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a format of JAX's")
def test_jax_exports_it_with_a_free_batch(case):
    if isinstance(case.x, dict):
        return
    exported = jax_exported(lambda x, c: case.hyper({"x": x, "condition": c}), (case.x, case.condition), [("b",)] * 2)
    for batch in (3, 2):
        part = _flat(exported(case.x[:batch], case.condition[:batch]))
        np.testing.assert_allclose(part, case.output[:batch], rtol=1e-5, atol=1e-5)


def test_weights_of_another_model_are_refused(case):
    with pytest.raises(ValueError, match="`weights` must be those that `generate` returns: .* Received: .'other"):
        case.hyper.apply(case.x, {"other/kernel": case.condition})
