"""hypernetize: which layers and weights are generated, what trains, and what is refused."""

import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import array, mostly_full, normal, not_on_jax
from keras import layers

import keras_hypernet as kh
from keras_hypernet.layers import FiLM, Hyper, HyperDense, HyperEinsumDense, LayerEmbeddings

BASES = {
    "full": lambda: kh.bases.Full(),
    "mixture": lambda: kh.bases.Mixture(2),
    "low_rank": lambda: kh.bases.LowRank(2),
    "chunked": lambda: kh.bases.Chunked(5, 2),
}
FROZEN = (False, True), (None, False)  # by `training` of the nested model, by `trainable` of the layer


def _generator(rank=3):
    return keras.Sequential([keras.Input((4,)), layers.Dense(rank)])


def _mlp(**options):
    first = layers.Dense(6, "tanh", name="first", bias_initializer="random_normal", **options)
    last = layers.Dense(2, name="last", bias_initializer="random_normal")
    return keras.Sequential([keras.Input((5,)), first, layers.Dropout(0.5), last])


def _inputs(x=(3, 5)):
    return {"x": normal(x), "condition": normal((3, 4), seed=1)}


def _values(model):
    return [array(variable) for variable in model.weights]


def _fit(hyper, inputs, targets, rate=0.1, **options):
    # Where nothing else is asked for: to trace a function on TensorFlow takes longer than two steps.
    options = options or {"run_eagerly": keras.backend.backend() == "tensorflow"}
    hyper.compile(keras.optimizers.SGD(rate), "mse", **options)
    return hyper.fit(inputs, targets, epochs=2, batch_size=3, verbose=0).history["loss"]


@pytest.mark.parametrize("basis", mostly_full(BASES, "low_rank"))
def test_an_adapter_starts_as_the_model_and_trains_no_value_of_the_model(basis):
    model, inputs, targets = _mlp(), _inputs(), normal((3, 2), seed=2)
    before = _values(model)
    hyper = kh.hypernetize(model, _generator(), basis=BASES[basis](), train_base=False, train_others=False)
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    _fit(hyper, inputs, targets)
    for was, now in zip(before, _values(model), strict=True):
        np.testing.assert_array_equal(was, now)
    for name in ("first", "last"):
        layer, ordinary = hyper.primary.get_layer(name), model.get_layer(name)
        for weight in ("kernel", "bias"):
            constant = getattr(layer, f"{weight}_constant")
            assert not constant.trainable
            np.testing.assert_array_equal(array(constant), array(getattr(ordinary, weight)))
    assert np.abs(array(hyper(inputs)) - array(model(inputs["x"]))).max() > 1e-4  # G has a gradient at the start


def test_base_of_zeros_starts_as_a_hyper_layer():
    model = _mlp()
    hyper = kh.hypernetize(model, _generator(), base="zeros", layers="first")
    basis = array(hyper.primary.get_layer("first").kernel_basis)
    assert np.abs(basis[:, :-1]).max() > 0
    np.testing.assert_array_equal(basis[:, -1], 0)
    np.testing.assert_array_equal(array(hyper.primary.get_layer("last").kernel), array(model.get_layer("last").kernel))


def test_layers_of_one_basis_share_its_head_and_are_loaded_so(tmp_path):
    inputs = _inputs()
    generator = LayerEmbeddings(2, _generator(), seed=0)
    hyper = kh.hypernetize(_mlp(), generator, basis=kh.bases.Chunked(5, 2), base="zeros", weights="*kernel")
    first, last = (hyper.primary.get_layer(name) for name in ("first", "last"))
    assert first.basis.head is last.basis.head
    assert hyper.generator.names == ["first", "last"]
    assert generator.names is None  # the user's own layer stays as it is
    z = hyper.encode(inputs["condition"]) if hyper(inputs) is not None else None
    own = array(hyper.generator.vectors)
    for number, name in enumerate(("first", "last")):
        np.testing.assert_allclose(array(z[name])[:, 3:], np.repeat(own[number : number + 1], 3, axis=0))
        np.testing.assert_array_equal(array(z[name])[:, :3], array(generator.generator(inputs["condition"])))
    hyper.save(tmp_path / "hyper.keras")
    loaded = keras.models.load_model(tmp_path / "hyper.keras")
    np.testing.assert_array_equal(array(loaded(inputs)), array(hyper(inputs)))
    network = kh.specialize(loaded, inputs["condition"][:1])
    np.testing.assert_allclose(array(network(inputs["x"][:1])), array(hyper(inputs))[:1], atol=1e-5)


