"""hypernetize: which layers and weights are generated, from which constant term, and from which z."""

import re

import keras
import numpy as np
import pytest
from helpers import array
from hypernetized import make_generator, make_inputs, make_mlp, make_nested
from keras import layers

import keras_hypernet as kh
from keras_hypernet.layers import HyperDense, LayerEmbeddings


def test_base_of_zeros_starts_as_a_hyper_layer():
    model = make_mlp()
    hyper = kh.hypernetize(model, make_generator(), base="zeros", layers="first")
    basis = array(hyper.primary.get_layer("first").kernel_basis)
    assert np.abs(basis[:, :-1]).max() > 0
    np.testing.assert_array_equal(basis[:, -1], 0)
    np.testing.assert_array_equal(array(hyper.primary.get_layer("last").kernel), array(model.get_layer("last").kernel))


def test_layers_of_one_basis_share_its_head_and_are_loaded_so(tmp_path):
    inputs = make_inputs()
    generator = LayerEmbeddings(2, make_generator(), seed=0)
    hyper = kh.hypernetize(make_mlp(), generator, basis=kh.bases.Chunked(5, 2), base="zeros", weights="*kernel")
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
    hyper, inputs = kh.hypernetize(make_mlp(), generator, base="zeros"), make_inputs()
    hyper(inputs)
    z, theta = generator(inputs["condition"]), hyper.generate(inputs["condition"])
    for name, key in (("first", "first"), ("last", "l*")):
        basis = array(hyper.primary.get_layer(name).kernel_basis)
        expected = np.einsum("br,iro->bio", array(z[key]), basis[:, :-1]) + basis[:, -1]
        np.testing.assert_allclose(array(theta[f"{name}/kernel"]), expected, atol=1e-5)
    np.testing.assert_allclose(array(hyper.apply(inputs["x"], theta)), array(hyper(inputs)), atol=1e-5)


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
    hyper = kh.hypernetize(make_nested(), make_generator(), layers=chosen)
    assert {layer.name for layer in hyper.primary.layers if isinstance(layer, HyperDense)} == expected


@pytest.mark.parametrize("train_others", [True, False])
def test_weights_are_chosen(train_others):
    model, inputs = make_mlp(), make_inputs()
    hyper = kh.hypernetize(model, make_generator(), "first", weights="*kernel", train_others=train_others)
    first, last = (hyper.primary.get_layer(name) for name in ("first", "last"))
    assert set(first.generated_shapes) == {"kernel"}
    assert type(last) is layers.Dense
    np.testing.assert_array_equal(array(first.trained_bias), array(model.get_layer("first").bias))
    assert first.trained_bias.trainable == last.kernel.trainable == train_others
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)


@pytest.mark.parametrize("train_others", [True, False])
def test_weights_of_a_layer_without_a_hyper_layer_are_chosen(train_others, tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), layers.SeparableConv1D(2, 3, name="own"), layers.Flatten()])
    hyper, inputs = (
        kh.hypernetize(model, make_generator(), weights="bias", train_others=train_others),
        make_inputs((3, 4, 3)),
    )
    np.testing.assert_allclose(array(hyper(inputs)), array(model(inputs["x"])), atol=1e-5)
    hyper.save(tmp_path / "hyper.keras")
    for each in (hyper, keras.models.load_model(tmp_path / "hyper.keras")):
        names = {variable.name for variable in each.primary.trainable_variables}
        assert names == {"bias_basis"} | ({"depthwise_kernel", "pointwise_kernel"} if train_others else set())
