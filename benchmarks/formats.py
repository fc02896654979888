"""The size, the time and the test error of an entry and of its specialized models in each format, in its own runtime.

    python benchmarks/formats.py [--images 100]

Exports `rotation_mnist_hyper` and runs each file on the test split: the error is that of the card. Then, for the first
images of the test split, exports g under the image, and runs each file on the image turned by 0, 30, ..., 330 degrees.
Prints bytes, milliseconds for one x, the largest difference from Keras relative to the largest output, and the error
beside Keras's on the same examples. About five minutes of processor time.
"""

import argparse
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from measure import interleaved, medians, report

import keras_hypernet as kh
from keras_hypernet.serving.specialized import RUNNERS, export_formats
from keras_hypernet.tasks.rotation import angle_labels, rotate_images

FORMATS = ["saved_model", "litert", "litert_int8", "onnx", "openvino"]
ANGLES = np.arange(12) * 30.0


def measured(model, condition, batches, folder):
    """For each format: bytes, milliseconds, the largest difference, and the numbers of wrong answers, Keras's first."""
    files = export_formats(model, folder, "model", FORMATS, condition, keep=0)
    runs = {exported.format: RUNNERS[exported.format](exported.path) for exported in files}
    wrong, largest, difference = dict.fromkeys(["keras", *runs], 0), 0, dict.fromkeys(runs, 0)
    for inputs, labels in batches:
        given = {"x": inputs["x"]} if condition is not None else inputs
        expected = model.predict(inputs, verbose=0)
        wrong["keras"] += int((expected.argmax(-1) != labels).sum())
        largest = max(largest, float(np.abs(expected).max()))
        for format, run in runs.items():
            (received,) = run(given).values()
            wrong[format] += int((received.argmax(-1) != labels).sum())
            difference[format] = max(difference[format], float(np.abs(received - expected).max()))
    one = {name: value[:1] for name, value in given.items()}
    calls = {format: lambda run=run: run(one) for format, run in runs.items()}
    seconds = medians(interleaved(calls, 20))
    sizes = {exported.format: exported.num_bytes for exported in files}
    return wrong, {format: (sizes[format], 1000 * seconds[format], difference[format] / largest) for format in runs}


def table(part, results, examples):
    """The rows of a part: the mean size and time, the largest difference and the errors over all its files."""
    rows = []
    keras = sum(wrong["keras"] for wrong, _ in results) / examples
    for format in FORMATS:
        size, time, difference = np.transpose([facts[format] for _, facts in results])
        error = sum(wrong[format] for wrong, _ in results) / examples
        rows.append([part, format, round(size.mean()), float(np.median(time)), float(difference.max()), error, keras])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="number of specialized models")
    chosen = parser.parse_args()
    tf.get_logger().setLevel("ERROR")  # not of each new function of each file
    task, model = kh.RotationTask("mnist"), kh.load("rotation_mnist_hyper")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        batches = [
            ({name: part.numpy() for name, part in inputs.items()}, labels.numpy())
            for inputs, labels in task.evaluation_dataset("test", batch_size=500)
        ]
        examples = sum(len(labels) for _, labels in batches)
        rows = table("whole", [measured(model, None, batches, folder)], examples)
        results, labels = [], angle_labels(ANGLES).numpy()
        for image in task.source.load("test")[: chosen.images]:
            repeated = np.repeat(image[None], len(ANGLES), axis=0)
            inputs = {"x": rotate_images(repeated, ANGLES).numpy(), "condition": repeated}
            results.append(measured(model, image, [(inputs, labels)], folder))
        rows += table("g alone", results, len(results) * len(ANGLES))
    columns = ["part", "format", "bytes", "milliseconds", "difference", "error", "Keras's error"]
    report("formats", "Formats of rotation_mnist_hyper", columns, rows, images=chosen.images)


if __name__ == "__main__":
    main()
