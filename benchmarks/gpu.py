"""The routes of HyperDense, and the training step of rotation/CIFAR-10, on a GPU.

    pip install -e '.[benchmarks,backends]' && python benchmarks/gpu.py [--quick]

Measures with each framework of Keras that is installed, in a process of its own, for float32 with products in TF32, for
float32 in full precision, and for mixed_bfloat16:

- a layer forward and backward, with the gradients of x, the condition and the basis, by both routes; the bare matrix
  products of each route, on operands in the best layout; the route that `plan` chooses. JAX and TensorFlow run compiled
  calls, PyTorch a CUDA graph, so that no time of Python counts. A seeded shuffle orders the shapes, and each framework
  measures as many of them as it can in its time;
- the training step: see `gpu_step.py`;
- the tests of the layers, on the GPU, with products in full precision.

Calls are queued and then waited for; a time is the share of one call. Under five minutes. --quick runs tiny sizes and
no tests, on any machine, and writes gpu_quick.json.
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
SECONDS = {"jax": 20, "torch": 10, "tensorflow": 20}  # for the shapes of one precision, their compilation included


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


def layer_call(framework, shape, route, policy):
    """The pair of a function and its operands: a layer forward and backward."""
    from keras_hypernet.layers import HyperDense

    layer = HyperDense(shape["units"], use_bias=False, contraction=route, dtype=policy)
    x_shape, condition_shape = input_shapes(shape)
    layer.build(x_shape, condition_shape)
    operands = x_shape, condition_shape, (shape["input_dim"], shape["rank"] + 1, shape["units"])
    tensors = [framework.tensor(random_values(*each), "float32") for each in operands]
    cotangent = framework.tensor(random_values(*x_shape[:-1], shape["units"]), layer.compute_dtype)

    def call(x, condition, basis, cotangent):
        def output(x, condition, basis):
            return layer.stateless_call([basis], [], x, condition)[0]

        return framework.gradients(output, (x, condition, basis), cotangent)

    return call, (*tensors, cotangent)


def products_call(framework, shape, route, dtype):
    """The pair of a function and its operands: the matrix products of a route, forward and backward."""
    from keras import ops

    features, units, rank = shape["input_dim"], shape["units"], shape["rank"] + 1
    conditions, points = shape["conditions"], shape["points"]
    if route == "factorised":
        pairs = [((conditions * points, features), (features, rank * units))]
    elif conditions == 1:
        pairs = [((1, rank), (rank, features * units)), ((points, features), (features, units))]
    else:
        pairs = [
            ((conditions, rank), (rank, features * units)),
            ((conditions, points, features), (conditions, features, units)),
        ]
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


def measure_shape(framework, shape, precision):
    """Returns a row of the table."""
    from keras_hypernet.layers import HyperDense

    policy, dtype = ("mixed_bfloat16", "bfloat16") if precision == "bfloat16" else ("float32", "float32")
    calls = {route: layer_call(framework, shape, route, policy) for route in ROUTES}
    calls |= {f"products {route}": products_call(framework, shape, route, dtype) for route in ROUTES}
    times = queued_times(framework.compile(calls), framework.wait, 0.02 if QUICK else 0.2)
    x_shape, condition_shape = input_shapes(shape)
    layer = HyperDense(shape["units"])
    layer.build(x_shape, condition_shape)
    chosen = layer.plan(x_shape, condition_shape).route
    best = min(times[route] for route in ROUTES)
    least = min(times[f"products {route}"] for route in ROUTES)
    return [*shape.values(), *(1000 * time for time in times.values()), chosen, times[chosen] / best, best / least]


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
    rows = {}
    for precision in precisions():
        framework.set_precision(precision)
        started, rows[precision] = time.perf_counter(), []
        for shape in shapes():
            if time.perf_counter() - started > SECONDS[name]:
                break
            rows[precision].append(measure_shape(framework, shape, precision))
    print(json.dumps({"device": framework.device(), "rows": rows}))


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
    """Prints the last line of the tests of the layers, as JSON."""
    environment = {**os.environ, "JAX_DEFAULT_MATMUL_PRECISION": "float32"}  # in TF32, results differ by more than 1e-5
    # The warnings of other versions than those of the tests do not count.
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(min(12, os.cpu_count())), "-o", "filterwarnings="]
    command += ["tests/layers", "tests/bases"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=FOLDER.parent, timeout=150
    )
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
    rows = [
        [name, precision, *row]
        for name, measured in routes.items()
        for precision, found in measured.get("rows", {}).items()
        for row in found
    ]
    rows.sort(key=lambda row: -row[-2])
    columns = ["framework", "precision", *GRID, *(f"{route} (ms)" for route in ROUTES)]
    columns += [*(f"products {route} (ms)" for route in ROUTES), "auto takes", "auto / better", "better / products"]
    report(
        "gpu_quick" if QUICK else "gpu",
        f"The ten worst of {len(rows)} measurements",
        columns,
        rows[:10],
        all_rows=rows,
        devices={name: measured.get("device", measured.get("not measured")) for name, measured in routes.items()},
        step=step,
        tests=tests,
    )


if __name__ == "__main__":
    main()