def test_a_generator_may_return_a_z_for_each_layer():
    condition = keras.Input((4,))
    generator = keras.Model(condition, {"first": layers.Dense(2)(condition), "l*": layers.Dense(3)(condition)})
    hyper, inputs = kh.hypernetize(_mlp(), generator, base="zeros"), _inputs()
    hyper(inputs)
    z, theta = generator(inputs["condition"]), hyper.generate(inputs["condition"])
    for name, key in (("first", "first"), ("last", "l*")):
        basis = array(hyper.primary.get_layer(name).kernel_basis)
        expected = np.einsum("br,iro->bio", array(z[key]), basis[:, :-1]) + basis[:, -1]
        np.testing.assert_allclose(array(theta[f"{name}/kernel"]), expected, atol=1e-5)
    np.testing.assert_allclose(array(hyper.apply(inputs["x"], theta)), array(hyper(inputs)), atol=1e-5)


def _nested():
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="dense"), layers.ReLU()], name="backbone")
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(2, name="head")(inner(inputs)))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("head", {"head"}),
        ("d*", {"dense"}),
        ("backbone", {"dense"}),
        ("backbone/dense", {"dense"}),
        (["d*", "head"], {"dense", "head"}),
        (layers.Dense, {"dense", "head"}),
        (re.compile("^back.*se$"), {"dense"}),
        (lambda layer: getattr(layer, "units", 0) == 2, {"head"}),
        (None, {"dense", "head"}),
    ],
)
def test_layers_are_chosen(chosen, expected):
    hyper = kh.hypernetize(_nested(), _generator(), layers=chosen)
    assert {layer.name for layer in hyper.primary.layers if isinstance(layer, HyperDense)} == expected


@pytest.mark.parametrize("train_others", [True, False])
def test_weights_are_chosen(train_others):
    model, inputs = _mlp(), _inputs()
    hyper = kh.hypernetize(model, _generator(), "first", weights="*kernel", train_others=train_others)
    first, last = (hyper.primary.get_layer(name) for name in ("first", "last"))
    assert set(first.generated_shapes) == {"kernel"}
    assert type(last) is layers.Dense
    np.testing.assert_array_equal(array(first.trained_bias), array(model.get_layer("first").bias))
    assert first.trained_bias.trainable == last.kernel.trainable == train_others
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)


@pytest.mark.parametrize("train_others", [True, False])
def test_weights_of_a_layer_without_a_hyper_layer_are_chosen(train_others, tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), layers.SeparableConv1D(2, 3, name="own"), layers.Flatten()])
    hyper, inputs = kh.hypernetize(model, _generator(), weights="bias", train_others=train_others), _inputs((3, 4, 3))
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    hyper.save(tmp_path / "hyper.keras")
    for each in (hyper, keras.models.load_model(tmp_path / "hyper.keras")):
        names = {variable.name for variable in each.primary.trainable_variables}
        assert names == {"bias_basis"} | ({"depthwise_kernel", "pointwise_kernel"} if train_others else set())


def test_frozen_layers_get_trained_adapters():
    model = _nested()
    model.get_layer("backbone").trainable = False
    hyper = kh.hypernetize(model, _generator(), "backbone", basis=kh.bases.LowRank(1), train_base=False)
    trained = {variable.name for variable in hyper.primary.get_layer("dense").trainable_variables}
    assert trained == {"kernel_left", "kernel_scale", "kernel_right", "bias_basis"}


@pytest.mark.parametrize(
    ("training", "trainable"), [(None, True), *(pytest.param(*each, marks=pytest.mark.full) for each in FROZEN)]
)
def test_moving_statistics_change_in_training_as_those_of_the_model(training, trainable):
    norm, inputs = layers.BatchNormalization(name="norm", trainable=trainable), keras.Input((5,))
    inner = keras.Sequential([keras.Input((5,)), norm], name="inner")
    model = keras.Model(inputs, layers.Dense(2)(inner(inputs, training=training)))
    hyper, inputs, targets = kh.hypernetize(model, _generator()), _inputs(), normal((3, 2))
    film = hyper.primary.get_layer("norm")
    assert isinstance(film, FiLM)
    _fit(hyper, inputs, targets, rate=0.0)
    _fit(model, inputs["x"], targets, rate=0.0)
    np.testing.assert_allclose(array(film.normalization.moving_mean), array(norm.moving_mean), atol=1e-6)
    np.testing.assert_allclose(array(film.normalization.moving_variance), array(norm.moving_variance), atol=1e-6)
    assert np.abs(array(norm.moving_mean)).max() > 0 or training is False or not trainable
    assert set(film.generated_shapes) == {"scale", "offset"}
    y = array(hyper(inputs))  # in a call without training, as the nested model is called
    np.testing.assert_allclose(y, array(model(inputs["x"])), atol=1e-5)


