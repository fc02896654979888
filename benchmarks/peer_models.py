"""The hypernetworks of `peers.py` in PyTorch: by hand, and with each library that can have weights for each sample.

f has three hidden layers of 100 units and writes all parameters of a network g. Each function of PEERS returns a
function of x and the condition, `[B, 3072]` each, in which every x has the weights of its condition; and f.
"""

import functools
import importlib.metadata
import importlib.util
import itertools
import typing

import torch
from torch import nn
from torch.func import functional_call, vmap

PIXELS, WIDTH, CLASSES, RANK = 3072, 100, 12, 8
SIZES = [PIXELS, WIDTH, WIDTH, WIDTH]


class Case(typing.NamedTuple):
    """A g and its batch: kind of g, batch, hidden units (or filters of its first layer), steps a call, timed calls."""

    kind: str
    batch: int
    units: int
    steps: int
    rounds: int


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class Adapted(nn.Module):
    """`x W + ((x A) * scale) B`: W is frozen, A and B are trained, and only `scale` is a parameter that f writes."""

    def __init__(self, base, left, right):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(left.shape[1]))
        self.matrices = lambda: (base, left, right)  # which a library neither finds nor copies

    def forward(self, x, scale=None):
        base, left, right = self.matrices()
        return x @ base + ((x @ left) * (self.scale if scale is None else scale)) @ right


def target_network(case, matrices=None):
    """Returns g, whose parameters are all generated; `matrices` are those of each `Adapted`, by default random."""
    units = case.units
    if case.kind == "rotation":
        return nn.Sequential(nn.Linear(PIXELS, units, bias=False), nn.ELU(), nn.Linear(units, CLASSES, bias=False))
    if case.kind == "convnet":
        sizes = zip((3, units, 2 * units), (units, 2 * units, CLASSES), (3, 3, 3), (1, 2, 2), strict=True)
        convolutions = _with_relu(nn.Conv2d(*size, bias=False) for size in sizes)
        image = Apply(lambda x: x.unflatten(-1, (32, 32, 3)).movedim(-1, -3))
        return nn.Sequential(image, *convolutions, Apply(lambda y: y.mean((-2, -1))))
    shapes = itertools.pairwise((PIXELS, units, units, CLASSES))
    matrices = matrices or [(torch.randn(i, o), torch.randn(i, RANK), torch.randn(RANK, o)) for i, o in shapes]
    return nn.Sequential(
        *_with_relu(Adapted(base, nn.Parameter(left), nn.Parameter(right)) for base, left, right in matrices)
    )


def _with_relu(layers):
    return [part for layer in layers for part in (layer, nn.ReLU())][:-1]


def mlp(target):
    """f, with one map to all parameters of g."""
    sizes = [*SIZES, sum(each.numel() for each in target.parameters())]
    return nn.Sequential(*_with_relu(nn.Linear(*pair) for pair in itertools.pairwise(sizes)))


def grouped(x, kernels, stride=1, padding=0):
    """A convolution of each image with its kernel: one convolution, whose groups are the images."""
    y = nn.functional.conv2d(x.flatten(0, 1)[None], kernels.flatten(0, 1), None, stride, padding, groups=len(x))
    return y[0].unflatten(0, kernels.shape[:2])


def by_hand(case, target):
    """PyTorch without a library: products of batches of matrices, and grouped convolutions."""
    f, shapes = mlp(target), [each.shape for each in target.parameters()]

    def forward(x, condition):
        flat = f(condition).split([shape.numel() for shape in shapes], dim=1)
        weights = iter([part.unflatten(1, shape) for part, shape in zip(flat, shapes, strict=True)])
        for part in target:
            if isinstance(part, nn.Linear):
                x = torch.bmm(next(weights), x[:, :, None])[:, :, 0]
            elif isinstance(part, nn.Conv2d):
                x = grouped(x, next(weights), part.stride)
            else:
                x = part(x, next(weights)) if isinstance(part, Adapted) else part(x)
        return x

    return forward, f


