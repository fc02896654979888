"""Runs a SavedModel with TensorFlow alone: `python run_saved_model.py FOLDER INPUTS.npz OUTPUTS.npz`.

The script does not import the package, because that would import Keras, which a served model does not need.
"""

import sys


def load(folder):
    """Returns `serving_default` of a SavedModel, as a function from a dict of arrays to a dict of arrays."""
    import tensorflow as tf

    served = tf.saved_model.load(str(folder)).signatures["serving_default"]

    def run(inputs):
        outputs = served(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def main(folder, inputs_path, outputs_path):
    """Runs `serving_default` on the arrays of one file, and writes its outputs to another file."""
    import numpy as np

    with np.load(inputs_path) as inputs:
        np.savez(outputs_path, **load(folder)(dict(inputs)))


if __name__ == "__main__":
    # Prevents TensorFlow from importing Keras. Not when this file is imported, as pytest does for doctests.
    sys.modules["keras"] = None  # type: ignore[assignment]
    main(*sys.argv[1:])
