"""Helpers of several tests."""

import pathlib

import keras
import numpy as np
import pytest

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent


def array(value):
    """A tensor of any backend and dtype as a float64 array."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")), "float64")


def normal(shape, seed=0):
    """float32 samples of a standard normal distribution."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def pixels(shape, seed=0):
    """Random uint8 images."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def mostly_full(parameters, *plain):
    """Parameters of a test, all marked `full` except those named in `plain`."""
    return [each if str(each) in plain else pytest.param(each, marks=pytest.mark.full) for each in parameters]


def gradients(model, inputs, targets):
    """The gradients of a model's mean squared error: the change of one SGD step at rate 1."""
    before = [array(weight) for weight in model.trainable_variables]
    eagerly = keras.backend.backend() == "tensorflow"  # takes a quarter of the time to trace a function for one step
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse", run_eagerly=eagerly)
    model.train_on_batch(inputs, targets)
    return [was - array(weight) for was, weight in zip(before, model.trainable_variables, strict=True)]


def compiled(layer):
    """A layer compiled by XLA, on TensorFlow or JAX."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(layer.__call__, jit_compile=True)
    import jax

    return jax.jit(layer.__call__)


def jax_exported(function, arrays, free):
    """A function exported by `jax.export`; `free` names the free first dimensions of each array."""
    import jax

    scope, specs = jax.export.SymbolicScope(), []
    for value, names in zip(arrays, free, strict=True):
        shape = jax.export.symbolic_shape(", ".join([*names, *map(str, value.shape[len(names) :])]), scope=scope)
        specs.append(jax.ShapeDtypeStruct(shape, value.dtype))
    return jax.export.export(jax.jit(function))(*specs).call
