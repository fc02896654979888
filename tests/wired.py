"""A functional model of hyper layers, wired by hand, for several tests."""

import keras
from keras import layers

from keras_hypernet.layers import HyperDense


def wired():
    """Two inputs, two outputs, a nested model, and a condition that other layers than hyper layers take too."""
    a, b, condition = keras.Input((5,), name="a"), keras.Input((2,), name="b"), keras.Input((4,), name="condition")
    z = layers.Dense(3, "tanh")(condition)
    inner_x, inner_z = keras.Input((6,)), keras.Input((3,))
    inner = keras.Model([inner_x, inner_z], layers.ReLU()(HyperDense(4, name="inside")(inner_x, inner_z)))
    u = layers.concatenate([HyperDense(6, name="first")(a, z), z], name="joined")
    u = layers.add([layers.Dense(3, name="middle")(u), layers.Dense(3)(condition)], name="sum")
    v = HyperDense(1, name="last")(inner([layers.Dense(6)(b), z]), HyperDense(2)(z, z))
    return keras.Model({"a": a, "b": b, "condition": condition}, {"u": layers.BatchNormalization()(u), "v": v})
