"""`model.py` of a model in Triton's Python backend: runs the SavedModel or the ONNX file of its version's folder.

Triton's own backends take the same files under the same names. Its wheel has the Python backend alone.
"""

import os
import pathlib
import sys

# The interpreter of the backend ignores this variable.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import triton_python_backend_utils as triton  # noqa: E402 (it imports NumPy)


class TritonPythonModel:
    """The functions that Triton calls."""

    def initialize(self, args):
        folder = pathlib.Path(args["model_repository"], args["model_version"])
        if (folder / "model.onnx").exists():
            import onnxruntime

            session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]
            self.run = lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))
        else:
            import tensorflow as tf

            served = tf.saved_model.load(str(folder / "model.savedmodel")).signatures["serving_default"]
            self.run = lambda inputs: {name: value.numpy() for name, value in served(**inputs).items()}

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            outputs = self.run({tensor.name(): tensor.as_numpy() for tensor in request.inputs()})
        except Exception as error:
            return triton.InferenceResponse([], triton.TritonError(str(error), triton.TritonError.INVALID_ARG))
        return triton.InferenceResponse([triton.Tensor(name, value) for name, value in outputs.items()])
