"""Runs a SavedModel with TensorFlow alone: `python run_saved_model.py FOLDER INPUTS.npz OUTPUTS.npz`.

A script and not a module: importing the package would import Keras, which a served model does not need.
"""

import sys


def main(folder, inputs_path, outputs_path):
    """Feeds the arrays of one file to `serving_default` and writes its outputs to another."""
    import numpy as np
    import tensorflow as tf

    signature = tf.saved_model.load(folder).signatures["serving_default"]
    with np.load(inputs_path) as inputs:
        outputs = signature(**{name: tf.constant(inputs[name]) for name in inputs.files})
    np.savez(outputs_path, **{name: value.numpy() for name, value in outputs.items()})


if __name__ == "__main__":
    # TensorFlow imports Keras if it can; this hides it. Not at import: pytest imports this file for doctests.
    sys.modules["keras"] = None
    main(*sys.argv[1:])
