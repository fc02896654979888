"""A curve from a few of its points: a hypernetwork reads a set of points, and predicts the others with uncertainty.

    python examples/curve_from_points.py [--seeds 3] [--quick] [--out curves.png]

The curves are sines of random amplitude (0.5 to 1.5) and phase, with noise of standard deviation 0.1. The condition is
the set of observed points (x, y), of any size. From this set, the hypernetwork generates the 502 weights of a small
network, which maps any other x to the mean and the logarithm of the standard deviation of y:

    f: each point -> 64 -> 64, the mean over the set -> 64;    g: x -> 20 -> 20 -> 2, written by f

The training draws new curves for each step, and the loss is the Gaussian negative log-likelihood. `--out` draws one
curve with bands of two standard deviations, for 1, 4 and 10 observed points.
The result of the command, log-likelihoods of a point in nats, means and standard deviations over three seeds:

    observed points: 1, log-likelihood -0.692 ± 0.016
    observed points: 4, log-likelihood 0.408 ± 0.032
    observed points: 10, log-likelihood 0.680 ± 0.014
    constant Gaussian, log-likelihood -1.128

A model that knows the curve has 0.884: the rest is noise. The command takes a minute and a half of processor time.
--quick takes seven seconds; it has a tenth of the steps.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

import keras_hypernet as kh

OBSERVED, NOISE = (1, 4, 10), 0.1


def curves(random, number, observed, points=32):
    """Inputs and targets: sets of observed points `[B, observed, 2]`, other points x `[B, points, 1]`, and their y."""
    x = random.uniform(-np.pi, np.pi, (number, observed + points, 1))
    amplitude, phase = random.uniform(0.5, 1.5, (number, 1, 1)), random.uniform(-np.pi, np.pi, (number, 1, 1))
    y = amplitude * np.sin(x + phase) + NOISE * random.normal(size=x.shape)
    both = np.concatenate([x, y], axis=-1).astype("float32")
    return {"x": both[:, observed:, :1], "condition": both[:, :observed]}, both[:, observed:, 1:]


def batches(random):
    """Yields batches without end: 32 curves each, of 1 to 10 observed points in turns."""
    while True:
        for observed in range(1, 11):
            yield curves(random, 32, observed)


def make():
    """The hypernetwork of x `[B, P, 1]` and a set of points `[B, any number, 2]`."""
    f = keras.Sequential(
        [
            keras.Input((None, 2)),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.GlobalAveragePooling1D(),  # the mean over the set: the order of the points does not matter
            layers.Dense(64, "relu"),
        ]
    )
    return kh.Hypernetwork(
        f, [kh.layers.HyperDense(20, "relu"), kh.layers.HyperDense(20, "relu"), kh.layers.HyperDense(2)]
    )


def surprise(y, outputs):
    """The Gaussian negative log-likelihood `[B, P]` of y `[B, P, 1]`; outputs `[B, P, 2]`: mean and log deviation."""
    mean, log = outputs[..., 0], outputs[..., 1]
    return log + 0.5 * ops.square((y[..., 0] - mean) * ops.exp(-log)) + 0.5 * np.log(2 * np.pi)


def draw(path, model):
    """One curve for each number of observed points: the points, the true curve, the mean and the band."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(OBSERVED), figsize=(10, 3), sharey=True, layout="constrained")
    random, grid = np.random.default_rng(2), np.linspace(-np.pi, np.pi, 100)
    x = random.uniform(-np.pi, np.pi, max(OBSERVED))
    points = np.stack([x, 1.2 * np.sin(x + 1) + NOISE * random.normal(size=x.shape)], axis=-1)
    for axis, observed in zip(axes, OBSERVED, strict=True):
        weights = model.generate(points[np.newaxis, :observed].astype("float32"))  # f runs once for the whole curve
        mean, log = np.array(model.apply(grid.astype("float32")[np.newaxis, :, np.newaxis], weights))[0].T
        axis.fill_between(grid, mean - 2 * np.exp(log), mean + 2 * np.exp(log), alpha=0.3)
        axis.plot(grid, mean)
        axis.plot(grid, 1.2 * np.sin(grid + 1), "k:")
        axis.plot(*points[:observed].T, "ko")
        axis.set(title=f"observed points: {observed}", xlabel="x")
    axes[0].set_ylabel("y")
    figure.savefig(path, dpi=150)


def main(arguments=None):
    """Trains with each seed, prints and returns mean log-likelihoods by number of points, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, help="default: 3, and 1 with --quick")
    parser.add_argument("--out", default="curves.png")
    parser.add_argument("--quick", action="store_true", help="500 steps instead of 5,000")
    chosen = parser.parse_args(arguments)
    steps, seeds = 500 if chosen.quick else 5000, chosen.seeds or (1 if chosen.quick else 3)
    tests = {observed: curves(np.random.default_rng([1, observed]), 1000, observed) for observed in OBSERVED}
    found = {observed: [] for observed in OBSERVED}
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model = make()
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)), surprise)
        model.fit(batches(np.random.default_rng(seed)), steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
        for observed, (inputs, y) in tests.items():
            found[observed].append(-float(np.mean(surprise(y, model(inputs)))))
    for observed, values in found.items():
        spread = np.std(values, ddof=1) if seeds > 1 else 0
        print(f"observed points: {observed}, log-likelihood {np.mean(values):.3f} ± {spread:.3f}")
    _, y = curves(np.random.default_rng(0), 10_000, 1)
    outputs = np.broadcast_to(np.array([y.mean(), np.log(y.std())], "float32"), (1000, 32, 2))
    constant = float(np.mean([-np.mean(surprise(targets, outputs)) for _, targets in tests.values()]))
    print(f"constant Gaussian, log-likelihood {constant:.3f}")
    draw(chosen.out, model)
    print(f"The picture is {chosen.out}.")
    return {**{observed: float(np.mean(values)) for observed, values in found.items()}, "constant": constant}


if __name__ == "__main__":
    main()