@pytest.mark.parametrize("jit_compile", mostly_full([True, False], "False"))
def test_it_is_trained(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("PyTorch's own compiler needs a C compiler")
    inputs, targets = _inputs(), normal((3, 2), seed=2)
    losses = _fit(kh.hypernetize(_mlp(), _generator()), inputs, targets, jit_compile=jit_compile)
    assert np.isfinite(losses).all()


def test_it_is_trained_with_outputs_by_name_and_tells_its_parts():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, {"u": layers.Dense(1, name="u")(inputs), "v": layers.Dense(2, name="v")(inputs)})
    hyper = kh.hypernetize(model, _generator(), layers="u")
    hyper.compile("sgd", {"u": "mse", "v": "mse"}, run_eagerly=keras.backend.backend() == "tensorflow")
    hyper.fit(_inputs(), {"u": normal((3, 1)), "v": normal((3, 2))}, verbose=0)
    lines = []
    hyper.summary(print_fn=lambda line, **_: lines.append(line))
    hyper.primary.summary(print_fn=lambda line, **_: lines.append(line))
    assert "HyperDense" in "\n".join(lines)


def test_mixed_precision():
    model, inputs = _mlp(dtype="mixed_bfloat16"), _inputs()
    hyper = kh.hypernetize(model, _generator())
    assert hyper.primary.get_layer("first").compute_dtype == "bfloat16"
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=0.05)


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last = layers.Dense(3, "tanh"), layers.Dense(2)

    def call(self, x):
        return self.last(self.first(x))


def test_a_subclassed_model_becomes_hyper(tmp_path):
    model, inputs = Subclassed(), _inputs()
    expected = array(model(inputs["x"]))
    hyper = kh.hypernetize(model, _generator(), basis=kh.bases.LowRank(2))
    assert [type(layer) for layer in hyper.primary.layers if layer.weights] == [Hyper]
    np.testing.assert_allclose(array(hyper(inputs)), expected, atol=1e-5)
    _scatter(hyper.trainable_variables)
    np.testing.assert_array_equal(array(model(inputs["x"])), expected)
    hyper.save(tmp_path / "hyper.keras")
    loaded = keras.models.load_model(tmp_path / "hyper.keras")
    np.testing.assert_allclose(array(loaded(inputs)), array(hyper(inputs)), atol=1e-6)


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Scaled(layers.Dense):
    def call(self, x, scale=None, negate=False):
        return super().call(x) * (-scale if negate else scale)


def test_a_layer_takes_further_tensors(tmp_path):
    inputs = keras.Input((5,))
    model = keras.Model(inputs, Scaled(2, name="scaled")(inputs, scale=inputs[:, :1]))
    hyper, inputs = kh.hypernetize(model, _generator()), _inputs()
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    _scatter(hyper.trainable_variables)
    theta = {name: array(weight) for name, weight in hyper.generate(inputs["condition"]).items()}
    product = np.einsum("bi,bio->bo", inputs["x"], theta["scaled/kernel"]) + theta["scaled/bias"]
    expected = product * inputs["x"][:, :1]
    hyper.save(tmp_path / "hyper.keras")
    for each in (hyper, keras.models.load_model(tmp_path / "hyper.keras")):
        np.testing.assert_allclose(array(each(inputs)), expected, atol=1e-5)
        np.testing.assert_allclose(array(each.apply(inputs["x"], theta)), expected, atol=1e-5)
    network = kh.specialize(hyper, inputs["condition"][1:2])
    np.testing.assert_allclose(array(network(inputs["x"][1:2])), expected[1:2], atol=1e-5)
    x = keras.Input((5,))
    negated = keras.Model(x, Scaled(2, name="scaled")(x, scale=x[:, :1], negate=True))
    with pytest.raises(ValueError, match=r"Received: a call with \['negate'\]"):
        kh.hypernetize(negated, _generator())


