"""Two objectives, and one model for every trade-off: a hypernetwork reads the preference between two losses.

    python examples/choose_a_trade_off.py [--data mnist] [--seeds 3] [--quick] [--out trade_off.png]

An image holds two overlaid digits. A small network predicts the left digit and the right digit, with one hidden layer
of 20 units, which is too small for both. The preference (p, 1 - p) weighs the two losses. Two kinds of models:

    hypernetwork: `kh.hypernetize` converts the Keras model; each weight is a linear function of the preference. Each
        training image comes with a random preference, which is also its sample weight in each loss.
    separate: the Keras model itself, trained for one preference

After the training, `kh.specialize` returns an ordinary Keras model for a chosen preference. `--out` draws the test
losses for eleven preferences, and those of three separate networks.
The result of the command, means and standard deviations over three seeds:

    16,440 parameters of the hypernetwork, 5,480 of each network
    preference (0.1, 0.9), hypernetwork: losses 0.764 and 0.498, weighted 0.525 ± 0.019
    preference (0.1, 0.9), separate: losses 0.668 and 0.457, weighted 0.478 ± 0.015
    preference (0.5, 0.5), hypernetwork: losses 0.538 and 0.587, weighted 0.562 ± 0.015
    preference (0.5, 0.5), separate: losses 0.517 and 0.570, weighted 0.543 ± 0.025
    preference (0.9, 0.1), hypernetwork: losses 0.439 and 0.834, weighted 0.479 ± 0.027
    preference (0.9, 0.1), separate: losses 0.415 and 0.813, weighted 0.454 ± 0.018

One hypernetwork, trained for as many steps as each network, has weighted losses that are 3% to 10% higher, and accepts
every preference. Near (0, 1) and (1, 0), its solutions are dominated: both losses are higher than at the next
preference. The command takes a little over two minutes of processor time. --quick takes ten seconds, on the digits of
scikit-learn, which need no download.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

import keras_hypernet as kh
from keras_hypernet.data.sources import get_source

SHIFT, BATCH, RATE = 8, 64, 0.01
COMPARED = (0.1, 0.5, 0.9)  # weights of the left digit


def overlaid(images, digits, left, right):
    """Images `[N, 28, 36, 1]` of two digits each, and the labels of both, for two lists of numbers of images."""
    x = np.zeros((len(left), 28, 28 + SHIFT, 1), "float32")
    x[:, :, :28] = images[left]
    x[:, :, SHIFT:] = np.maximum(x[:, :, SHIFT:], images[right])
    return x, {"left": digits[left], "right": digits[right]}


def network():
    """The Keras model: an image to the logits of two digits."""
    image = keras.Input((28, 28 + SHIFT, 1))
    hidden = layers.Dense(20, "relu")(layers.Flatten()(layers.AveragePooling2D(2)(image)))
    return keras.Model(image, {name: layers.Dense(10, name=name)(hidden) for name in ("left", "right")})


def hypernetwork():
    """The same network, whose weights are `K0 + K1 z1 + K2 z2` for the standardized preference z."""
    generator = keras.Sequential([keras.Input((2,)), layers.Rescaling(12**0.5, offset=-(3**0.5))])
    return kh.hypernetize(network(), generator, base="zeros")


def batches(images, digits, random, left=None):
    """Yields batches without end: random pairs of digits, with a fixed or random weight of the left digit."""
    while True:
        x, labels = overlaid(images, digits, *random.integers(len(images), size=(2, BATCH)))
        weight = random.uniform(size=BATCH) if left is None else np.full(BATCH, left)
        preference = np.stack([weight, 1 - weight], axis=1).astype("float32")
        inputs = x if left is not None else {"x": x, "condition": preference}
        yield inputs, labels, {"left": preference[:, 0], "right": preference[:, 1]}


def train(model, data, steps):
    """Fits a model with Adam and a falling learning rate, for the weighted sum of two losses."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.Adam(rate), {"left": loss, "right": loss})
    model.fit(data, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    return model


def losses(model, x, labels):
    """The mean cross-entropies of both digits, `[2]`."""
    logits, loss = model(x), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return np.array([float(loss(labels[name], logits[name])) for name in ("left", "right")])


def draw(path, curve, separate):
    """The test losses, means over the seeds: the curve of the hypernetwork, and the separate networks."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
    axis.plot(*curve.T, marker="o", label="one hypernetwork, eleven preferences")
    axis.plot(*separate.T, "s", label="separate networks, three preferences")
    axis.set(xlabel="test loss of the left digit", ylabel="test loss of the right digit")
    axis.legend()
    figure.savefig(path, dpi=150)


def main(arguments=None):
    """Trains all models with each seed, prints and returns the mean losses by preference, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["mnist", "digits"], default="mnist")
    parser.add_argument("--seeds", type=int, help="default: 3, and 1 with --quick")
    parser.add_argument("--out", default="trade_off.png")
    parser.add_argument("--quick", action="store_true", help="digits of scikit-learn, 200 steps")
    chosen = parser.parse_args(arguments)
    data, steps = ("digits", 200) if chosen.quick else (chosen.data, 2000)
    seeds = chosen.seeds or (1 if chosen.quick else 3)
    source, parts = get_source(data), {}
    for split in ("train", "test"):
        parts[split] = source.load(split).astype("float32") / 255, source.load_labels(split)
    number = len(parts["test"][1])
    test = overlaid(*parts["test"], np.arange(number), np.random.default_rng(0).permutation(number))
    preferences, curves, separate = np.linspace(0, 1, 11), [], []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model = train(hypernetwork(), batches(*parts["train"], np.random.default_rng(seed)), steps)
        curves.append([losses(kh.specialize(model, np.array([[p, 1 - p]], "float32")), *test) for p in preferences])
        separate.append([])
        for p in COMPARED:
            single = train(network(), batches(*parts["train"], np.random.default_rng(seed), p), steps)
            separate[-1].append(losses(single, *test))
    curves, separate = np.array(curves), np.array(separate)
    print(f"{model.count_params():,} parameters of the hypernetwork, {single.count_params():,} of each network")
    by_name = {"hypernetwork": curves[:, [1, 5, 9]], "separate": separate}
    for column, p in enumerate(COMPARED):
        for name, values in by_name.items():
            left, right = np.mean(values[:, column], axis=0)
            weighted = values[:, column] @ [p, 1 - p]
            spread = np.std(weighted, ddof=1) if seeds > 1 else 0
            print(f"preference ({p}, {1 - p:.1f}), {name}: losses {left:.3f} and {right:.3f}, ", end="")
            print(f"weighted {np.mean(weighted):.3f} ± {spread:.3f}")
    draw(chosen.out, np.mean(curves, axis=0), np.mean(separate, axis=0))
    print(f"The picture is {chosen.out}.")
    return {name: np.mean(values, axis=0).tolist() for name, values in by_name.items()}


if __name__ == "__main__":
    main()
