"""Servable: a version of a model, loaded with TensorFlow alone."""

import dataclasses
import math
import pathlib
import re

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from keras_hypernet.serving.config import find_graph
from keras_hypernet.serving.errors import ServingError, invalid
from keras_hypernet.serving.warmup import read_warmup


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """A tensor of a signature: its dtype, TensorFlow's number of the dtype, and its shape with None for free sizes."""

    dtype: np.dtype
    enum: int
    shape: tuple | None

    @property
    def row_values(self):
        if not self.shape or None in self.shape[1:] or self.dtype == object:
            return None
        return math.prod(self.shape[1:])


class Servable:
    """A loaded version of a model: `signature_map`, TensorFlow Serving's message, describes its signatures.

    For each signature by name, `inputs` and `outputs` have a dict of `TensorInfo`. Raises ValueError if the folder
    holds no SavedModel with a signature, or its warm-up requests fail.
    """

    def __init__(self, name, version, folder):
        self.name, self.version = name, version
        folder = pathlib.Path(folder)
        try:
            saved = _read_graph(folder)
            self._loaded = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow raises many types for a damaged file
            raise ValueError(f"{folder} must hold a SavedModel. Received: {type(error).__name__}: {error}") from error
        # The graph also lists the function that restores the weights.
        listed = saved.meta_graphs[0].signature_def.items() if saved.meta_graphs else ()
        definitions = {key: value for key, value in listed if key in self._loaded.signatures}
        if not definitions:
            raise ValueError(f"{folder} must hold a SavedModel with a signature. Received: one without")
        self.signature_map = get_model_metadata_pb2.SignatureDefMap(signature_def=definitions)
        self.inputs = {key: _infos(value.inputs) for key, value in definitions.items()}
        self.outputs = {key: _infos(value.outputs) for key, value in definitions.items()}
        for request in read_warmup(folder):
            signature = request.model_spec.signature_name or "serving_default"
            if signature not in self.inputs:
                raise ValueError(f"A warm-up request in {folder} must be for a signature. Received: {signature!r}")
            try:
                self.run(signature, {key: tf.make_ndarray(value) for key, value in request.inputs.items()})
            except (ServingError, ValueError, TypeError) as error:
                raise ValueError(f"A warm-up request for {signature!r} in {folder} failed: {error}") from error

    def run(self, signature, inputs):
        """Runs a signature on a dict of arrays or tensors of its dtypes; returns a dict of tensors."""
        function = self._loaded.signatures[signature]
        tensors = {key: tf.convert_to_tensor(value) for key, value in inputs.items()}
        try:
            return function(**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise invalid(_reason(error)) from error
        except tf.errors.ResourceExhaustedError as error:
            raise ServingError("RESOURCE_EXHAUSTED", _reason(error)) from error
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise ServingError("INTERNAL", f"{type(error).__name__}: {_reason(error)}") from error


def _read_graph(folder):
    path = find_graph(folder)
    if path.suffix == ".pb":
        return saved_model_pb2.SavedModel.FromString(path.read_bytes())
    return text_format.Parse(path.read_text(encoding="utf-8"), saved_model_pb2.SavedModel())


def _infos(tensors):
    infos = {}
    for name, info in tensors.items():
        shape = tf.TensorShape(info.tensor_shape)
        shape = None if shape.rank is None else tuple(shape.as_list())
        infos[name] = TensorInfo(np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype), info.dtype, shape)
    return infos


def _reason(error):
    """The cause of a TensorFlow error: a check of this package, otherwise the line before the node of the graph."""
    check = re.search(r"\{\{node \S*?check_that_([a-z_]+?)(_\d+)?/", str(error))
    if check:
        return f"Not so: {check[1].replace('_', ' ')}."
    lines = [line.strip() for line in str(getattr(error, "message", None) or error).splitlines() if line.strip()]
    node = next((number for number, line in enumerate(lines) if line.startswith("[[{{node")), 0)
    return lines[max(node - 1, 0)] if lines else type(error).__name__