def _attention():
    x = inputs = keras.Input((4, 6))
    x = x + layers.MultiHeadAttention(2, 3, name="self")(x, x)
    x = layers.MultiHeadAttention(2, 3, name="cross")(x, inputs, use_causal_mask=True)
    return keras.Model(inputs, layers.LayerNormalization()(x))


def _on_images():
    x = inputs = keras.Input((3, 2, 5))
    x = layers.Dense(4, "relu", name="dense")(x)
    x = layers.PReLU(name="prelu")(x)
    return keras.Model(inputs, layers.EinsumDense("...x,xyk->...yk", (3, 2), bias_axes="k", name="einsum")(x))


def _convolutions():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_regularizer="l2")(x)
    x = layers.GroupNormalization(2)(layers.Conv2DTranspose(4, 3, strides=2)(x))
    x = layers.SeparableConv2D(2, 3)(x)
    return keras.Model(inputs, layers.LSTM(3)(layers.Reshape((-1, 2))(x)))


def _scatter(variables):
    for number, variable in enumerate(variables):
        variable.assign(array(variable) + 0.1 * normal(variable.shape, seed=number))


@not_on_jax
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (_attention, (3, 4, 6)),
        (_on_images, (3, 3, 2, 5)),
        pytest.param(_convolutions, (3, 6, 6, 2), marks=pytest.mark.full),
    ],
)
def test_layers_of_the_registry_start_as_the_model_and_are_specialized(make, shape):
    model, inputs = make(), _inputs(shape)
    _scatter(model.weights)
    hyper = kh.hypernetize(model, _generator())
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    _scatter(hyper.trainable_variables)
    expected = array(hyper(inputs))
    network = kh.specialize(hyper, inputs["condition"][1:2])
    np.testing.assert_allclose(array(network(inputs["x"][1:2])), expected[1:2], atol=1e-5)
    assert [type(layer) for layer in network.layers] == [type(layer) for layer in model.layers]
    theta = hyper.generate(inputs["condition"])
    np.testing.assert_allclose(array(hyper.apply(inputs["x"], theta)), expected, atol=1e-5)


def test_dense_of_images_is_an_einsum():
    hyper = kh.hypernetize(_on_images(), _generator())
    kinds = {name: type(hyper.primary.get_layer(name)) for name in ("dense", "einsum", "prelu")}
    assert kinds == {"dense": HyperEinsumDense, "einsum": HyperEinsumDense, "prelu": Hyper}


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Doubled(layers.Dense):
    def call(self, x):
        return 2 * super().call(x)


@keras.saving.register_keras_serializable(package="test_hypernetize")
class HyperDoubled(HyperDense):
    keras_layer = Doubled

    def call(self, x, condition=None):
        return 2 * super().call(x, condition)


