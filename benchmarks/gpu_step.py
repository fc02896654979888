"""The training step of the rotation/CIFAR-10 hypernetwork with JAX, against PyTorch: a part of `gpu.py`.

The contenders have the same weights, and agree on the logits of a batch to 1e-4. All compute the loss, all gradients,
and an update by SGD: both routes with JAX; PyTorch with `torch.bmm`, and with `torch.func.vmap` of g for one example;
PyTorch's steps as CUDA graphs, which leave out the time of Python; and with JAX the bare matrix products of the
factorised step, without gradients of activations. The memory is that of the step's arguments, results and intermediate
tensors: with JAX by the analysis of the compiled program, with PyTorch the peak of its allocator on a GPU.
"""

import jax
import keras
import numpy as np
import torch
from frameworks import Jax, PyTorch
from measure import random_batch
from torch_models import standardized, train_step, translated

from keras_hypernet import RotationTask, build_model, paper_recipe
from keras_hypernet.layers import HyperDense
from keras_hypernet.layers.contraction import ROUTES

LEARNING_RATE = 1e-6  # small steps neither learn random labels nor diverge
MOST_DIFFERENCE = 1e-4
MEBIBYTE = 2**20
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def zoo_model(route, policy):
    """The model of the zoo, with one route in all layers."""
    keras.config.set_dtype_policy(policy)
    task = RotationTask("cifar10")
    model = build_model(task, "hyper", paper_recipe(task, learning_rate=LEARNING_RATE))
    for layer in model.primary:
        if isinstance(layer, HyperDense):
            layer.contraction = route
    model.optimizer.build(model.trainable_variables)
    return model


def jax_step(route, policy, batch):
    """Returns a function that does one step with JAX and returns the loss, and the step's memory in MiB."""
    model = zoo_model(route, policy)

    def loss_of(weights, images, labels):
        logits, _ = model.stateless_call(weights, [], images, training=True)
        return model.loss(labels, logits)

    def step(weights, optimizer, images, labels):
        loss, gradients = jax.value_and_grad(loss_of)(weights, images, labels)
        return *model.optimizer.stateless_apply(optimizer, gradients, weights), loss

    data = jax.device_put(random_batch(batch))
    state = [[jax.numpy.copy(variable.value) for variable in variables] for variables in _variables(model)]
    program = jax.jit(step, donate_argnums=(0, 1)).lower(*state, *data).compile()
    memory = program.memory_analysis()
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes

    def run():
        *state[:], loss = program(*state, *data)
        return loss

    return run, (size - memory.alias_size_in_bytes) / MEBIBYTE


def _variables(model):
    return model.trainable_variables, model.optimizer.variables


def jax_products(dtype, batch):
    """Returns a function that computes the bare matrix products of a factorised step."""
    sizes = [(3072, 101 * 10), (10, 101 * 12), (3072, 100), (100, 100), (100, 100)]
    keys = jax.random.split(jax.random.key(0), 3)
    triples = [
        [jax.random.normal(key, shape, dtype) for key, shape in zip(keys, each, strict=True)]
        for each in (((batch, rows), (rows, columns), (batch, columns)) for rows, columns in sizes)
    ]

    @jax.jit
    def products(triples):
        return [(x @ weights, x.T @ gradient) for x, weights, gradient in triples]

    return lambda: products(triples)


def torch_step(model, product, autocast, batch):
    """Returns a function that does one step with PyTorch and returns the loss, and the step's memory in MiB."""
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    images, labels = random_batch(batch)
    images = {name: torch.from_numpy(value).to(DEVICE) for name, value in images.items()}
    network = translated(model, "hyper", product).to(DEVICE)
    step = train_step(network, images, torch.from_numpy(labels).to(DEVICE), autocast)
    step()
    step()
    return step, (torch.cuda.max_memory_allocated() - before) / MEBIBYTE if DEVICE == "cuda" else None


def difference():
    """The largest difference of the logits of both routes and both PyTorch models, in float32, by the largest logit."""
    Jax().set_precision("float32")
    PyTorch().set_precision("float32")
    images, _ = random_batch(64)
    models = [zoo_model(route, "float32") for route in ROUTES]
    logits = [np.asarray(model(images)) for model in models]
    vectors = [standardized(torch.from_numpy(images[name])).to(DEVICE) for name in ("x", "condition")]
    with torch.no_grad():
        logits += [translated(models[0], "hyper", product).to(DEVICE)(*vectors).cpu() for product in ("bmm", "vmap")]
    found = max(float(np.abs(each - logits[0]).max()) for each in logits) / float(np.abs(logits[0]).max())
    if found > MOST_DIFFERENCE:
        raise AssertionError(f"The outputs differ by {found:.2g} of the largest, more than {MOST_DIFFERENCE}.")
    return found


def contenders(precision, batch):
    """Returns two dicts by name: functions that do one step, and the memory of a step in MiB."""
    Jax().set_precision(precision)
    pytorch = PyTorch()
    pytorch.set_precision(precision)
    mixed = precision == "bfloat16"
    policy = "mixed_bfloat16" if mixed else "float32"
    both = {route: jax_step(route, policy, batch) for route in ROUTES}
    model = zoo_model("factorised", "float32")
    for product in ("bmm", "vmap"):
        step, memory = both[f"PyTorch {product}"] = torch_step(model, product, mixed, batch)
        if pytorch.is_gpu:
            both[f"PyTorch {product}, CUDA graph"] = pytorch.captured(step), memory
    both["products"] = jax_products("bfloat16" if mixed else "float32", batch), None
    return {name: run for name, (run, _) in both.items()}, {name: memory for name, (_, memory) in both.items()}


def wait(result):
    """Waits for all that either framework has queued."""
    if isinstance(result, torch.Tensor):
        PyTorch().wait(result)
    else:
        jax.block_until_ready(result)
