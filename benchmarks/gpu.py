"""The routes of HyperDense and HyperConv2D, and the training step of rotation/CIFAR-10, on a GPU.

    pip install -e '.[benchmarks,backends]' && python benchmarks/gpu.py [--quick]

Measures each installed framework of Keras, in a separate process, for float32 with products in TF32, for float32 in
full precision, and for mixed_bfloat16:

- a layer forward and backward, with the gradients of x, the condition and the basis, by each route; the bare matrix
  products of the routes, on operands in the best layout; the route that `auto` takes. JAX and TensorFlow run compiled
  calls, the latter without XLA, PyTorch a CUDA graph, so that no time of Python counts. A seeded shuffle orders the
  shapes, and each framework measures as many of them as it can in its time;
- the training step, with its memory: see `gpu_step.py`;
- `pytest -m gpu`, the tests of conformance.

Calls are queued before the script waits for them; a time is the share of one call. The contenders take turns, after a
warm-up, and the result is the median. Takes less than five minutes. --quick runs tiny sizes and no tests, on any
machine, and writes gpu_quick.json. After a run, `plan_costs.py` shows which cost `plan` should use on the device.
"""

import concurrent.futures
import functools
import importlib.util
import itertools
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import time

from frameworks import FRAMEWORKS, PRECISIONS
from measure import interleaved, medians, random_values, report

FOLDER = pathlib.Path(__file__).parent
QUICK = "--quick" in sys.argv
GRID = {
    "input_dim": (64, 784, 3072),
    "units": (10, 128, 512),
    "rank": (10, 100),
    "conditions": (1, 32, 256),
    "points": (1, 16, 256),  # for each condition
}
TINY = {"input_dim": (8,), "units": (4,), "rank": (3,), "conditions": (1, 2), "points": (5,)}
MOST_ENTRIES = 5e7  # of the largest tensor
MOST_OPERATIONS = 1e12
ROUTES = ("factorised", "materialised")
MOST_SHAPES = 60
# Batch, size of the image, channels, filters, dimension of the condition; a kernel of 3 x 3 for each image.
CONVOLUTIONS = [
    *[(64, 32, 16, 32, 32), (16, 16, 64, 64, 16), (64, 8, 128, 128, 16)],
    *[(256, 16, 32, 32, 16), (64, 64, 8, 8, 16), (16, 32, 64, 128, 16)],
]
TINY_CONVOLUTIONS = [(2, 4, 3, 5, 2)]
SECONDS = {"jax": 24, "torch": 8, "tensorflow": 16}  # for the shapes of one precision, their compilation included


def shapes():
    """The shapes within the limits, as dicts in a random but fixed order, the paper's first."""
    grid = TINY if QUICK else GRID
    found = []
    for values in itertools.product(*grid.values()):
        shape = dict(zip(grid, values, strict=True))
        rows, basis = shape["conditions"] * shape["points"], shape["input_dim"] * (shape["rank"] + 1) * shape["units"]
        kernels = shape["conditions"] * shape["input_dim"] * shape["units"]
        largest = max(basis, rows * (shape["rank"] + 1) * shape["units"], kernels, rows * shape["input_dim"])
        if rows > 1 and largest <= MOST_ENTRIES and 6 * rows * basis <= MOST_OPERATIONS:
            found.append(shape)
    random.Random(0).shuffle(found)
    paper = {"input_dim": 3072, "units": 10, "rank": 100, "conditions": 256, "points": 1}
    return sorted(found, key=lambda shape: shape != paper)[:MOST_SHAPES]


def precisions():
    """The precisions to measure; on a CPU, which has no TF32, one that runs all code is enough."""
    return PRECISIONS[-1:] if QUICK else PRECISIONS


def input_shapes(shape):
    """The shapes of x and the condition: one condition serves the batch, or each of them serves its points."""
    features, rank, conditions, points = (shape[name] for name in ("input_dim", "rank", "conditions", "points"))
    if conditions == 1:
        return (points, features), (1, rank)
    return ((conditions, features) if points == 1 else (conditions, points, features)), (conditions, rank)


def layer_call(framework, layer, x_shape, condition_shape):
    """The pair of a function and its operands: a layer forward and backward."""
    layer.build(x_shape, condition_shape)
    shapes = x_shape, condition_shape, *(tuple(variable.shape) for variable in layer.trainable_variables)
    tensors = [framework.tensor(random_values(*shape), "float32") for shape in shapes]
    result = random_values(*layer.compute_output_shape(x_shape, condition_shape))
    cotangent = framework.tensor(result, layer.compute_dtype)

    def call(x, condition, *weights_and_cotangent):
        *weights, cotangent = weights_and_cotangent

        def output(x, condition, *weights):
            return layer.stateless_call(weights, [], x, condition)[0]

        return framework.gradients(output, (x, condition, *weights), cotangent)

    return call, (*tensors, cotangent)


