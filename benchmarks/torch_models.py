"""The rotation/CIFAR-10 models as they are usually written in PyTorch, and their training step."""

import numpy as np
import torch
from torch import nn

PIXELS, WIDTH, HIDDEN, CLASSES = 3072, 100, 10, 12


class TorchModel(nn.Module):
    """Either method: f writes all weights of g, or x is concatenated with the embedding.

    Args:
        method: `"hyper"` or `"embed"`.
        units: Hidden units of g or q.
        product: `"bmm"`: g is written for a batch; `"vmap"`: g is written for one x, and torch.func.vmap runs a batch.
    """

    def __init__(self, method, units=HIDDEN, product="bmm"):
        super().__init__()
        outputs = units * (PIXELS + (CLASSES if method == "hyper" else 1))
        self.encoder = nn.Sequential(
            *(nn.Linear(PIXELS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)),
            *(nn.ReLU(), nn.Linear(WIDTH, outputs)),
        )
        layers = nn.Linear(PIXELS + outputs, units), nn.ELU(), nn.Linear(units, CLASSES)
        self.primary = nn.Sequential(*layers) if method == "embed" else None
        self.units = units
        self.apply_weights = batched if product == "bmm" else torch.func.vmap(single)

    def forward(self, x, condition):
        encoded = self.encoder(condition)
        if self.primary is not None:
            return self.primary(torch.cat([x, encoded], dim=1))
        first = encoded[:, : PIXELS * self.units].reshape(-1, PIXELS, self.units)
        second = encoded[:, PIXELS * self.units :].reshape(-1, self.units, CLASSES)
        return self.apply_weights(x, first, second)


def batched(x, first, second):
    """g with one pair of weights for each x."""
    return torch.bmm(nn.functional.elu(torch.bmm(x[:, None], first)), second)[:, 0]


def single(x, first, second):
    """g for one x."""
    return nn.functional.elu(x @ first) @ second


def translated(model, method, product="bmm"):
    """Returns the PyTorch model with all weights of a Keras model."""
    import keras

    from keras_hypernet.layers import HyperDense

    layers = [*model.encoder.layers, *model.primary]
    pairs = [layer.get_weights() for layer in layers if isinstance(layer, keras.layers.Dense)]
    bases = [layer.get_weights()[0] for layer in layers if isinstance(layer, HyperDense)]
    if bases:  # [inputs, rank + 1, units], where the last slice along the rank holds the biases of f
        kernel = np.concatenate([basis.swapaxes(0, 1).reshape(basis.shape[1], -1) for basis in bases], axis=1)
        pairs.append((kernel[:-1], kernel[-1]))
    network = TorchModel(method, product=product)
    linears = [part for part in network.modules() if isinstance(part, nn.Linear)]
    for linear, (kernel, bias) in zip(linears, pairs, strict=True):
        linear.load_state_dict({"weight": torch.tensor(kernel.T), "bias": torch.tensor(bias)})
    return network


def standardized(images):
    """uint8 images as the models' inputs."""
    return ((images.float() / 255 - 0.1307) / 0.3081).flatten(start_dim=-3)


def train_step(network, images, labels, autocast=False):
    """Returns a function that does one step of SGD and returns the loss.

    Args:
        network: A `TorchModel`.
        images: Dict of uint8 tensors `x` and `condition`.
        labels: int64 tensor.
        autocast: Whether to compute in bfloat16 where torch.autocast does.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6)

    def step():
        optimizer.zero_grad()
        # A CUDA graph must not keep the weights that autocast has cast.
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=autocast, cache_enabled=False):
            logits = network(standardized(images["x"]), standardized(images["condition"]))
            loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
