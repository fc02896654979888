"""Training steps with weights for each sample: this library, other libraries of hypernetworks, PyTorch by hand.

    pip install -e '.[benchmarks]' && python benchmarks/peers.py [--quick]

All contenders have the same g, the same weights of f, and logits equal to 1e-4. A step is the loss, all gradients and
an update by SGD on rotation/CIFAR-10, interleaved in one process on one thread. g is the paper's; a convnet of three
layers; or three frozen layers, whose adapters of rank 8 f scales. The growth of the memory in steps is that of a new
process for each contender. Then a convolution with a kernel for each image, forward and all gradients, on the shapes of
conv.py, against PyTorch's vmap and its grouped convolution. Goals: with 308,400 generated weights at most 0.5 of the
time and 0.35 of the memory of the best other contender; the convolutions at most 1.15 times the better other, as the
geometric mean. Less than ten minutes; --quick takes small shapes and writes peers_quick.json.
"""

import importlib.metadata
import json
import os
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import torch
from measure import (
    interleaved,
    medians,
    memory_in_new_process,
    one_thread,
    peak_memory_growth,
    random_batch,
    random_values,
    report,
)
from peer_models import CLASSES, PEERS, RANK, WIDTH, Case, convolution, peer, target_network
from torch_models import standardized, train_step

QUICK = "--quick" in sys.argv
OURS, WITHOUT_XLA = "keras_hypernet", "keras_hypernet, jit_compile=False"
# The package, and how each sample gets weights of its own.
LIBRARIES = {
    "PyTorch": ("torch", "by hand: products of batches of matrices, grouped convolutions"),
    "hypnettorch": ("hypnettorch", "a loop: f returns a list of weights, g takes those of one sample"),
    "hyper-nn": ("hyper-nn", "torch.func.vmap by the user: g takes one vector of weights"),
    "HyperLight": ("hyperlight", "a loop: f returns a batch of weights, g is given those of one sample"),
    "torchhyper": ("torchhyper", "torch.func.vmap by the user: f takes the mean over a batch of conditions"),
}
# Those that were read and not measured: release and reason.
IMPOSSIBLE = {
    "synecdoche": ("0.2.0", "f has no condition, or takes the mean over a batch with one map for all layers of g"),
    "neurite": ("0.3.4", "no hyper layers since the package is for PyTorch"),
}
CASES = [
    Case("rotation", 64, 10, steps=5, rounds=15),
    Case("rotation", 256, 10, steps=1, rounds=15),
    Case("rotation", 64, 100, steps=1, rounds=9),
    Case("rotation", 256, 100, steps=1, rounds=5),
    Case("convnet", 64, 16, steps=1, rounds=15),
    Case("adapter", 64, 512, steps=5, rounds=9),
]
QUICK_CASES = [Case(kind, 4, 8, steps=1, rounds=2) for kind in ("rotation", "convnet", "adapter")]
MOST_DIFFERENCE = 1e-4
LEARNING_RATE = 1e-6  # small steps neither learn random labels nor diverge


def keras_model(case):
    """The model of this library."""
    import keras

    import keras_hypernet as kh
    from keras_hypernet.layers import HyperConv2D, HyperDense, StandardizeImage

    def flat(name):
        return [keras.Input((32, 32, 3), dtype="uint8", name=name), StandardizeImage(), keras.layers.Flatten()]

    keras.utils.set_random_seed(0)
    generator = keras.Sequential([*flat("condition"), *(keras.layers.Dense(WIDTH, "relu") for _ in range(3))])
    units = case.units
    if case.kind == "rotation":
        layers = [HyperDense(units, "elu", use_bias=False), HyperDense(CLASSES, use_bias=False)]
        model = kh.Hypernetwork(generator, [StandardizeImage(), keras.layers.Flatten(), *layers])
    elif case.kind == "convnet":
        sizes = [(units, 1, "relu"), (2 * units, 2, "relu"), (CLASSES, 2, None)]
        layers = [HyperConv2D(size, 3, strides, activation=act, use_bias=False) for size, strides, act in sizes]
        model = kh.Hypernetwork(generator, [StandardizeImage(), *layers, keras.layers.GlobalAveragePooling2D()])
    else:
        sizes = [(units, "relu"), (units, "relu"), (CLASSES, None)]
        frozen = keras.Sequential([*flat("x"), *(keras.layers.Dense(*size, use_bias=False) for size in sizes)])
        model = kh.hypernetize(frozen, generator, basis=kh.bases.LowRank(RANK), train_base=False)
        for layer in hyper_layers(model):  # whose generated part starts at zero
            left, scale, right, base = layer.get_weights()
            layer.set_weights([left, scale, random_values(*right.shape) / RANK, base])
    model.build({"x": (None, 32, 32, 3), "condition": (None, 32, 32, 3)})
    return model


