"""A detector from one image: a hypernetwork specialized to an image of a sign, as a LiteRT file for a small device.

    pip install 'keras_hypernet[lite]'
    python examples/ship_to_litert.py [--data mnist] [--epochs 5] [--quick] [--out litert]

The condition is an image of a digit, x is another image, and the answer is whether both show the same digit. A large
network f of the condition generates the weights of a small convolutional network g of x. A device that detects one sign
needs only g:

    detector = kh.specialize(model, reference)            # an ordinary Keras model of x
    detector.export("detector.tflite", format="litert")   # runs without Keras and TensorFlow

The command trains the hypernetwork, writes a file for one test image of each digit and a file of the whole model, and
runs these files with `ai_edge_litert`. `--out` is the folder of the files, and of a picture with each reference and,
below it, the detector's outputs for images of all digits. The result of the command, for one seed:

    whole model: 524,300 bytes, 0.043 ms
    detector: 35,496 bytes, 0.007 ms
    balanced accuracy of the 10 detectors 0.978, from 0.938 to 0.993
    largest difference from the hypernetwork in Keras, relative to the largest output: 5.7e-07

The times are for one call on one image with one thread, and depend on the machine. The command takes a minute and a
half of processor time. --quick takes half a minute: three detectors, of the digits of scikit-learn, which need no
download.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

import keras_hypernet as kh
from keras_hypernet.data.sources import get_source
from keras_hypernet.serving.specialized import export_formats

BATCH = 128


def make():
    """The hypernetwork of x and the condition, images `[B, 28, 28, 1]` of values in 0 to 1."""
    f = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 5, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dense(16),
        ]
    )
    g = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.Dense(1),
        ]
    )
    return kh.hypernetize(g, f, basis=kh.bases.LowRank(8))


def examples(data, split):
    """Images `[N, 28, 28, 1]` of values in 0 to 1, and their digits `[N]`."""
    source = get_source(data)
    return source.load(split).astype("float32") / 255, source.load_labels(split)


def pairs(images, digits, random):
    """A reference for each image: in half of the pairs of the same digit. Inputs and answers `[N, 1]`."""
    same = random.random(len(digits)) < 0.5
    wanted = np.where(same, digits, (digits + random.integers(1, 10, len(digits))) % 10)
    references = np.empty(len(digits), int)
    for digit in range(10):
        chosen = wanted == digit
        references[chosen] = random.choice(np.flatnonzero(digits == digit), chosen.sum())
    return {"x": images, "condition": images[references]}, same.astype("float32")[:, None]


def runner(path):
    """A LiteRT file as a function of arrays, in the alphabetical order of the names of the inputs."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
    names = sorted(run.get_input_details())

    def call(*arrays):
        (output,) = run(**dict(zip(names, arrays, strict=True))).values()
        return output

    return call


def milliseconds(call, *arrays, calls=200):
    """The median time of a call."""
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        call(*arrays)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))


def draw(path, references, images, answers):
    """The references in the first row, and below each the images, framed by the answer: green for the same digit."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows, columns = 1 + len(images), len(references)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * 0.8, rows * 0.8), layout="constrained")
    for column, reference in enumerate(references):
        axes[0, column].imshow(reference[..., 0], cmap="gray_r")
        for row, image in enumerate(images):
            axes[row + 1, column].imshow(
                image[..., 0], cmap="Greens" if answers[column][row] > 0 else "Greys", vmax=1.5
            )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.suptitle("shown once (first row), and what its detector says of other images: green, the same digit", size=8)
    figure.savefig(path, dpi=150)


def main(arguments=None):
    """Trains, exports, runs the files, prints and returns what was found, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["mnist", "digits"], default="mnist")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", default="litert", help="folder")
    parser.add_argument("--quick", action="store_true", help="digits of scikit-learn, 15 epochs, three detectors")
    chosen = parser.parse_args(arguments)
    data, epochs, detectors = ("digits", 15, 3) if chosen.quick else (chosen.data, chosen.epochs, 10)
    folder, random = pathlib.Path(chosen.out), np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    (images, digits), (test_images, test_digits) = examples(data, "train"), examples(data, "test")
    model = make()
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(images) // BATCH))
    model.compile(keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True))
    for _ in range(epochs):  # new pairs in each epoch
        model.fit(*pairs(images, digits, random), batch_size=BATCH, verbose=0)
    (whole,) = export_formats(model, folder, "whole", formats=["litert"])
    first = [int(np.flatnonzero(test_digits == digit)[0]) for digit in range(detectors)]
    x, shown = test_images[-1000:], test_digits[-1000:]
    right, differences, answers, sizes = [], [], [], []
    for digit, reference in enumerate(test_images[first]):
        detector, path = kh.specialize(model, reference[None]), folder / f"detector_of_{digit}.tflite"
        detector.export(path, format="litert", verbose=False)
        logits = runner(path)(x)
        expected = model.predict({"x": x, "condition": reference[None]}, batch_size=500, verbose=0)
        differences.append(float(np.abs(logits - expected).max() / np.abs(expected).max()))
        # Of the nine images of ten that show another digit, as many count as of those that show the same.
        right.append(np.mean([np.mean(logits[shown == digit] > 0), np.mean(logits[shown != digit] < 0)]))
        answers.append(logits[:, 0])
        sizes.append(path.stat().st_size)
    draw(folder / "detectors.png", test_images[first], x[:10], answers)
    print(f"whole model: {whole.num_bytes:,} bytes, {milliseconds(runner(whole.path), reference[None], x[:1]):.3f} ms")
    print(f"detector: {max(sizes):,} bytes, {milliseconds(runner(path), x[:1]):.3f} ms")
    mean, least, most = np.mean(right), min(right), max(right)
    print(f"balanced accuracy of the {detectors} detectors {mean:.3f}, from {least:.3f} to {most:.3f}")
    print(f"largest difference from the hypernetwork in Keras, relative to the largest output: {max(differences):.1e}")
    return {"accuracy": float(np.mean(right)), "difference": max(differences), "bytes": (max(sizes), whole.num_bytes)}


if __name__ == "__main__":
    main()
