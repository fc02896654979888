"""Sizes of the paper's networks: N_g, N_q, N_f and N_e of its experiments (Sec. 5 and appendix).

Each experiment has a function, which returns a dict of the numbers of parameters of its networks. Arguments:

- image_shape: Shape of an image, `(h, h, c)`.
- depth: k, the number of linear layers of f and e.
- width: Units of the hidden layers of f and e, or of a network without a condition.
- rank: Units of the last hidden layer of f; None for `width`.
- embedding_dim: Outputs of e.
- use_bias: Whether to count biases: with them, the sizes are those of the models that `build_model` builds.

All functions raise ValueError if an argument is not a positive integer, or `depth` is less than 2.
"""

import itertools
import math
from collections.abc import Sequence

from keras_hypernet.common.checks import integer

HIDDEN_UNITS = 10  # of g and q, in every experiment


def dense_parameters(sizes: Sequence[int], use_bias: bool = False) -> int:
    """Returns the number of parameters of a fully connected network.

    `sizes` are the number of inputs, then of units of each layer: `(784, 10, 12)` has two layers. With `use_bias`,
    every layer, the last included, has a bias. Raises ValueError if there are fewer than two sizes.

    >>> dense_parameters((784, 10, 12)), dense_parameters((784, 10, 12), use_bias=True)
    (7960, 7982)
    """
    sizes = [integer("sizes", size) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must be those of the input and of at least one layer. Received: {sizes}")
    return sum((fan_in + bool(use_bias)) * units for fan_in, units in itertools.pairwise(sizes))


def synthetic_depth_parameters(depth: int) -> dict[str, int]:
    """Returns the sizes of the networks of Fig. 1(a) without biases, for a depth k; the paper's depths are 2 to 9.

    With E = 10^4 outputs of e, they are `"g"` 10^4 + 10, `"q"` 10^4 + 10 E + 10, `"f"` 10^5 + 10^4 (k - 2) + 10^2 N_g,
    `"e"` 10^5 + 10^4 (k - 2) + 10^6. Reference: Sec. 5, "Varying the number of layers".

    >>> synthetic_depth_parameters(3)
    {'g': 10010, 'q': 110010, 'f': 1111000, 'e': 1110000}
    """
    return _parameters(1000, 1000, depth, width=100, embedding_dim=10_000, outputs=1)


def synthetic_embedding_dim_parameters(index: int) -> dict[str, int]:
    """Returns the sizes of the networks of Fig. 1(b) without biases, for an index i; the paper's are 1 to 8.

    e has 1000 i outputs, and the last hidden layer of f has 100 i units. The sizes are `"g"` 1010, `"q"`
    10^3 + 10^4 i + 10, `"f"` 10^4 + 10^4 i + 10^2 i N_g, `"e"` 2 10^4 + 10^5 i. The paper rounds 10^2 i N_g to 10^5 i,
    and its N_q, 10^4 (i + 1) + 10, counts 1000 entries of x, which has 100. Reference: Sec. 5, "Varying the embedding
    dimension".

    >>> synthetic_embedding_dim_parameters(2)
    {'g': 1010, 'q': 21010, 'f': 232000, 'e': 220000}
    """
    index = integer("index", index)
    return _parameters(100, 100, 3, width=100, rank=100 * index, embedding_dim=1000 * index, outputs=1)


def rotation_parameters(
    image_shape: Sequence[int],
    depth: int,
    width: int,
    outputs: int = 12,
    use_bias: bool = False,
    rank: int | None = None,
    embedding_dim: int | None = None,
) -> dict[str, int]:
    """Returns the sizes of the networks of Fig. 3, or of the appendix's "embedding dimension"; g has no biases.

    `outputs` are those of g and q: 12 classes. The paper's N_g, 10 h^2 c + 10, counts 1. By default e has the
    10 h^2 c + 10 outputs of Fig. 3. In the appendix, depth is 3 and embedding_dim 10^4 i for i from 1 to 8; the rank
    there, 100 i, is this project's choice in analogy to Fig. 1(b).

    >>> rotation_parameters((28, 28, 1), depth=4, width=50, use_bias=True)
    {'g': 7960, 'q': 86482, 'f': 450310, 'e': 444700}
    >>> rotation_parameters((28, 28, 1), depth=3, width=50, rank=200, embedding_dim=20_000)
    {'g': 7960, 'q': 207960, 'f': 1641200, 'e': 1041700}

    Reference: Sec. 5, "Experiments on Real-world Datasets", and the appendix.
    """
    num_pixels = _entries(image_shape)
    if embedding_dim is None:
        embedding_dim = HIDDEN_UNITS * num_pixels + HIDDEN_UNITS
    return _parameters(num_pixels, num_pixels, depth, width, embedding_dim, outputs, rank, use_bias)


def colorization_parameters(
    image_shape: Sequence[int],
    depth: int,
    width: int = 100,
    use_bias: bool = False,
    rank: int | None = None,
    embedding_dim: int | None = 63,
) -> dict[str, int]:
    """Returns the sizes of the networks of the appendix's colorization; g maps a position to red, green and blue.

    This project chose the sizes, except the three outputs of g: depths of 2 to 9, or depth 3 with embedding_dim 1000 i
    and rank 100 i. The 63 weights of g include its biases, since f generates them. The condition is a grey image,
    `(h, h, 1)`.

    >>> colorization_parameters((32, 32, 1), depth=4, use_bias=True)
    {'g': 63, 'q': 693, 'f': 129063, 'e': 129063}
    >>> colorization_parameters((32, 32, 1), depth=3, rank=200, embedding_dim=2000)
    {'g': 63, 'q': 20050, 'f': 135000, 'e': 312400}
    """
    num_pixels = _entries(image_shape)
    return _parameters(2, num_pixels, depth, width, embedding_dim, 3, rank, use_bias, generates_biases=True)


def assumption_1_parameters(image_shape: Sequence[int], use_bias: bool = False) -> dict[str, int]:
    """Returns the sizes of the networks of Fig. 2: `"f"`, the size of f1 and of f2, and `"y"`, the size of the target.

    Without biases, f, with 100 hidden units and 10 outputs, has 100 h^2 c + 1000 parameters; y, with two convolutions
    of 20 and 50 channels, kernels of 10 x 10 and stride 2, and a dense layer of 10 units, has 2000 c + 10^5 + 500 s^2,
    where the output of the second convolution has the side s, 1 on MNIST and 2 on CIFAR-10. Reference: Sec. 5,
    "Validating Assumption 1", Eq. 5. Raises ValueError if h is less than 28.

    >>> assumption_1_parameters((28, 28, 1)), assumption_1_parameters((32, 32, 3), use_bias=True)
    ({'f': 79400, 'y': 102500}, {'f': 308310, 'y': 108080})
    """
    height, width, channels = image_shape
    # Without padding, the second convolution needs a side of at least 28.
    sides = [integer("image_shape", side, least=28) for side in (height, width)]
    for _ in range(2):
        sides = [(side - 10) // 2 + 1 for side in sides]
    # A convolution has as many weights as the dense layer at each of its positions.
    layers = (10 * 10 * integer("image_shape", channels), 20), (10 * 10 * 20, 50), (50 * math.prod(sides), 10)
    return {
        "f": dense_parameters((_entries(image_shape), 100, 10), use_bias),
        "y": sum(dense_parameters(layer, use_bias) for layer in layers),
    }


def assumption_2_parameters(image_shape: Sequence[int], width: int, use_bias: bool = False) -> dict[str, int]:
    """Returns the size of the network that validates Assumption 2, `{"f": width (h^2 c + 10)}` without biases.

    Sec. 1.5 of the appendix has the widths 1 to 29.

    >>> [assumption_2_parameters((28, 28, 1), width, use_bias=True)["f"] for width in (1, 2, 29)]
    [805, 1600, 23065]
    """
    return {"f": dense_parameters((_entries(image_shape), integer("width", width), 10), use_bias)}


def _entries(image_shape):
    return math.prod(integer("image_shape", size) for size in image_shape)


def _parameters(
    x_dim, condition_dim, depth, width, embedding_dim, outputs, rank=None, use_bias=False, generates_biases=False
):
    embedding_dim = integer("embedding_dim", embedding_dim)
    hidden = [condition_dim, *[integer("width", width)] * (integer("depth", depth, 2) - 2)]
    n_g = dense_parameters((x_dim, HIDDEN_UNITS, outputs), generates_biases)
    return {
        "g": n_g,
        "q": dense_parameters((x_dim + embedding_dim, HIDDEN_UNITS, outputs), use_bias),
        "f": dense_parameters((*hidden, width if rank is None else integer("rank", rank), n_g), use_bias),
        "e": dense_parameters((*hidden, width, embedding_dim), use_bias),
    }