def hyper_layers(model):
    """The layers of g with generated weights."""
    from keras_hypernet.layers import HyperLayer

    return [layer for layer in model.network.layers if isinstance(layer, HyperLayer)]


def translated(model, case):
    """The kernels and biases of f in PyTorch's layout, and the matrices of an adapter."""
    hidden = [weight.T for layer in model.generator.layers for weight in layer.get_weights()]
    written, matrices = [layer.get_weights() for layer in hyper_layers(model)], None
    if case.kind == "adapter":
        kernel = np.concatenate([scale.T for _, scale, _, _ in written])
        f = [*hidden, kernel, np.zeros(len(kernel), "float32")]
        matrices = [tuple(map(torch.tensor, (base, left, right))) for left, _, right, base in written]
    else:
        terms = np.concatenate([in_torch(basis).reshape(WIDTH + 1, -1) for (basis,) in written], axis=1)
        f = [*hidden, terms[:-1].T, terms[-1]]
    return list(map(torch.tensor, f)), matrices


def in_torch(basis):
    """The terms of a kernel, `[..., inputs, R + 1, outputs]`, in PyTorch's order: `[R + 1, outputs, inputs, ...]`."""
    return np.moveaxis(basis, (-2, -1, -3), (0, 1, 2))


def keras_step(case, model, xla):
    """Returns a function that does the steps of a call."""
    import keras
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"steps_per_execution": case.steps, "jit_compile": "auto" if xla else False}  # "auto" is XLA
    model.compile(keras.optimizers.SGD(LEARNING_RATE), loss, **options)
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(random_batch(case.batch)).repeat())
    return lambda: float(model.train_function(batches)["loss"])


def torch_step(case, network, expected=None):
    """As above, for the network of a peer; and the largest difference to the expected logits, which must be small."""
    images, labels = random_batch(case.batch)
    images, difference = {name: torch.from_numpy(value) for name, value in images.items()}, None
    if expected is not None:
        with torch.no_grad():
            logits = network(*(standardized(images[name]) for name in ("x", "condition"))).numpy()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=MOST_DIFFERENCE * max(1, np.abs(expected).max()))
        difference = float(np.abs(logits - expected).max())
    step = train_step(network, images, torch.from_numpy(labels))
    return lambda: [float(step()) for _ in range(case.steps)], difference


def compared(case, peers, in_memory):
    """A row for each contender of a case."""
    model = keras_model(case)
    expected = np.asarray(model(random_batch(case.batch)[0]))
    translation = translated(model, case)
    steps, differences = {OURS: keras_step(case, model, xla=True)}, {OURS: 0.0, WITHOUT_XLA: 0.0}
    steps[WITHOUT_XLA] = keras_step(case, keras_model(case), xla=False)
    for name in peers:
        steps[name], differences[name] = torch_step(case, peer(name, case, *translation), expected)
    times = medians(interleaved(steps, case.rounds, warmup=1))
    growth = {name: memory_growth(name, case) for name in in_memory}
    generated = sum(parameter.numel() for parameter in target_network(case).parameters())
    for name, time in times.items():
        memory = [growth[name], growth[OURS] / growth[name]] if name in growth else [None, None]
        measured = [1000 * time / case.steps, times[OURS] / time, *memory, differences[name]]
        yield [case.kind, case.batch, generated, name, *measured]


