"""Sets with padding, and models of them, that the tests of ConditionalNeuralProcess share."""

import keras
import numpy as np
from helpers import normal

import keras_hypernet as kh
from keras_hypernet.layers import ConcatenateCondition, StandardizeImage

SETS, MEMBERS, FEATURES, SIZE = 6, 5, 7, 3  # SIZE: of a member
LENGTHS = np.array([5, 1, 3, 2, 4, 5])
MASK = np.arange(MEMBERS) < LENGTHS[:, np.newaxis]


def make_embedding():
    return keras.Sequential([keras.layers.Dense(4, "tanh", bias_initializer="random_normal")])


def make_primary():
    hidden = keras.layers.Dense(5, "tanh", bias_initializer="random_normal", name="hidden")
    return [hidden, keras.layers.Dense(2, name="output")]


def built_model():
    model = kh.ConditionalNeuralProcess(make_embedding(), make_primary())
    model.build({"x": (None, FEATURES), "condition": (None, None, SIZE)})
    return model


def set_inputs(**others):
    return {"x": normal((SETS, FEATURES)), "condition": normal((SETS, MEMBERS, SIZE), seed=1), **others}


def padded_with(value, **others):
    inputs = set_inputs(**others)
    inputs["condition"][~MASK] = value
    return inputs


def image_model():
    image = keras.Input((4, 4, 1), dtype="uint8")
    flat = [keras.layers.Flatten(), keras.layers.Dense(4)]
    primary = [StandardizeImage(), keras.layers.Flatten(), ConcatenateCondition(), *make_primary()]
    return kh.ConditionalNeuralProcess(keras.Sequential([image, StandardizeImage(), *flat]), primary)
