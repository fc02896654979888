"""Small models for the tests of hypernetize, and shared helper functions."""

import keras
from helpers import array, normal
from keras import layers


def make_generator(rank=3):
    return keras.Sequential([keras.Input((4,)), layers.Dense(rank)])


def make_mlp(**options):
    first = layers.Dense(6, "tanh", name="first", bias_initializer="random_normal", **options)
    last = layers.Dense(2, name="last", bias_initializer="random_normal")
    return keras.Sequential([keras.Input((5,)), first, layers.Dropout(0.5), last])


def make_inputs(x=(3, 5)):
    return {"x": normal(x), "condition": normal((3, 4), seed=1)}


def fit(hyper, inputs, targets, rate=0.1, **options):
    # Where nothing else is asked for: to trace a function on TensorFlow takes longer than two steps.
    options = options or {"run_eagerly": keras.backend.backend() == "tensorflow"}
    hyper.compile(keras.optimizers.SGD(rate), "mse", **options)
    return hyper.fit(inputs, targets, epochs=2, batch_size=3, verbose=0).history["loss"]


def make_nested():
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="dense"), layers.ReLU()], name="backbone")
    inputs = keras.Input((5,))
    return keras.Model(inputs, layers.Dense(2, name="head")(inner(inputs)))


@keras.saving.register_keras_serializable(package="test_hypernetize")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last = layers.Dense(3, "tanh"), layers.Dense(2)

    def call(self, x):
        return self.last(self.first(x))


def scatter(variables):
    for number, variable in enumerate(variables):
        variable.assign(array(variable) + 0.1 * normal(variable.shape, seed=number))
