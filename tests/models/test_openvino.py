"""Layers and models predict under Keras's OpenVINO backend: `KERAS_BACKEND=openvino pytest -k openvino`."""

import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from cases import LAYERS, MODELS, LayerCase
from helpers import array, normal, pixels

from keras_hypernet.layers import Hyper

if keras.backend.backend() != "openvino":
    pytest.skip("the backend is not OpenVINO", allow_module_level=True)

pytestmark = pytest.mark.regression
CASES = [case for case in [*LAYERS, *MODELS] if case.on_openvino]
BATCH = 6

# Computes on TensorFlow, in a process of its own, what layers and models of the same weights return.
ON_TENSORFLOW = """
import pathlib, sys, numpy as np
from cases import LAYERS, MODELS
for case in [*LAYERS, *MODELS]:
    file = pathlib.Path(sys.argv[1], f"{case.name}.npz")
    if file.exists():
        x, condition, *weights = np.load(file, allow_pickle=False).values()
        made = case.make()
        inputs = ({"x": x, "condition": condition},) if case in MODELS else (x, condition)
        made(*inputs)
        made.set_weights(weights)
        np.save(file.with_suffix(".npy"), made(*inputs))
"""


@pytest.fixture(scope="module", autouse=True)
def _float32():
    """Keras leaves the precision to OpenVINO, which computes in bfloat16 where the processor can."""
    import openvino

    compile_model = functools.partial(openvino.compile_model, config={"INFERENCE_PRECISION_HINT": "f32"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino, "compile_model", compile_model)
        yield


def _inputs(case):
    """x and the condition."""
    if isinstance(case, LayerCase):
        ids = np.random.default_rng(0).integers(0, max(case.ids, 1), case.x_shape, "int32")
        return ids if case.ids else normal(case.x_shape), normal(case.condition_shape, seed=1)
    draw = pixels if case.dtype == "uint8" else normal
    return draw((BATCH, *case.x_shape)), draw((BATCH, *case.condition_shape), seed=1)


def _predict(case):
    """What a layer or model of a case predicts, and its weights."""
    made, (x, condition) = case.make(), _inputs(case)
    if not isinstance(case, LayerCase):
        return made.predict({"x": x, "condition": condition}, batch_size=4, verbose=0), made.get_weights()
    first = keras.Input(x.shape[1:], dtype="int32" if case.ids else None)
    if len(condition) == 1:  # for the whole batch: a constant
        model, arguments = keras.Model(first, made(first, keras.ops.convert_to_tensor(condition))), x
    else:
        second = keras.Input(condition.shape[1:])
        model, arguments = keras.Model([first, second], made(first, second)), [x, condition]
    return model.predict(arguments, verbose=0), made.get_weights()


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """What the selected cases predict, and what they return on TensorFlow, by name."""
    folder, predicted = tmp_path_factory.mktemp("cases"), {}
    selected = {item.callspec.params["case"].name for item in request.session.items if "results" in item.fixturenames}
    for case in [case for case in CASES if case.name in selected]:
        predicted[case.name], weights = _predict(case)
        np.savez(folder / f"{case.name}.npz", *_inputs(case), *weights)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", ON_TENSORFLOW, folder], env=environment, check=True)
    return {name: (y, np.load(folder / f"{name}.npy")) for name, y in predicted.items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_predicted_is_what_tensorflow_computes(case, results):
    predicted, expected = results[case.name]
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-5)


def test_hyper_of_a_layer_takes_one_condition_for_all_x():
    layer, x, z = Hyper(keras.layers.LSTM(2)), normal((3, 5, 4)), normal((3, 2), seed=1)
    first, second = keras.Input((5, 4)), keras.Input((2,))
    with pytest.raises(ValueError, match=r"takes one condition for all x, of shape \[1, R\]"):
        keras.Model([first, second], layer(first, second)).predict([x, z], verbose=0)
    each = np.concatenate([array(layer(x[b : b + 1], z[b : b + 1])) for b in range(3)])
    np.testing.assert_allclose(array(layer(x, z)), each, atol=1e-5)
