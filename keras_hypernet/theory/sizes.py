"""The sizes of the paper's networks: N_g, N_q, N_f and N_e of its experiments (Sec. 5)."""

import itertools
import math

from keras_hypernet.theory.checks import integer

HIDDEN_UNITS = 10  # of g and q, in every experiment of Sec. 5


def dense_parameters(sizes, use_bias=False):
    """Returns the number of parameters of a fully connected network.

    Args:
        sizes: Number of inputs, then of units of each layer: `(784, 10, 12)` has two layers.
        use_bias: Whether every layer, the last one included, has a bias.

    Raises:
        ValueError: If there are less than two sizes, or one is not a positive integer.

    Example:

    >>> dense_parameters((784, 10, 12)), dense_parameters((784, 10, 12), use_bias=True)
    (7960, 7982)
    """
    sizes = [integer("sizes", size) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must be those of the input and of at least one layer. Received: {sizes}")
    return sum((fan_in + bool(use_bias)) * units for fan_in, units in itertools.pairwise(sizes))


def synthetic_depth_parameters(depth):
    """Returns the sizes of the networks of Fig. 1(a), biases aside.

    Args:
        depth: k, the number of linear layers of f and e; the paper's are 2 to 9.

    Returns:
        A dict: `"g"` 10^4 + 10, `"q"` 10^4 + 10 E + 10 with E = 10^4, `"f"` 10^5 + 10^4 (k - 2) + 10^2 N_g,
        `"e"` 10^5 + 10^4 (k - 2) + 10^6.

    Raises:
        ValueError: If `depth` is not an integer of at least 2.

    Example:

    >>> synthetic_depth_parameters(3)
    {'g': 10010, 'q': 110010, 'f': 1111000, 'e': 1110000}

    Reference: Sec. 5, "Varying the number of layers".
    """
    hidden = [100] * (integer("depth", depth, 2) - 1)
    return _parameters(1000, [1000, *hidden], [1000, *hidden], embedding_dim=10_000, outputs=1)


def synthetic_embedding_dim_parameters(index):
    """Returns the sizes of the networks of Fig. 1(b), biases aside.

    Args:
        index: i, 1 to 8 in the paper: e has 1000 i outputs, and the last hidden layer of f has 100 i units.

    Returns:
        A dict: `"g"` 1010, `"q"` 10^3 + 10^4 i + 10, `"f"` 10^4 + 10^4 i + 10^2 i N_g, `"e"` 2 10^4 + 10^5 i.
        These are exact. The text rounds 10^2 i N_g to 10^5 i, and its N_q, 10^4 (i + 1) + 10, counts 1000
        entries of x, of which there are 100.

    Raises:
        ValueError: If `index` is not a positive integer.

    Example:

    >>> synthetic_embedding_dim_parameters(2)
    {'g': 1010, 'q': 21010, 'f': 232000, 'e': 220000}

    Reference: Sec. 5, "Varying the embedding dimension".
    """
    index = integer("index", index)
    return _parameters(100, [100, 100, 100 * index], [100, 100, 100], embedding_dim=1000 * index, outputs=1)


def rotation_parameters(image_shape, depth, width, outputs=12, use_bias=False):
    """Returns the sizes of the networks of Fig. 3.

    Args:
        image_shape: Shape of x and of the condition, `(h, h, c)`.
        depth: k, the number of linear layers of f and e.
        width: Units of their hidden layers.
        outputs: Of g and q: 12 classes. The text counts 1, and its N_g is 10 h^2 c + 10.
        use_bias: Whether to count the biases of q, f and e. g has none.

    Returns:
        A dict with `"g"`, `"q"`, `"f"` and `"e"`. With biases it holds what `build_model` builds.

    Raises:
        ValueError: If an argument is not a positive integer, or `depth` is less than 2.

    Example:

    >>> rotation_parameters((28, 28, 1), depth=4, width=50, use_bias=True)
    {'g': 7960, 'q': 86482, 'f': 450310, 'e': 444700}

    Reference: Sec. 5, "Experiments on Real-world Datasets".
    """
    num_pixels = math.prod(integer("image_shape", size) for size in image_shape)
    hidden = [num_pixels] + [integer("width", width)] * (integer("depth", depth, 2) - 1)
    embedding_dim = HIDDEN_UNITS * num_pixels + HIDDEN_UNITS
    return _parameters(num_pixels, hidden, hidden, embedding_dim, outputs, use_bias)


def _parameters(num_inputs, generator, embedding, embedding_dim, outputs, use_bias=False):
    """The four sizes; `generator` and `embedding` are those of f and e without their last layers."""
    n_g = dense_parameters((num_inputs, HIDDEN_UNITS, outputs))
    return {
        "g": n_g,
        "q": dense_parameters((num_inputs + embedding_dim, HIDDEN_UNITS, outputs), use_bias),
        "f": dense_parameters((*generator, n_g), use_bias),
        "e": dense_parameters((*embedding, embedding_dim), use_bias),
    }
