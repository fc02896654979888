"""HyperConv2D, which has a kernel for each image, against a plain Conv2D of the same shape.

    python benchmarks/conv.py [--quick]

Forward, and the gradients of x, the condition and the basis, interleaved, on one thread, on four shapes; the plain
convolution has the gradients of x and its kernel. Goals, in times of the plain convolution without XLA: HyperConv2D
with `Full` at most 2.0, on the last shape 3.1; compiled by XLA at most 2.9; with `LowRank(8)` at most 1.9. On a grid of
small shapes, `auto` takes at most 1.15 times the fastest route. The peak memory of a step, each contender in a new
process, grows by at most the growth of the plain convolution and 2.5 times the kernels of the batch and the basis.
About ten minutes; --quick takes small shapes and writes conv_quick.json.
"""

import itertools
import json
import os
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from measure import interleaved, medians, memory_in_new_process, peak_memory_growth, report

from keras_hypernet.bases import LowRank
from keras_hypernet.layers import HyperConv2D
from keras_hypernet.layers.contraction import convolution_route

# Batch, size of the image, channels, filters, dimension of the condition.
SHAPES = [(64, 32, 16, 32, 32), (16, 16, 64, 64, 16), (32, 28, 16, 16, 16), (64, 8, 128, 128, 16)]
QUICK_SHAPES = [(4, 8, 4, 8, 4)]
GRID = list(itertools.product((8, 32), (8, 24), (8, 64), (8, 64), (16,)))
ROUTES = ("mapped", "shifts", "patches")  # "grouped" takes half a minute on the first shape
CONTENDERS = ("plain", "Full", "LowRank(8)", "Full, XLA", "LowRank(8), XLA")


def layer_of(name, filters, contraction="auto"):
    """The layer of a contender."""
    if name.startswith("plain"):
        return keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
    basis = LowRank(8) if name.startswith("LowRank") else None
    layer = HyperConv2D(filters, 3, padding="same", use_bias=False, basis=basis, contraction=contraction)
    layer.compiled_by_xla = name.endswith("XLA")  # as `compile` of a model does
    return layer


def step(name, batch, size, channels, filters, rank, contraction="auto"):
    """Returns a function that runs a layer forward and backward."""
    layer = layer_of(name, filters, contraction)
    inputs = [tf.random.normal((batch, size, size, channels))]
    if not name.startswith("plain"):
        inputs.append(tf.random.normal((batch, rank)))
    layer.build(*(value.shape for value in inputs))
    return forward_backward(layer, inputs, name.endswith("XLA"))


def forward_backward(layer, inputs, xla=False):
    """Returns a function that runs a layer, and returns the sum of each gradient."""

    @tf.function(jit_compile=xla)
    def run(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(*inputs) ** 2)
        gradients = tape.gradient(loss, (*inputs, *layer.trainable_variables))
        return [tf.reduce_sum(gradient) for gradient in gradients]

    return lambda: [float(value) for value in run(inputs)]


def against_plain(shapes, rounds, processes):
    """A row for each shape: the milliseconds of the plain convolution, and the ratios of the others."""
    for shape in shapes:
        times = medians(interleaved({name: step(name, *shape) for name in CONTENDERS}, rounds))
        plain = times.pop("plain")
        growth = {name: memory_growth(name, shape, processes) for name in ("plain", "Full")}
        batch, _, channels, filters, rank = shape
        kernels = 9 * channels * filters * (batch + rank + 1) * 4 / 2**20
        allowed = (growth["Full"] - growth["plain"]) / kernels
        yield [*shape, 1000 * plain, *(time / plain for time in times.values()), *growth.values(), allowed]


def auto_against_routes(grid, rounds):
    """A row for each shape, without XLA and with it: the route of `auto`, and its time in times of the fastest."""
    for shape, xla in itertools.product(grid, (False, True)):
        name = "Full, XLA" if xla else "Full"
        # XLA runs a map over convolutions ten times slower.
        routes = [route for route in ROUTES if not (xla and route == "mapped")]
        times = medians(interleaved({route: step(name, *shape, route) for route in routes}, rounds))
        batch, size, channels, filters, _ = shape
        chosen = convolution_route("tensorflow", xla, (batch, size, size, channels), (3, 3, channels, filters))
        milliseconds = [1000 * times[route] if route in times else None for route in ROUTES]
        yield [*shape, xla, *milliseconds, chosen, times[chosen] / min(times.values())]


def memory_growth(name, shape, processes):
    """Returns the peak growth of memory in steps of a contender, in MiB: the median of some new processes."""
    return statistics.median(memory_in_new_process(__file__, "--memory", name, *shape) for _ in range(processes))


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if "--memory" in sys.argv:
        name, *shape = sys.argv[2:]
        step(name, 2, 8, 4, 4, 4)()  # loads everything with a tiny batch
        print(json.dumps(peak_memory_growth(step(name, *map(int, shape)))))
        return
    quick = "--quick" in sys.argv
    rows = list(against_plain(QUICK_SHAPES, 3, processes=1) if quick else against_plain(SHAPES, 15, processes=3))
    auto = list(auto_against_routes(GRID[:1] if quick else GRID, 3 if quick else 7))
    columns = ["batch", "size", "channels", "filters", "rank", "plain (ms)", *CONTENDERS[1:]]
    memory = ["plain grows (MiB)", "Full grows (MiB)", "Full - plain, in kernels and basis"]
    grid_columns = [*columns[:5], "XLA", *(f"{route} (ms)" for route in ROUTES), "auto takes", "auto / fastest"]
    report(
        "conv_quick" if quick else "conv",
        "A convolution with a kernel for each image, in times of a plain Conv2D without XLA; one thread",
        [*columns, *memory],
        rows,
        grid={"columns": grid_columns, "rows": auto},
        worst_auto=max(row[-1] for row in auto),
    )
    print(f"auto takes at most {max(row[-1] for row in auto):.2f} times the fastest route on a grid of {len(auto)}.")


if __name__ == "__main__":
    main()