def products_call(framework, pairs, dtype):
    """The pair of a function and its operands: products of matrices of pairs of shapes, forward and backward."""
    from keras import ops

    triples = [(left, right, (*left[:-1], right[-1])) for left, right in pairs]
    operands = [framework.tensor(random_values(*each), dtype) for triple in triples for each in triple]

    def call(*operands):
        results = []
        for left, right, product in zip(*[iter(operands)] * 3, strict=True):
            results += [
                ops.matmul(left, right),
                ops.matmul(product, ops.swapaxes(right, -1, -2)),
                ops.matmul(ops.swapaxes(left, -1, -2), product),
            ]
        return results

    return call, tuple(operands)


def dense_products(route, input_dim, units, rank, conditions, points):
    """Pairs of shapes: the products of a route of HyperDense."""
    if route == "factorised":
        return [((conditions * points, input_dim), (input_dim, (rank + 1) * units))]
    written = (conditions, rank + 1), (rank + 1, input_dim * units)
    if conditions == 1:
        return [written, ((points, input_dim), (input_dim, units))]
    return [written, ((conditions, points, input_dim), (conditions, input_dim, units))]


def dtypes(precision):
    """The policy of a layer and the dtype of bare products."""
    return ("mixed_bfloat16", "bfloat16") if precision == "bfloat16" else ("float32", "float32")


def measure_dense(framework, shape, precision):
    """Returns a row of the table."""
    from keras_hypernet.layers import HyperDense

    policy, dtype = dtypes(precision)
    shapes = input_shapes(shape)
    calls = {}
    for route in ROUTES:
        layer = HyperDense(shape["units"], use_bias=False, contraction=route, dtype=policy)
        calls[route] = layer_call(framework, layer, *shapes)
    calls |= {f"products {route}": products_call(framework, dense_products(route, **shape), dtype) for route in ROUTES}
    times = queued_times(framework.compile(calls), framework.wait, 0.02 if QUICK else 0.2)
    layer = HyperDense(shape["units"], dtype=policy)
    layer.build(*shapes)
    chosen = layer.plan(*shapes).route
    best = min(times[route] for route in ROUTES)
    least = min(times[f"products {route}"] for route in ROUTES)
    return [*shape.values(), *(1000 * time for time in times.values()), chosen, times[chosen] / best, best / least]


def measure_convolution(framework, shape, precision):
    """Returns a row of the table of convolutions; None for a route that is not measured."""
    import keras

    from keras_hypernet.layers import HyperConv2D
    from keras_hypernet.layers.contraction import convolution_route
    from keras_hypernet.layers.sample_convolution import ROUTES as WRITTEN

    batch, size, channels, filters, rank = shape
    policy, dtype = dtypes(precision)
    backend, x_shape = keras.config.backend(), (batch, size, size, channels)
    routes = [route for route in WRITTEN if (backend, route) != ("jax", "mapped")]  # XLA compiles each convolution
    calls, options = {}, {"padding": "same", "use_bias": False, "data_format": "channels_last", "dtype": policy}
    for route in routes:
        layer = HyperConv2D(filters, 3, contraction=route, **options)
        calls[route] = layer_call(framework, layer, x_shape, (batch, rank))
    written = (batch, rank + 1), (rank + 1, 9 * channels * filters)
    patches = (batch, size * size, 9 * channels), (batch, 9 * channels, filters)
    calls["products"] = products_call(framework, [written, patches], dtype)
    times = queued_times(framework.compile(calls), framework.wait, 0.02 if QUICK else 0.2)
    chosen = convolution_route(backend, backend == "jax", x_shape, (3, 3, channels, filters))
    best = min(times[route] for route in routes)
    milliseconds = [1000 * times[route] if route in times else None for route in (*WRITTEN, "products")]
    return [*shape, *milliseconds, chosen, times[chosen] / best, best / times["products"]]


