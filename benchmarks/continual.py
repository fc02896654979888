"""A training step of continual learning: this library against hypnettorch, with past tasks remembered.

    pip install -e '.[benchmarks]' && python benchmarks/continual.py [--quick]

Both generate a network 784-100-100-2 in chunks of 8,000 from a vector of 32 entries for each of five tasks, through
four hidden layers of 10 units, with the output regularizer for four past tasks; batches of 32 images of one task, Adam,
one thread. These are the sizes of the published code for split MNIST. hypnettorch chunks all weights together; this
library chunks each kernel and each bias separately. The contenders take turns; the time is processor time, which
depends little on other processes. The memory is the growth during the steps that follow tracing and compilation, in a
new process for each. Takes less than three minutes; --quick uses small chunks and few turns, and writes
continual_quick.json.
"""

import importlib.metadata
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import torch
from measure import interleaved, medians, memory_in_new_process, one_thread, peak_memory_growth, report

QUICK = "--quick" in sys.argv
TASKS, BATCH, PIXELS, CLASSES, STEPS = 5, 32, 784, 2, 5
UNITS, CHUNK = (10, 500) if QUICK else (100, 8000)
OURS, WITHOUT_XLA, THEIRS = "keras_hypernet, XLA", "keras_hypernet", "hypnettorch"
HIDDEN, BETA, RATE = (10, 10, 10, 10), 10.0, 0.0005


def batch():
    """Random images and labels of the last task."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, PIXELS)).astype("float32"), rng.integers(0, CLASSES, BATCH)


def of_keras(xla):
    """Returns a function that does STEPS steps, and the number of trained parameters."""
    import keras
    import tensorflow as tf

    import keras_hypernet as kh

    keras.utils.set_random_seed(0)
    basis = kh.bases.Chunked(CHUNK, 32, HIDDEN, train_constant=False, head_initializer="glorot_uniform")
    sizes = [(UNITS, "relu"), (UNITS, "relu"), (CLASSES, None)]
    layers = [kh.layers.HyperDense(*size, basis=basis, vector_basis=basis) for size in sizes]
    model = kh.Hypernetwork(kh.layers.TaskEmbedding(TASKS, 32), layers)
    model.build({"x": (None, None, PIXELS), "condition": (None,)})
    loss = kh.continual.OutputRegularizer(BETA, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile(keras.optimizers.Adam(RATE), loss, jit_compile=xla, steps_per_execution=STEPS)
    loss.remember(model, np.arange(TASKS - 1))
    x, y = batch()
    element = {"x": x[np.newaxis], "condition": np.array([TASKS - 1])}, y[np.newaxis]
    batches = iter(tf.data.Dataset.from_tensors(element).repeat())
    return lambda: float(model.train_function(batches)["loss"]), model.count_params()


def of_hypnettorch():
    """As above, with the library's network, hypernetwork and regularizer."""
    from hypnettorch.hnets import ChunkedHMLP
    from hypnettorch.mnets import MLP
    from hypnettorch.utils import hnet_regularizer

    torch.manual_seed(0)
    hidden = {"hidden_layers": (UNITS, UNITS), "activation_fn": torch.nn.ReLU()}
    g = MLP(PIXELS, CLASSES, **hidden, no_weights=True, verbose=False)
    sizes = {"chunk_emb_size": 32, "cond_in_size": 32, "layers": HIDDEN, "num_cond_embs": TASKS}
    f = ChunkedHMLP(g.param_shapes, CHUNK, **sizes, verbose=False)
    targets = hnet_regularizer.get_current_targets(TASKS - 1, f)
    optimizer, (x, y) = torch.optim.Adam(f.parameters(), RATE), map(torch.from_numpy, batch())

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(g(x, weights=f(cond_id=TASKS - 1)), y)
        total = loss + BETA * hnet_regularizer.calc_fix_target_reg(f, TASKS - 1, targets=targets)
        total.backward()
        optimizer.step()
        return float(total.detach())

    return lambda: [step() for _ in range(STEPS)], sum(each.numel() for each in f.parameters())


CONTENDERS = {OURS: lambda: of_keras(True), WITHOUT_XLA: lambda: of_keras(False), THEIRS: of_hypnettorch}


def main():
    if "--memory" in sys.argv:
        name = sys.argv[-1]
        one_thread(tensorflow=name != THEIRS)
        run, _ = CONTENDERS[name]()
        run()  # traces and compiles
        print(json.dumps(peak_memory_growth(run)))
        return
    one_thread()
    try:
        library = f"hypnettorch {importlib.metadata.version('hypnettorch')}"
    except importlib.metadata.PackageNotFoundError:
        library = "hypnettorch: not installed"
        del CONTENDERS[THEIRS]
    runs, parameters = {}, {}
    for name, make in CONTENDERS.items():
        runs[name], parameters[name] = make()
    times = medians(interleaved(runs, 3 if QUICK else 40, warmup=2, clock=time.process_time))
    quick, rows = ["--quick"] * QUICK, []
    for name, seconds in times.items():
        # Large tensors are returned to the system at once: the C library would reuse those of the steps before.
        threshold = {"MALLOC_MMAP_THRESHOLD_": "65536"}
        memory = memory_in_new_process(__file__, *quick, "--memory", name, **threshold)
        rows.append([name, parameters[name], 1000 * seconds / STEPS, times[OURS] / seconds, memory])
    columns = ["contender", "trained parameters", "ms of processor time a step", "first / this", "memory (MiB)"]
    title = "Continual learning, split digits: a step with four past tasks, one thread"
    report("continual_quick" if QUICK else "continual", title, columns, rows, library=library)


if __name__ == "__main__":
    main()
