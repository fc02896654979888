"""The sizes of the paper's networks: N_g, N_q, N_f and N_e of its experiments (Sec. 5 and appendix)."""

import itertools
import math

from keras_hypernet.theory.checks import integer

HIDDEN_UNITS = 10  # of g and q, in every experiment


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


def rotation_parameters(image_shape, depth, width, outputs=12, use_bias=False, rank=None, embedding_dim=None):
    """Returns the sizes of the networks of Fig. 3, or of the appendix's "embedding dimension".

    Args:
        image_shape: Shape of x and of the condition, `(h, h, c)`.
        depth: k, the number of linear layers of f and e; 3 where the embedding dimension varies.
        width: Units of their hidden layers.
        outputs: Of g and q: 12 classes. The text counts 1, and its N_g is 10 h^2 c + 10.
        use_bias: Whether to count the biases of q, f and e. g has none.
        rank: Units of the last hidden layer of f, 100 i in the appendix; None for `width`.
        embedding_dim: Number of outputs of e, 10^4 i in the appendix; None for the 10 h^2 c + 10 of Fig. 3.

    Returns:
        A dict with `"g"`, `"q"`, `"f"` and `"e"`. With biases it holds what `build_model` builds.

    Raises:
        ValueError: If an argument is not a positive integer, or `depth` is less than 2.

    Example:

    >>> rotation_parameters((28, 28, 1), depth=4, width=50, use_bias=True)
    {'g': 7960, 'q': 86482, 'f': 450310, 'e': 444700}
    >>> rotation_parameters((28, 28, 1), depth=3, width=50, rank=200, embedding_dim=20_000)
    {'g': 7960, 'q': 207960, 'f': 1641200, 'e': 1041700}

    Reference: Sec. 5, "Experiments on Real-world Datasets", and the appendix, where i is 1 to 8. The rank there is
    this project's choice, in analogy to Fig. 1(b).
    """
    num_pixels = _entries(image_shape)
    if embedding_dim is None:
        embedding_dim = HIDDEN_UNITS * num_pixels + HIDDEN_UNITS
    generator, embedding = _hidden(num_pixels, depth, width, rank), _hidden(num_pixels, depth, width)
    return _parameters(num_pixels, generator, embedding, integer("embedding_dim", embedding_dim), outputs, use_bias)


def colorization_parameters(image_shape, depth, width=100, use_bias=False, rank=None, embedding_dim=63):
    """Returns the sizes of the networks of the appendix's colorization: g maps a place to red, green and blue.

    Args:
        image_shape: Shape of the condition, an image in grey, `(h, h, 1)`.
        depth: k, the number of linear layers of f and e; 2 to 9, or 3 where the embedding dimension varies.
        width: Units of their hidden layers.
        use_bias: Whether to count the biases of q, f and e. Those of g always count, since f generates them.
        rank: Units of the last hidden layer of f, 100 i where the embedding dimension varies; None for `width`.
        embedding_dim: Number of outputs of e: 63, as many as f has, or 1000 i where it varies.

    Returns:
        A dict with `"g"`, which is 63, `"q"`, `"f"` and `"e"`. With biases it holds what `build_model` builds.

    Raises:
        ValueError: If an argument is not a positive integer, or `depth` is less than 2.

    Example:

    >>> colorization_parameters((32, 32, 1), depth=4, use_bias=True)
    {'g': 63, 'q': 693, 'f': 129063, 'e': 129063}
    >>> colorization_parameters((32, 32, 1), depth=3, rank=200, embedding_dim=2000)
    {'g': 63, 'q': 20050, 'f': 135000, 'e': 312400}

    Reference: Appendix, "colorization". The sizes are this project's choice, but for the three outputs of g.
    """
    num_pixels = _entries(image_shape)
    generator, embedding = _hidden(num_pixels, depth, width, rank), _hidden(num_pixels, depth, width)
    embedding_dim = integer("embedding_dim", embedding_dim)
    return _parameters(2, generator, embedding, embedding_dim, 3, use_bias, generates_biases=True)


def assumption_1_parameters(image_shape, use_bias=False):
    """Returns the sizes of the networks of Fig. 2: f, which f1 and f2 have in common, and the target y.

    Args:
        image_shape: Shape of x, `(h, h, c)`, where h is at least 28.
        use_bias: Whether every layer has a bias.

    Returns:
        A dict: `"f"`, of 100 hidden units and 10 outputs, 100 h^2 c + 1000; and `"y"`, of two convolutions of 20 and
        50 channels, kernels of 10 x 10 and stride 2, and a dense layer of 10 units, 2000 c + 10^5 + 500 s^2, where
        s is the side of what the second convolution returns, 1 on MNIST and 2 on CIFAR-10.

    Raises:
        ValueError: If the image is too small for two convolutions, or an argument is not an integer.

    Example:

    >>> assumption_1_parameters((28, 28, 1)), assumption_1_parameters((32, 32, 3), use_bias=True)
    ({'f': 79400, 'y': 102500}, {'f': 308310, 'y': 108080})

    Reference: Sec. 5, "Validating Assumption 1", Eq. 5.
    """
    height, width, channels = image_shape
    # Without padding, 28 is the least side of which the second convolution leaves something.
    sides = [integer("image_shape", side, least=28) for side in (height, width)]
    for _ in range(2):
        sides = [(side - 10) // 2 + 1 for side in sides]
    convolutions = [(10 * 10 * integer("image_shape", channels), 20), (10 * 10 * 20, 50)]
    layers = [*convolutions, (50 * math.prod(sides), 10)]
    return {
        "f": dense_parameters((_entries(image_shape), 100, 10), use_bias),
        # A convolution has as many weights as the dense layer that it is at each place.
        "y": sum(dense_parameters(layer, use_bias) for layer in layers),
    }


def assumption_2_parameters(image_shape, width, use_bias=False):
    """Returns the size of the network by which Assumption 2 is validated, which gains one unit at a time.

    Args:
        image_shape: Shape of x, `(h, h, c)`.
        width: Units of its hidden layer, 1 to 29.
        use_bias: Whether both layers have a bias.

    Returns:
        A dict: `"f"`, of `width` hidden units and 10 outputs, `width (h^2 c + 10)`.

    Raises:
        ValueError: If an argument is not a positive integer.

    Example:

    >>> [assumption_2_parameters((28, 28, 1), width, use_bias=True)["f"] for width in (1, 2, 29)]
    [805, 1600, 23065]

    Reference: Assumption 2, and Sec. 1.5 of the appendix.
    """
    return {"f": dense_parameters((_entries(image_shape), integer("width", width), 10), use_bias)}


def _entries(image_shape):
    return math.prod(integer("image_shape", size) for size in image_shape)


def _hidden(num_inputs, depth, width, last=None):
    """The sizes of f or e without its last layer; the last hidden one has `last` units, None for `width`."""
    before = [integer("width", width)] * (integer("depth", depth, 2) - 2)
    return [num_inputs, *before, width if last is None else integer("rank", last)]


def _parameters(num_inputs, generator, embedding, embedding_dim, outputs, use_bias=False, generates_biases=False):
    """The four sizes; `generator` and `embedding` are those of f and e without their last layers."""
    n_g = dense_parameters((num_inputs, HIDDEN_UNITS, outputs), generates_biases)
    return {
        "g": n_g,
        "q": dense_parameters((num_inputs + embedding_dim, HIDDEN_UNITS, outputs), use_bias),
        "f": dense_parameters((*generator, n_g), use_bias),
        "e": dense_parameters((*embedding, embedding_dim), use_bias),
    }