def hypnettorch(case, target):
    """f is HMLP, which returns a list of weights for each condition; g is its MLP, or a functional call, in a loop."""
    from hypnettorch.hnets import HMLP
    from hypnettorch.mnets import MLP

    names, shapes = zip(*((name, list(each.shape)) for name, each in target.named_parameters()), strict=True)
    f = HMLP(shapes, PIXELS, cond_in_size=0, layers=SIZES[1:], num_cond_embs=0, verbose=False)
    hidden = {"hidden_layers": (case.units,), "activation_fn": nn.ELU()}
    own = MLP(PIXELS, CLASSES, **hidden, use_bias=False, no_weights=True, verbose=False)

    def g(x, weights):
        return functional_call(target, dict(zip(names, weights, strict=True)), x)

    def forward(x, condition):
        written = f(uncond_input=condition, ret_format="sequential")
        call = own if case.kind == "rotation" else g
        return torch.cat([call(x[i : i + 1], weights=weights) for i, weights in enumerate(written)])

    return forward, f


def hyper_nn(case, target):
    """`generate_params` of a subclass is f; the library calls g with a vector of weights, which vmap maps."""
    from hypernn.torch import TorchHyperNetwork

    class Conditional(TorchHyperNetwork):
        def generate_params(self, condition):
            return f(condition), {}

    f, network = mlp(target), Conditional(target)
    call = vmap(lambda x, weights: network.target_forward(x, generated_params=weights))
    return lambda x, condition: call(x, network.generate_params(condition)[0]), f


def hyperlight(case, target):
    """f is HyperNet, which writes a batch of weights; g, which `hypernetize` converted, is given one after another."""
    from hyperlight import HyperNet, hypernetize

    g = hypernetize(target, parameters=list(target.parameters()))
    shapes = {"condition": (PIXELS,)}, g.external_shapes()
    f = HyperNet(*shapes, hidden_sizes=SIZES[1:], encoding=None, fc_kws={"nonlinearity": "ReLU"})

    def forward(x, condition):
        written, outputs = f(condition=condition), []
        # The gradient of `unbind` is one tensor, that of an index a tensor of the batch's size for each sample.
        for each, *weights in zip(x, *(weights.unbind() for weights in written.values()), strict=True):
            with g.using_externals(dict(zip(written, weights, strict=True))):
                outputs.append(g(each[None]))
        return torch.cat(outputs)

    return forward, f


@functools.cache
def _torchhyper_module():
    """The file of HyperNetwork alone: its package also imports diffusers and torchvision, which it does not declare."""
    path = importlib.metadata.distribution("torchhyper").locate_file("torchhyper/model/hypernetwork_architectures.py")
    specification = importlib.util.spec_from_file_location("hypernetwork_architectures", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def torchhyper(case, target):
    """f is HyperNetwork, which takes the mean over a batch of conditions; so vmap maps f and g over the samples."""
    f = _torchhyper_module().HyperNetwork(PIXELS, SIZES[1:], target)
    return vmap(lambda x, condition: functional_call(target, f(condition), x)), f


PEERS = {
    "PyTorch": by_hand,
    "hypnettorch": hypnettorch,
    "hyper-nn": hyper_nn,
    "HyperLight": hyperlight,
    "torchhyper": torchhyper,
}


def peer(name, case, weights=None, matrices=None):
    """Returns the network of a peer as a module, with the kernels and biases of f and the matrices of an adapter."""
    target = target_network(case, matrices)
    sizes = [each.numel() for each in target.parameters()]
    module = nn.Module()
    module.forward, module.f = PEERS[name](case, target)
    module.shared = nn.ParameterList(
        matrix for part in target if isinstance(part, Adapted) for matrix in part.matrices()[1:]
    )
    if weights is not None:
        parameters = list(module.f.parameters())
        if len(parameters) > len(weights):  # with a map to each parameter of g
            *weights, kernel, bias = weights
            weights += itertools.chain(*zip(kernel.split(sizes), bias.split(sizes), strict=True))
        with torch.no_grad():
            for parameter, value in zip(parameters, weights, strict=True):
                parameter.copy_(value)
    return module


def convolution(route, x, z, basis):
    """Returns a function that convolves each image with its kernel, forward and backward: the output, the gradients.

    `route` is "vmap" or "grouped"; x is `[B, channels, height, width]`, z `[B, R]`, and the basis, whose last term is
    constant, `[R + 1, filters, channels, 3, 3]`.
    """
    operands = x, z, basis = [torch.tensor(value, requires_grad=True) for value in (x, z, basis)]
    call = vmap(nn.functional.conv2d) if route == "vmap" else grouped

    def run():
        factors = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
        kernels = (factors @ basis.flatten(1)).unflatten(1, basis.shape[1:])
        y = call(x, kernels, padding=1)
        return y.detach(), *torch.autograd.grad((y**2).sum(), operands)

    return run
