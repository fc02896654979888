"""Models refuse wrong inputs, weights and parts with one clear message."""

import functools
import itertools

import keras
import numpy as np
import pytest
from helpers import array, normal, pixels

import keras_hypernet as kh
from keras_hypernet.layers import ConcatenateCondition, HyperDense
from keras_hypernet.zoo.architectures import build_model


def _inputs(batch=6):
    return {"x": normal((batch, 7)), "condition": normal((batch, 4), seed=1)}


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


@pytest.mark.parametrize("predict", [False, True])
def test_images_of_another_shape_are_refused(predict):
    model = _image_model()
    inputs = {"x": pixels((2, 28, 28, 1)), "condition": pixels((2, 28, 28, 1))}
    call = (lambda inputs: model.predict(inputs, verbose=0)) if predict else model
    call(inputs)  # later shapes are traced with unknown dimensions
    for name, shape in itertools.product(inputs, [(2, 28, 28), (2, 32, 32, 1), (2, 784)]):
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
    for wrong in (normal((3,)), normal((2, 2, 2, 3)), normal((2, 4))):
        with pytest.raises(ValueError, match=r"'a' was built for conditions of shape \[batch, 3\]. Received: shape \("):
            model.primary[0].generate(wrong)
    with pytest.raises(ValueError, match="x and a/kernel must have the same batch size, or a/kernel a batch"):
        model.primary[0].apply(normal((5, 7)), model.primary[0].generate(normal((2, 3))))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_of_a_condition_that_is_not_finite_are_refused(value):
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(3)]), [HyperDense(2)])
    model(_inputs())
    condition = np.full((1, 4), value, "float32")
    for method in (model.generate, functools.partial(kh.specialize, model)):
        with pytest.raises(ValueError, match="A condition must be finite. Received: NaN or infinity in 'condition'"):
            method(condition)


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


def test_shapes_are_checked_where_models_are_put_together():
    layer = HyperDense(2)
    layer(normal((6, 4)), normal((6, 3)))
    with pytest.raises(ValueError, match="was built for 4 features of x and a condition of dimension 3"):
        layer(keras.Input((9,)), keras.Input((3,)))
    with pytest.raises(ValueError, match="A condition must have an entry"):
        HyperDense(2)(normal((6, 4)), normal((6, 0)))
    with pytest.raises(TypeError, match="`primary` must be a list of layers; of a Sequential, its `.layers`"):
        kh.EmbeddingMethod(keras.layers.Dense(3), keras.Sequential([keras.layers.Dense(2)]))


def test_specialize_says_what_it_needs():
    with pytest.raises(TypeError, match="an input named 'condition'"):
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


def test_presets_of_other_models_and_without_files_are_refused(tmp_path):
    layers = [HyperDense(3, activation="relu"), HyperDense(2)]
    model = kh.Hypernetwork(keras.Sequential([keras.layers.Dense(5)]), layers)
    with pytest.raises(ValueError, match="has no weights yet: call it on x and a condition before `save_to_preset`"):
        model.save_to_preset(tmp_path / "preset")
    model(_inputs())
    model.save_to_preset(tmp_path / "preset")
    assert sorted(path.name for path in (tmp_path / "preset").iterdir()) == [
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    with pytest.raises(TypeError, match="must hold a model of class EmbeddingMethod. Received: Hypernetwork"):
        kh.EmbeddingMethod.from_preset(tmp_path / "preset")
    (tmp_path / "preset" / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"`save_to_preset` has written. It has no model.weights.h5"):
        kh.Hypernetwork.from_preset(tmp_path / "preset")
    fresh = kh.Hypernetwork.from_preset(tmp_path / "preset", load_weights=False)
    assert fresh.num_parameters() == model.num_parameters()
    (tmp_path / "preset" / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must be the configuration of a model"):
        kh.Hypernetwork.from_preset(tmp_path / "preset", load_weights=False)
