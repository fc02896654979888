"""Each basis on a layer of 784 -> 256 and of 4096 -> 4096: parameters, and time and memory of a step.

    python benchmarks/bases.py [--quick]

HyperDense with R = 64, batch 64, one thread, without XLA: the gradients of x, z and all variables, and an update of the
variables by SGD. The contenders of a shape take turns; the memory is the growth of the peak in a new process. Goal: at
4096 -> 4096, the step of LowRank(16) takes at most 1.5 times the time and 1.3 times the memory of the step of a plain
Dense layer. Full would need 4 GiB of variables there, and is left out. Takes about three minutes; --quick uses smaller
layers, and writes bases_quick.json.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from measure import interleaved, medians, memory_in_new_process, peak_memory_growth, report

from keras_hypernet.bases import Chunked, Full, LowRank, Mixture
from keras_hypernet.layers import HyperDense

BATCH, RANK = 64, 64
QUICK = "--quick" in sys.argv
SHAPES = [(64, 32), (128, 128)] if QUICK else [(784, 256), (4096, 4096)]
BASES = {
    "Dense": None,
    "Full()": lambda: Full(),
    "Mixture(8)": lambda: Mixture(8),
    "LowRank(16)": lambda: LowRank(16),
    "LowRank(16), K0 frozen at zero": lambda: LowRank(16, train_constant=False),
    "Chunked(4096, 16)": lambda: Chunked(4096, 16, train_constant=False),
}
MOST_PARAMETERS = 3e8  # of the variables, and entries of written weights: more takes gigabytes


def make_layer(name, inputs, outputs):
    """Returns a built layer."""
    layer = keras.layers.Dense(outputs) if name == "Dense" else HyperDense(outputs, basis=BASES[name]())
    layer.build((BATCH, inputs), *([(BATCH, RANK)] if name != "Dense" else []))
    return layer


def step(name, inputs, outputs):
    """Returns a function that does a training step of one layer."""
    layer = make_layer(name, inputs, outputs)
    x, z = tf.random.normal((BATCH, inputs)), tf.random.normal((BATCH, RANK))
    arguments = (x,) if name == "Dense" else (x, z)

    @tf.function
    def run(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            loss = tf.reduce_mean(layer(*arguments) ** 2)
        of_inputs, gradients = tape.gradient(loss, (arguments, layer.trainable_variables))
        for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
            variable.value.assign_sub(1e-6 * gradient)
        return loss + sum(tf.reduce_sum(gradient[0, 0]) for gradient in of_inputs)

    return lambda: float(run(*arguments))


def num_parameters(name, inputs, outputs):
    """Number of parameters of the kernel."""
    return inputs * outputs if name == "Dense" else BASES[name]().num_parameters((inputs, outputs), RANK)


def fits(name, inputs, outputs):
    """Whether a contender needs no gigabytes."""
    written = BATCH * inputs * outputs if name.startswith("Chunked") else 0
    return max(num_parameters(name, inputs, outputs), written) <= MOST_PARAMETERS


def memory_growth(name, inputs, outputs):
    """Runs this script in a new process; returns the growth of its memory in a step, variables included, in MiB."""
    return memory_in_new_process(__file__, "--memory", name, inputs, outputs)


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if "--memory" in sys.argv:
        name, inputs, outputs = sys.argv[2], *map(int, sys.argv[3:5])
        step(name, 8, 8)()  # loads everything with a tiny layer
        print(json.dumps(peak_memory_growth(lambda: step(name, inputs, outputs)())))
        return
    rows = []
    for shape in SHAPES:
        contenders = {name: step(name, *shape) for name in BASES if fits(name, *shape)}
        times = medians(interleaved(contenders, rounds=5 if QUICK else 15, warmup=2))
        memory = {name: memory_growth(name, *shape) for name in contenders}
        for name in BASES:
            measured = ["", "", "", ""]
            if name in times:
                ratios = times[name] / times["Dense"], memory[name] / memory["Dense"]
                measured = [1000 * times[name], ratios[0], memory[name], ratios[1]]
            rows.append([f"{shape[0]} -> {shape[1]}", name, f"{num_parameters(name, *shape):,}", *measured])
    columns = ["layer", "basis", "parameters of the kernel", "ms a step", "/ Dense", "memory (MiB)", "/ Dense"]
    report("bases_quick" if QUICK else "bases", f"R = {RANK}, batch {BATCH}, one thread", columns, rows)


if __name__ == "__main__":
    main()
