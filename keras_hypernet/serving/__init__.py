"""Export of models as SavedModels, a client for TensorFlow Serving, and a local server with the same interfaces."""

import pathlib

from keras_hypernet.serving.client import Client
from keras_hypernet.serving.errors import (
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServingError,
    UnavailableError,
)
from keras_hypernet.serving.export import export
from keras_hypernet.serving.lora import export_lora

__all__ = [
    "Client",
    "DeadlineError",
    "InvalidRequestError",
    "NotFoundError",
    "OverloadedError",
    "ServingError",
    "UnavailableError",
    "export",
    "export_lora",
    "run_saved_model_script",
]


def run_saved_model_script() -> pathlib.Path:
    """Returns the path of the script that runs a SavedModel without Keras."""
    return pathlib.Path(__file__).parent / "run_saved_model.py"
