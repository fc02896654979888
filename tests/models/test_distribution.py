"""Training on several devices with `keras.distribution`, which Keras has on JAX alone, gives the loss of one device."""

import json
import os
import subprocess
import sys

import keras
import pytest

# In a process of its own, since distribution and number of devices are those of a process.
SCRIPT = """
import json
import keras
import numpy as np
import keras_hypernet as kh

rng = np.random.default_rng(0)
x = {"x": rng.standard_normal((256, 6), "float32"), "condition": rng.standard_normal((256, 8), "float32")}
y = rng.standard_normal((256, 1), "float32")


def trained(distribution):
    if distribution:
        keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    generator = keras.Sequential([keras.Input((8,), name="condition"), keras.layers.Dense(16, "relu")])
    model = kh.Hypernetwork(generator, [kh.layers.HyperDense(32, "relu", name="large"), kh.layers.HyperDense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, y, batch_size=64, epochs=3, shuffle=False, verbose=0).history["loss"]
    (basis,) = (each for each in model.trainable_variables if each.path.endswith("large/kernel_basis"))
    return losses, basis.value.sharding.shard_shape(basis.shape)


layout = keras.distribution.LayoutMap(keras.distribution.DeviceMesh((2, 4), ["batch", "model"]))
layout[".*/large/kernel_basis"] = (None, None, "model")  # [inputs, condition + 1, units]
parts = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
print(json.dumps([trained(each) for each in (None, keras.distribution.DataParallel(), parts)]))
"""


@pytest.mark.skipif(keras.config.backend() != "jax", reason="Keras distributes on JAX alone")
def test_eight_devices_have_the_loss_of_one():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (losses, whole), *others = json.loads(done.stdout)
    assert whole == [6, 17, 32]
    assert [shard for _, shard in others] == [whole, [6, 17, 8]]  # with a copy for each device, and with a part
    for many, _ in others:
        assert many == pytest.approx(losses, rel=1e-5)
