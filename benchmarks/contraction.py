"""The time of `contraction="auto"` against the better route.

    python benchmarks/contraction.py [--quick]

Times HyperDense with each route, forward and backward, interleaved, on one thread, over a grid of input_dim, units, R,
P and batch; `auto` is the route that `plan` chooses. Goal: `auto` takes at most 1.15 times the time of the better
route. The goal is missed at a few points near the border between the routes, which the script counts. About seven
minutes; --quick takes every fifth point and writes contraction_quick.json.
"""

import itertools
import os
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from measure import interleaved, medians, report

from keras_hypernet.layers import HyperDense
from keras_hypernet.layers.contraction import ROUTES

GRID = {
    "input_dim": (4, 16, 64, 784, 3072),
    "units": (10, 64, 512),
    "rank": (8, 50, 100),
    "points": (1, 16, 128),
    "batch": (8, 64, 256),
}
MOST_ENTRIES = 4e7  # of the largest tensor; larger points take gigabytes, and seconds per call
MOST_OPERATIONS = 4e9


def step(route, input_dim, units, rank, points, batch):
    """Returns a function that runs a layer forward and backward: gradients of x, the condition and the weights."""
    layer = HyperDense(units, contraction=route)
    x = tf.random.normal((batch, input_dim) if points == 1 else (batch, points, input_dim))
    condition = tf.random.normal((batch, rank))
    layer(x, condition)

    @tf.function
    def run(x, condition):
        with tf.GradientTape() as tape:
            tape.watch((x, condition))
            loss = tf.reduce_sum(layer(x, condition) ** 2)
        gradients = tape.gradient(loss, (x, condition, *layer.trainable_variables))
        return [tf.reduce_sum(gradient[0]) for gradient in gradients]

    return lambda: [float(value) for value in run(x, condition)]


def grid():
    """Yields the points of the grid within the limits, as dicts."""
    for values in itertools.product(*GRID.values()):
        point = dict(zip(GRID, values, strict=True))
        rows = point["batch"] * point["points"]
        largest = max(
            point["input_dim"] * point["units"] * max(point["rank"], point["batch"]),
            rows * point["rank"] * point["units"],
            rows * point["input_dim"],
        )
        operations = rows * point["input_dim"] * point["rank"] * point["units"]
        if largest <= MOST_ENTRIES and operations <= MOST_OPERATIONS:
            yield point


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    points = list(grid())
    if "--quick" in sys.argv:
        points = points[::5]
    rows = []
    for point in points:
        x_shape, condition_shape = (
            (point["batch"], point["points"], point["input_dim"]),
            (point["batch"], point["rank"]),
        )
        layer = HyperDense(point["units"])
        layer.build(x_shape, condition_shape)
        chosen = layer.plan(x_shape, condition_shape)
        contenders = {route: step(route, **point) for route in ROUTES}
        times = interleaved(contenders, rounds=3, warmup=2)
        repeats = int(0.15 / max(sum(medians(times).values()), 1e-4))
        times = medians(interleaved(contenders, rounds=max(3, min(30, repeats)), warmup=0))
        ratio = times[chosen.route] / min(times.values())
        milliseconds = [1000 * times[route] for route in ROUTES]
        rows.append([*point.values(), *milliseconds, chosen.route, ratio])
    rows.sort(key=lambda row: -row[-1])
    ratios = [row[-1] for row in rows]
    mean, above = statistics.mean(ratios), sum(ratio > 1.15 for ratio in ratios)
    columns = [*GRID, *(f"{route} (ms)" for route in ROUTES), "auto takes", "auto / better"]
    report(
        "contraction_quick" if "--quick" in sys.argv else "contraction",
        f"The ten worst of {len(rows)} points",
        columns,
        rows[:10],
        points=len(rows),
        all_rows=rows,
        mean=mean,
        worst=ratios[0],
    )
    print(f"auto takes {mean:.3f} times the better time; more than 1.15 times at {above} of {len(rows)} points.")


if __name__ == "__main__":
    main()