def test_a_layer_of_the_user_is_registered():
    model = keras.Sequential([keras.Input((5,)), Doubled(2, name="doubled")])
    assert type(kh.hypernetize(model, _generator()).primary.get_layer("doubled")) is Hyper
    kh.layers.register(Doubled, HyperDoubled)
    hyper, inputs = kh.hypernetize(model, _generator()), _inputs()
    assert type(hyper.primary.get_layer("doubled")) is HyperDoubled
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    with pytest.raises(TypeError, match="`hyper` must be a class of hyper layers, or a function"):
        kh.layers.register(Doubled, layers.Dense)


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Tied(keras.Layer):
    """The product with the transposed table of an Embedding."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, x):
        return x @ keras.ops.transpose(self.table.embeddings)


def _tied():
    ids, table = keras.Input((4,), dtype="int32"), layers.Embedding(7, 3, name="table")
    return keras.Model(ids, Tied(table, name="tied")(table(ids)))


def _stateful():
    x = keras.Input(batch_shape=(2, 3, 4))
    return keras.Model(x, layers.GRU(2, stateful=True)(x))


def _half():
    return _mlp(dtype="mixed_bfloat16")


def _half_generator():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])


def _lora():
    model = _mlp()
    model.layers[0].enable_lora(1)
    return model


def _lambda():
    return keras.Sequential([keras.Input((5,)), layers.Lambda(lambda x: x + 1), layers.Dense(2)])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (_mlp, {"layers": "frist"}, "'frist', which matches no layer with weights: did you mean first"),
        (_mlp, {"layers": layers.Conv2D}, r"matches no layer with weights: there are first \(Dense\), last \(Dense\)"),
        (_mlp, {"weights": "kernels"}, "`weights` 'kernels' matches no weight .* did you mean"),
        (_mlp, {"base": "ones"}, "`base` must be one of"),
        (_mlp, {"basis": kh.bases.Full("glorot_uniform")}, "`base` says the constant term"),
        (_mlp, {"generator": layers.Reshape((2, 2))}, "The size of z is not known"),
        (_mlp, {"generator": keras.Sequential([keras.Input((4, 2)), layers.Dense(3)])}, r"z of the shape \[batch, R\]"),
        (_mlp, {"generator": LayerEmbeddings(2, _generator(), ["first", "lst"])}, "z for each chosen layer.*'last'"),
        (_mlp, {"layers": "first", "generator": LayerEmbeddings(2, _generator(), ["first", "x"])}, "z for 'x', which"),
        (_tied, {"layers": "table"}, "Each weight must belong to one layer.*'table' and 'tied' share"),
        (_stateful, {}, "stateful.*give the layer the whole sequence"),
        (_half, {"generator": _half_generator()}, "z of float16 for layer 'first', which computes in bfloat16"),
        (_lora, {}, "must be as before `quantize` and `enable_lora`. Received: layer 'first'"),
        (_lambda, {}, "is a Lambda, which cannot be loaded in safe mode"),
        (Subclassed, {}, "`model` must be built"),
        (lambda: keras.Sequential([layers.Dense(2)]), {}, "`model` must be built"),
        (lambda: keras.Sequential([keras.Input((5,)), layers.ReLU()]), {}, "no weights that could be generated"),
    ],
)
def test_bad_input(make, options, message):
    options = {"generator": _generator(), **options}
    with pytest.raises(ValueError, match=message):
        kh.hypernetize(make(), **options)


def test_conditions_of_another_batch_are_refused():
    hyper = kh.hypernetize(_mlp(), _generator())
    with pytest.raises(ValueError, match="x and condition must have the same batch size"):
        hyper({"x": normal((3, 5)), "condition": normal((2, 4))})
    with pytest.raises(ValueError, match=r"The model takes `x` of the shape \(None, 5\)"):
        hyper({"x": normal((3, 6)), "condition": normal((3, 4))})
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        kh.hypernetize(layers.Dense(2), _generator())


@pytest.mark.full
@pytest.mark.parametrize("make", [keras.applications.EfficientNetB0, keras.applications.ConvNeXtTiny])
def test_adapters_of_keras_applications(make):
    model, inputs = make(weights=None, input_shape=(32, 32, 3), classes=3), _inputs((2, 32, 32, 3))
    inputs["condition"] = inputs["condition"][:2]
    hyper = kh.hypernetize(model, _generator(), basis=kh.bases.LowRank(8), train_base=False)
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    _scatter(hyper.trainable_variables)
    expected = array(hyper(inputs))
    network = kh.specialize(hyper, inputs["condition"][1:])
    np.testing.assert_allclose(array(network(inputs["x"][1:])), expected[1:], atol=1e-5)
    assert network.count_params() == model.count_params()


ON_TWO_DEVICES = """
import json, keras, numpy as np, keras_hypernet as kh
losses = []
for distribution in (None, keras.distribution.DataParallel()):
    keras.utils.set_random_seed(0)
    keras.distribution.set_distribution(distribution)
    dense = [keras.layers.Dense(6, "tanh"), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    generator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    hyper = kh.hypernetize(keras.Sequential([keras.Input((5,)), *dense]), generator)
    hyper.compile(keras.optimizers.SGD(0.1), "mse")
    x, condition, y = (np.random.default_rng(0).normal(size=(8, size)).astype("float32") for size in (5, 4, 2))
    fitted = hyper.fit({"x": x, "condition": condition}, y, batch_size=8, epochs=3, verbose=0, shuffle=False)
    losses.append(fitted.history["loss"])
print(json.dumps(losses))
"""


@pytest.mark.full
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras distributes on JAX")
def test_it_is_trained_on_two_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES], capture_output=True, text=True, check=True, env=environment
    )
    alone, together = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert together[-1] < together[0]