def queued_times(calls, wait, seconds=0.2):
    """The median time of each call in seconds, where calls are queued; about `seconds` in all."""

    def blocked(call, repeats):
        def run():
            for _ in range(repeats):
                result = call()
            wait(result)

        return run

    first = medians(interleaved({name: blocked(call, 1) for name, call in calls.items()}, rounds=3, warmup=2))
    # At least a millisecond between two waits, since a wait takes tens of microseconds.
    repeats = {name: min(50, math.ceil(0.001 / first[name])) for name in calls}
    rounds = max(3, min(20, int(seconds / sum(first[name] * repeats[name] for name in calls))))
    queued = {name: blocked(call, repeats[name]) for name, call in calls.items()}
    return {name: time / repeats[name] for name, time in medians(interleaved(queued, rounds, warmup=1)).items()}


def measure_routes(name):
    """Prints the rows of a framework, by precision, as JSON."""
    framework = FRAMEWORKS[name]()
    rows, convolutions = [], []
    for precision in precisions():
        framework.set_precision(precision)
        started = time.perf_counter()
        pairs = itertools.zip_longest(shapes(), TINY_CONVOLUTIONS if QUICK else CONVOLUTIONS)
        jobs = [(measure, shape) for pair in pairs for measure, shape in zip(MEASURES, pair, strict=True) if shape]
        for measure, shape in jobs:
            if not QUICK and time.perf_counter() - started > SECONDS[name]:
                break
            table = rows if measure is measure_dense else convolutions
            table.append([name, precision, *measure(framework, shape, precision)])
    print(json.dumps({"device": framework.device(), "rows": rows, "convolutions": convolutions}))


MEASURES = measure_dense, measure_convolution


def measure_step():
    """Prints the training step's rows, by precision and batch, as JSON."""
    import gpu_step

    difference = gpu_step.difference()
    rows = []
    for precision, batch in itertools.product(precisions(), (4,) if QUICK else (64, 256)):
        runs, memory = gpu_step.contenders(precision, batch)
        times = queued_times(runs, gpu_step.wait, 0.02 if QUICK else 1)
        fast = times["factorised"]
        rows += [[precision, batch, name, 1000 * time, fast / time, memory[name]] for name, time in times.items()]
    print(json.dumps({"device": gpu_step.PyTorch().device(), "difference": difference, "rows": rows}))


def run_tests(name):
    """Prints the last line of the tests of conformance, as JSON."""
    # The warnings of other versions than those of the tests do not count.
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(min(12, os.cpu_count())), "-o", "filterwarnings="]
    command += ["-m", "gpu", "tests/layers", "tests/bases", "tests/models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER.parent, timeout=150)
    lines = done.stdout.strip().splitlines()
    print(
        json.dumps({"summary": lines[-1], "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))]})
    )


def in_process(part, name):
    """What a part prints as JSON, run in a new process with a framework; or why there is nothing."""
    if importlib.util.find_spec(name) is None:
        return {"not measured": f"{name} is not installed"}
    environment = {**os.environ, "KERAS_BACKEND": name, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, __file__, *sys.argv[1:], part, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return {"not measured": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


# This process, which starts those of the parts, imports no framework.
PARTS = {"routes": measure_routes, "step": lambda _: measure_step(), "tests": run_tests}


def main():
    if len(sys.argv) > 2:
        part, name = sys.argv[-2:]
        PARTS[part](name)
        return
    routes = {name: in_process("routes", name) for name in FRAMEWORKS}
    step = in_process("step", "jax")
    tests = {}
    if not QUICK:
        with concurrent.futures.ThreadPoolExecutor() as pool:  # nothing is timed any more
            tests = dict(zip(FRAMEWORKS, pool.map(functools.partial(in_process, "tests"), FRAMEWORKS), strict=True))
    rows, convolutions = (
        [row for measured in routes.values() for row in measured.get(table, [])] for table in ("rows", "convolutions")
    )
    rows.sort(key=lambda row: -row[-2])
    columns = ["framework", "precision", *GRID, *(f"{route} (ms)" for route in ROUTES)]
    columns += [*(f"products {route} (ms)" for route in ROUTES), "auto takes", "auto / better", "better / products"]
    convolution_columns = ["framework", "precision", "batch", "size", "channels", "filters", "rank"]
    convolution_columns += [f"{name} (ms)" for name in ("mapped", "grouped", "shifts", "patches", "products")]
    convolution_columns += ["auto takes", "auto / fastest", "fastest / products"]
    report(
        "gpu_quick" if QUICK else "gpu",
        f"The ten worst of {len(rows)} measurements",
        columns,
        rows[:10],
        all_rows=rows,
        convolutions={"columns": convolution_columns, "rows": convolutions},
        devices={name: measured.get("device", measured.get("not measured")) for name, measured in routes.items()},
        step=step,
        tests=tests,
    )


if __name__ == "__main__":
    main()
