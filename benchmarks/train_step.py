"""One training step of the rotation/CIFAR-10 hypernetwork: both routes, PyTorch, and the necessary GEMMs alone.

    pip install -e '.[benchmarks]' && python benchmarks/train_step.py

Batch 64, one thread, all interleaved in one process; then the growth of the peak memory in steps of batch 256,
each contender in a new process, for the paper's g of 10 hidden units and for a g of 100 (308,400 weights). About a
minute. Goals: the factorised route takes at most 0.42 of the materialised route's time, 0.30 of PyTorch's time, and a
quarter of PyTorch's memory; the GEMMs take at least 75% of its time. The ratios depend on the speed of GEMMs on the
processor and in the libraries. `and updates` computes only these GEMMs, and subtracts each gradient from its weights in
one pass: a step of TensorFlow without overhead. `mixed_bfloat16` has the goal of 0.70 of float32's time where the
processor has instructions for bfloat16. Such a step also casts each weight to bfloat16 and each gradient back: the
limit is `and updates, bfloat16`, which may be above the goal.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from measure import interleaved, medians, memory_in_new_process, peak_memory_growth, random_batch, report

from keras_hypernet import RotationTask, paper_recipe
from keras_hypernet.layers import HyperDense
from keras_hypernet.zoo import architectures

ROUTES = ("factorised", "materialised")
STEPS = 5  # per call, as in training with steps_per_execution
ROUNDS = 15
# Rows and columns of the two bases and of f's kernels.
SIZES = [(3072, 101 * 10), (10, 101 * 12), (3072, 100), (100, 100), (100, 100)]


def keras_step(route, batch, policy="float32", units=architectures.HIDDEN_UNITS):
    """Returns a function that does STEPS training steps of the model of the zoo."""
    # Small steps neither learn random labels nor diverge.
    task = RotationTask("cifar10")
    keras.config.set_dtype_policy(policy)
    model = architectures.build_model(task, "hyper", paper_recipe(task, learning_rate=1e-6, primary_units=units))
    keras.config.set_dtype_policy("float32")
    for layer in model.primary:
        if isinstance(layer, HyperDense):
            layer.contraction = route
    model.steps_per_execution = STEPS
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(random_batch(batch)).repeat())

    def run():
        return float(model.train_function(batches)["loss"])

    return run


def torch_step(batch, units=architectures.HIDDEN_UNITS):
    """Returns the same for a typical PyTorch hypernetwork: nn.Linear writes the weights, bmm applies them."""
    import torch
    from torch_models import TorchModel, train_step

    torch.set_num_threads(1)
    images, labels = random_batch(batch)
    images = {name: torch.from_numpy(value) for name, value in images.items()}
    step = train_step(TorchModel("hyper", units), images, torch.from_numpy(labels))
    return lambda: [float(step()) for _ in range(STEPS)]


def gemms(batch, dtype="float32", update=False):
    """Returns a function that computes the bare matrix products of STEPS steps: forward and weight gradients.

    The products are those of the two bases and of f, without gradients of activations. With `update`, the weights are
    float32: each weight is cast to `dtype`, and each gradient is cast to float32 and subtracted in one pass.
    """
    inputs = [tf.random.normal((batch, rows), dtype=dtype) for rows, _ in SIZES]
    weights = [tf.Variable(tf.random.normal(shape, dtype="float32" if update else dtype)) for shape in SIZES]
    gradients = [tf.random.normal((batch, columns), dtype=dtype) for _, columns in SIZES]

    @tf.function
    def step():
        total = tf.constant(0.0, dtype)
        for x, weight, gradient in zip(inputs, weights, gradients, strict=True):
            # One number of each product keeps the graph from dropping the product.
            total += tf.matmul(x, tf.cast(weight, dtype))[0, 0]
            of_weight = tf.matmul(x, gradient, transpose_a=True)
            if update:
                delta = tf.cast(of_weight, "float32")
                tf.raw_ops.ResourceApplyGradientDescent(var=weight.handle, alpha=1e-6, delta=delta)
            else:
                total += of_weight[0, 0]
        return total

    return lambda: [float(step()) for _ in range(STEPS)]


def make(name, batch, units=architectures.HIDDEN_UNITS):
    """Returns the step function of a contender."""
    return torch_step(batch, units) if name == "PyTorch" else keras_step(name, batch, units=units)


def has_bfloat16():
    """Whether the processor has instructions for products of bfloat16; Linux only."""
    return any(flag in pathlib.Path("/proc/cpuinfo").read_text().split() for flag in ("avx512_bf16", "amx_bf16"))


def memory_growth(name, units):
    """Runs this script in a new process; returns the peak growth of its memory in steps of batch 256, in MiB."""
    return memory_in_new_process(__file__, name, units)


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if len(sys.argv) > 1:
        name, units = sys.argv[1], int(sys.argv[2])
        make(name, 8, units)()  # loads everything with a tiny batch
        run = make(name, 256, units)  # creates weights and batch
        print(json.dumps(peak_memory_growth(run)))
        return
    contenders = {name: make(name, 64) for name in (*ROUTES, "PyTorch")}
    all_contenders = {**contenders, "bare GEMMs": gemms(64), "and updates": gemms(64, update=True)}
    all_contenders["mixed_bfloat16"] = keras_step("factorised", 64, "mixed_bfloat16")
    all_contenders["bare GEMMs, bfloat16"] = gemms(64, "bfloat16")
    all_contenders["and updates, bfloat16"] = gemms(64, "bfloat16", update=True)
    times = medians(interleaved(all_contenders, ROUNDS))
    growth = {name: [memory_growth(name, units) for units in (10, 100)] for name in contenders}
    best = "factorised"
    rows = []
    for name, time in times.items():
        memory = [
            value
            for mine, least in zip(growth.get(name, []), growth[best], strict=False)
            for value in (mine, least / mine)
        ]
        rows.append([name, 1000 * time / STEPS, times[best] / time, *(memory or [""] * 4)])
    share = times["bare GEMMs"] / times[best]
    columns = [
        *("", "ms a step", "factorised / this"),
        *("peak growth, 10 units (MiB)", "factorised / this", "peak growth, 100 units (MiB)", "factorised / this"),
    ]
    title = "Training step of rotation/CIFAR-10, batch 64, one thread; memory at batch 256"
    report("train_step", title, columns, rows, share_of_gemms=share, bfloat16_instructions=has_bfloat16())
    print(f"The bare GEMMs take {100 * share:.0f}% of the factorised step.")


if __name__ == "__main__":
    main()
