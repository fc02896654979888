"""Models as SavedModels, for TensorFlow Serving."""

import pathlib

from keras_hypernet.serving.export import export

__all__ = ["export", "run_saved_model_script"]


def run_saved_model_script():
    """Returns the path of the script that runs a SavedModel without Keras."""
    return pathlib.Path(__file__).parent / "run_saved_model.py"
