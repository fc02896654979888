"""hypernetize: its errors, and their messages."""

import keras
import pytest
from helpers import normal
from hypernetized import Subclassed, make_generator, make_mlp
from keras import layers

import keras_hypernet as kh
from keras_hypernet.layers import LayerEmbeddings


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
    return make_mlp(dtype="mixed_bfloat16")


def _half_generator():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])


def _lora():
    model = make_mlp()
    model.layers[0].enable_lora(1)
    return model


def _lambda():
    return keras.Sequential([keras.Input((5,)), layers.Lambda(lambda x: x + 1), layers.Dense(2)])


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (make_mlp, {"layers": "frist"}, "'frist', which matches no layer with weights: did you mean first"),
        (
            make_mlp,
            {"layers": layers.Conv2D},
            r"matches no layer with weights: there are first \(Dense\), last \(Dense\)",
        ),
        (make_mlp, {"weights": "kernels"}, "`weights` 'kernels' matches no weight .* did you mean"),
        (make_mlp, {"base": "ones"}, "`base` must be one of"),
        (make_mlp, {"basis": kh.bases.Full("glorot_uniform")}, "`base` sets the constant term"),
        (make_mlp, {"generator": layers.Reshape((2, 2))}, "The size of z is not known"),
        (
            make_mlp,
            {"generator": keras.Sequential([keras.Input((4, 2)), layers.Dense(3)])},
            r"z of the shape \[batch, R\]",
        ),
        (
            make_mlp,
            {"generator": LayerEmbeddings(2, make_generator(), ["first", "lst"])},
            "z for each chosen layer.*'last'",
        ),
        (
            make_mlp,
            {"layers": "first", "generator": LayerEmbeddings(2, make_generator(), ["first", "x"])},
            "z for 'x', which",
        ),
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
    options = {"generator": make_generator(), **options}
    with pytest.raises(ValueError, match=message):
        kh.hypernetize(make(), **options)


def test_conditions_of_another_batch_are_refused():
    hyper = kh.hypernetize(make_mlp(), make_generator())
    with pytest.raises(ValueError, match="x and condition must have the same batch size"):
        hyper({"x": normal((3, 5)), "condition": normal((2, 4))})
    with pytest.raises(ValueError, match=r"The model takes `x` of the shape \(None, 5\)"):
        hyper({"x": normal((3, 6)), "condition": normal((3, 4))})
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        kh.hypernetize(layers.Dense(2), make_generator())