def memory_growth(name, case):
    """Runs this script in a new process; returns the peak growth of its memory in the steps of a call, in MiB."""
    return memory_in_new_process(__file__, "--memory", name, json.dumps(case))


def step_of(name, case):
    """The step of one contender, with weights of its own."""
    if name in PEERS:
        return torch_step(case, peer(name, case))[0]
    return keras_step(case, keras_model(case), xla=name == OURS)


def convolutions(shapes, rounds):
    """A row for each shape: the milliseconds of this library's layer and of PyTorch's two ways, and the ratio."""
    import tensorflow as tf
    from conv import forward_backward, layer_of

    for shape in shapes:
        batch, size, channels, filters, rank = shape
        x, z = random_values(batch, size, size, channels), random_values(batch, rank)
        layer = layer_of("Full", filters)
        expected = np.moveaxis(np.asarray(layer(x, z)), -1, 1)
        steps = {OURS: forward_backward(layer, [tf.constant(x), tf.constant(z)])}
        for route in ("vmap", "grouped"):
            run = convolution(route, np.moveaxis(x, -1, 1), z, in_torch(layer.get_weights()[0]))
            np.testing.assert_allclose(run()[0].numpy(), expected, atol=MOST_DIFFERENCE * np.abs(expected).max())
            steps[route] = lambda run=run: [float(each.sum()) for each in run()[1:]]
        times = list(medians(interleaved(steps, rounds)).values())
        yield [*shape, *(1000 * time for time in times), times[0] / min(times[1:])]


def installed():
    """The release of each library and how each sample gets its weights; and the names of those to measure."""
    libraries, peers = [], []
    for name, (package, way) in LIBRARIES.items():
        try:
            version = importlib.metadata.version(package)
            peer(name, QUICK_CASES[0])
            peers.append(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        except ImportError as error:
            way = f"not measured: {error}"
        libraries.append([name, version, way])
    return [*libraries, *([name, release, f"impossible: {why}"] for name, (release, why) in IMPOSSIBLE.items())], peers


def main():
    if "--memory" in sys.argv:
        name, case = sys.argv[2], Case(*json.loads(sys.argv[3]))
        one_thread(tensorflow=name not in PEERS)
        step_of(name, case._replace(batch=2))()  # loads everything with a tiny batch
        print(json.dumps(peak_memory_growth(step_of(name, case))))
        return
    one_thread()
    (libraries, peers), rows = installed(), []
    for case in QUICK_CASES if QUICK else CASES:
        in_memory = (OURS, "PyTorch") if QUICK else (OURS, WITHOUT_XLA, *peers)
        measures_memory = case.kind == "convnet" if QUICK else case[:2] != ("rotation", 64)
        rows += compared(case, peers, in_memory if measures_memory else ())
    from conv import QUICK_SHAPES, SHAPES

    convolved = list(convolutions(QUICK_SHAPES if QUICK else SHAPES, 2 if QUICK else 15))
    mean = statistics.geometric_mean(row[-1] for row in convolved)
    columns = ["g", "batch", "generated weights", "contender", "ms a step", "first / this", "memory (MiB)"]
    shape = ["batch", "size", "channels", "filters", "rank", f"{OURS} (ms)", "vmap (ms)", "grouped (ms)"]
    title = "Training steps with weights for each sample, one thread"
    report(
        *("peers_quick" if QUICK else "peers", title, [*columns, "first / this", "difference"], rows),
        libraries=libraries,
        convolutions={"columns": [*shape, "first / better"], "rows": convolved, "geometric_mean": mean},
    )
    print(
        f"Convolutions: {mean:.2f} times the better of vmap and groups, the geometric mean of {len(convolved)} shapes"
    )


if __name__ == "__main__":
    main()
