"""Neural processes on Gaussian processes: this library, and keras-neural-processes, on the same batches in one run.

    pip install -e '.[benchmarks]' && python benchmarks/neural_processes.py [--quick]

All contenders are trained by the same loop on the same batches of `GaussianProcessTask` with sets of 10 points, by Adam
at the rate 0.001, and measured on the same functions: the log-likelihood of a target, in nats, and that of the exact
posterior. The two conditional neural processes have the same layers; with the same weights, their outputs before the
softplus are equal to 1e-4. keras-neural-processes predicts only positive means, so the targets are shifted by 10, as
are its initial means; this shift does not change the likelihood. Then the processor time of a training step is
measured, compiled by XLA, interleaved, on one thread. Takes twenty minutes; --quick takes a few steps and writes
neural_processes_quick.json. If keras-neural-processes is not installed, the other contenders are measured.
"""

import importlib.metadata
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from measure import interleaved, medians, report

import keras_hypernet as kh
from keras_hypernet.tasks import GaussianProcessTask
from keras_hypernet.tasks.gaussian_process import KERNELS, log_density, mean_and_sigma

QUICK = "--quick" in sys.argv
PEER = "keras-neural-processes"
CONTENDERS = ("process", "film", "hyper", PEER)
STEPS, SEEDS, ROUNDS, WIDTH, BATCH = (4, 1, 3, 16, 4) if QUICK else (3000, 5, 50, 64, 32)
KERNEL_NAMES = ("rbf",) if QUICK else KERNELS
SHIFT = 10.0
MOST_DIFFERENCE = 1e-4


def task_of(kernel):
    sizes = {"num_test": 32} if QUICK else {}
    return GaussianProcessTask(kernel, members=10, num_train=STEPS * BATCH, **sizes)


class Contender:
    """A model, how it is called on inputs `{"x": ..., "condition": ...}`, and its training step."""

    def __init__(self, name, task, seed):
        recipe = kh.Recipe(width=WIDTH, depth=4, primary_units=20, optimizer="adam", learning_rate=0.001, seed=seed)
        keras.utils.set_random_seed(seed)
        self.peer = name == PEER
        self.model = _peer() if self.peer else kh.build_model(task, name, recipe)
        self.optimizer = keras.optimizers.Adam(0.001)
        self._step = tf.function(self._train, jit_compile=True)

    def predict(self, inputs):
        """Mean and standard deviation `[B, P]`."""
        if not self.peer:
            return mean_and_sigma(self.model(inputs))
        x, y = inputs["condition"][..., :1], inputs["condition"][..., 1:]
        mean, sigma = self.model((x, y, inputs["x"], None))
        return mean[..., 0] - SHIFT, sigma[..., 0]

    def _train(self, inputs, y):
        with tf.GradientTape() as tape:
            mean, sigma = self.predict(inputs)
            loss = tf.reduce_mean(tf.math.log(sigma) + 0.5 * ((y[..., 0] - mean) / sigma) ** 2)
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def step(self, inputs, y):
        if not self.optimizer.built:
            self.predict(inputs)
            self.optimizer.build(self.model.trainable_variables)
        return float(self._step(inputs, y))


def _peer():
    """The conditional neural process of the other library, with the layers of this one."""
    import knp

    hidden = [keras.layers.Dense(WIDTH, "relu") for _ in range(2)]
    model = knp.CNP(1, det_encoder_net=[WIDTH] * 4, decoder_net=keras.Sequential(hidden))
    model.build([(None, None, 1), (None, None, 1), (None, None, 1), None])
    model.weights[-1].assign([SHIFT, 0.0])
    return model


def difference(task):
    """The largest difference of the outputs of both conditional neural processes, before the softplus."""
    ours, theirs = (Contender(name, task, 0) for name in ("process", PEER))
    inputs, _ = next(iter(task.evaluation_dataset("test", BATCH)))
    theirs.predict(inputs)
    primary = [weight for layer in ours.model.network.layers for weight in layer.get_weights()]
    primary[0] = np.roll(primary[0], -1, axis=0)  # of [x, mean], and there of [mean, x]
    theirs.model.set_weights([*ours.model.embedding.get_weights(), *primary])
    expected = np.asarray(ours.model(inputs), "float64")
    received = np.stack(theirs.predict(inputs), axis=-1).astype("float64") + np.array([SHIFT, 0])
    received = np.log(np.expm1(received))  # of softplus
    assert np.abs(received - expected).max() < MOST_DIFFERENCE * max(1, np.abs(expected).max())
    return float(np.abs(received - expected).max())


def trained(name, task, seed):
    """The mean log-likelihood of the targets of the test split, after training."""
    contender = Contender(name, task, seed)
    for inputs, y in task.training_dataset(task.load("train"), BATCH, seed, 0):
        contender.step(inputs, y)
    densities = []
    for inputs, y in task.evaluation_dataset("test", BATCH):
        mean, sigma = (np.asarray(each, "float64") for each in contender.predict(inputs))
        densities.append(log_density(y[..., 0].numpy(), mean, sigma**2))
    return float(np.concatenate(densities).mean())


def milliseconds(names, task):
    """The median processor time of a step of each contender, in milliseconds."""
    batch = next(iter(task.training_dataset(task.load("train"), BATCH, 0, 0)))
    contenders = {name: Contender(name, task, 0) for name in names}
    steps = {name: lambda each=each: each.step(*batch) for name, each in contenders.items()}
    times = interleaved(steps, ROUNDS, clock=time.process_time)
    return {name: 1000 * time for name, time in medians(times).items()}


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        version = importlib.metadata.version(PEER)
    except importlib.metadata.PackageNotFoundError:
        version = None
    names = [name for name in CONTENDERS if version or name != PEER]
    rows, times, differences = [], milliseconds(names, task_of("rbf")), {}
    for kernel in KERNEL_NAMES:
        task = task_of(kernel)
        exact = float(task.load("test")["y"][..., 1].mean(dtype="float64"))
        if version:
            differences[kernel] = difference(task)
        for name in names:
            found = [trained(name, task, seed) for seed in range(SEEDS)]
            parameters = sum(int(np.prod(v.shape)) for v in Contender(name, task, 0).model.trainable_variables)
            rows.append([kernel, name, parameters, statistics.fmean(found), exact, times[name], found])
    columns = ["kernel", "contender", "parameters", "log-likelihood", "exact", "ms a step", "by seed"]
    report(
        "neural_processes_quick" if QUICK else "neural_processes",
        "Neural processes on Gaussian processes, sets of 10 points, one thread",
        columns,
        rows,
        steps=STEPS,
        library=f"{PEER} {version or 'not installed'}",
        difference=differences,
    )


if __name__ == "__main__":
    main()
