"""The main use of the package from beginning to end, on images that come with the installation."""

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from keras_hypernet.common.files import check_writable
from keras_hypernet.models import specialize
from keras_hypernet.serving import export, run_saved_model_script
from keras_hypernet.tasks import RotationTask, evaluation_angles
from keras_hypernet.training.checkpoints import num_bytes
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.store import load

_FINE_TUNING_EPOCHS = 25
_NUM_EXAMPLES = 8


def run(to):
    """Loads, evaluates, fine-tunes, specializes, exports to the folder `to`, and reloads.

    Yields the title and a dict of facts for each step. Raises RuntimeError if the SavedModel's outputs are not the
    model's, and NotWritableError, before the first step, if the folder is not writable or has too little space.
    """
    task = RotationTask("digits")
    models = {"hypernetwork": load("rotation_mnist_hyper"), "embedding method": load("rotation_mnist_embed")}
    hyper = models["hypernetwork"]
    check_writable(to, num_bytes(hyper.weights))
    yield "Load two models trained on MNIST", {name: model.num_parameters() for name, model in models.items()}
    title = "Evaluate them on 300 digits of another source, 30-degree classes (error)"
    yield title, {name: evaluate(model, task)["error"] for name, model in models.items()}
    tuned = _fine_tune(hyper, task)
    yield "Fine-tune the hypernetwork on 1,197 digits of the same source", tuned
    inputs, labels = next(iter(task.evaluation_dataset("test", _NUM_EXAMPLES)))
    classes = {
        "true, as the closest multiple of 30": [30 * int(label) for label in labels],
        "predicted": [30 * int(each) for each in np.argmax(hyper.predict(inputs, verbose=0), axis=1)],
    }
    angles = [round(float(angle)) for angle in evaluation_angles(_NUM_EXAMPLES)]
    wrong = [
        f"{predicted} for {angle} degrees"
        for angle, true, predicted in zip(angles, *classes.values(), strict=True)
        if predicted != true
    ]
    often = f"{len(wrong)} of these {_NUM_EXAMPLES}; of all 300 digits {tuned['error after']:.0%}"
    yield (
        f"Tell by how many degrees {_NUM_EXAMPLES} images were rotated",
        {"true": angles, **classes, "mistakes": wrong, "how often": often},
    )
    first = {name: value[:1] for name, value in inputs.items()}
    yield "Specialize the network to the first of them", _specialize(hyper, first)
    yield "Export, and run the SavedModel without Keras", _export(hyper, task, to)


def _fine_tune(model, task):
    started = time.perf_counter()
    before = evaluate(model, task)["error"]
    fit(model, task, paper_recipe(task, epochs=_FINE_TUNING_EPOCHS))
    after, seconds = evaluate(model, task)["error"], time.perf_counter() - started
    return {"error before": before, "error after": after, "seconds": round(seconds, 1)}


def _specialize(model, inputs):
    network = specialize(model, inputs["condition"])
    difference = np.abs(network.predict(inputs["x"], verbose=0) - model.predict(inputs, verbose=0)).max()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for name, saved in {"before": model, "after": network}.items():
            path = pathlib.Path(folder) / f"{name}.keras"
            saved.save(path)
            sizes[f"file size {name} (kB)"] = round(path.stat().st_size / 1000)
    return {
        "parameters before": model.count_params(),
        "parameters after": network.count_params(),
        **sizes,
        "largest difference of outputs": float(difference),
    }


def _export(model, task, to):
    version = export(model, to, name="demo")
    inputs = next(iter(task.evaluation_dataset("test", 32)))[0]
    expected = model.predict(inputs, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder) / name) for name in ("inputs.npz", "outputs.npz")]
        np.savez(paths[0], **{name: value.numpy() for name, value in inputs.items()})
        command = [sys.executable, str(run_saved_model_script()), str(version), *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"The SavedModel {version} could not be run: {done.stderr}")
        with np.load(paths[1]) as outputs:
            difference = float(np.abs(outputs["logits"] - expected).max())
    if not difference < 1e-4:
        raise RuntimeError(f"The outputs of {version} differ from the model's by {difference}.")
    return {"folder": str(version), "largest difference of outputs": difference}
