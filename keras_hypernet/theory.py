"""The paper's theory in numbers: the sizes of its networks, spectral complexity, and the bounds of Theorems 1 to 5.

NumPy alone computes all of it. N_g, N_q, N_f and N_e are numbers of parameters: of g and q, the primary networks of the
hypernetwork and of the embedding method, of the hypernetwork f and of the embedding network e.

Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020.
"""

import collections.abc
import itertools
import math
import numbers
import pathlib

import numpy as np

from keras_hypernet.files import replacing

HIDDEN_UNITS = 10  # of g and q, in every experiment of Sec. 5
ACTIVATION_LIPSCHITZ = {"linear": 1.0, "relu": 1.0, "elu": 1.0, "tanh": 1.0, "sigmoid": 0.25}
EMBEDDING_DIMS = ("constant", "unbounded")
# Keras layers that let every entry through once, or drop it.
_REARRANGING = ("InputLayer", "Flatten", "Reshape", "Permute", "Dropout")


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
    sizes = [_integer("sizes", size) for size in sizes]
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
    hidden = [100] * (_integer("depth", depth, 2) - 1)
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
    index = _integer("index", index)
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
    num_pixels = math.prod(_integer("image_shape", size) for size in image_shape)
    hidden = [num_pixels] + [_integer("width", width)] * (_integer("depth", depth, 2) - 1)
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


def spectral_complexity(weights, lipschitz=None):
    """Returns `C(f) = L^(k-1) prod_i ||W_i||_1`, which bounds the Lipschitz constant of f in the L1 norm.

    `||W||_1` is the induced norm, the largest column sum of `|W|`. A kernel is stored as W's transpose,
    `[inputs, units]`, so it is the largest sum of absolute values in a row of the kernel.

    Args:
        weights: One of:

            - a list of kernels `[inputs, units]` of a fully connected network, in the order of its layers.
            - a built `keras.Sequential`, such as `specialize` returns, of Dense layers and layers that only
              rearrange. `StandardizeImage` counts with its factor, `1 / (255 stddev)`, so that distances
              between inputs are those of uint8 pixels. A last activation counts too.
            - theta_I, the dict `{"<layer>/kernel": [B, inputs, units]}` that a hypernetwork generates for B
              conditions, in the order of its layers and with every kernel among them. Biases do not count, nor
              does a layer before the generated ones.
        lipschitz: L, the Lipschitz constant of the activation. By default 1, that of ReLU, ELU and tanh; or for a
            `keras.Sequential`, that of each layer's activation.

    Returns:
        A float, or for theta_I a float64 array `[B]`.

    Raises:
        ValueError: If there are no kernels, their shapes do not fit, a model has no weights yet, the constant of an
            activation is not known, or `lipschitz` is not positive.
        TypeError: If a layer of the model is of a kind whose Lipschitz constant is not known.

    Example:

    >>> spectral_complexity([[[1.0, -2.0], [3.0, 4.0]], [[5.0], [6.0]]])
    42.0

    Reference: Sec. 2.1, and Lemma 3 in the appendix.
    """
    if lipschitz is not None:
        lipschitz = float(_positive("lipschitz", lipschitz))
    if hasattr(weights, "layers"):
        if not getattr(weights, "built", True):
            raise ValueError(f"Model {weights.name!r} has no weights yet: call it on x before `spectral_complexity`.")
        return math.prod(_layer_constant(layer, lipschitz) for layer in weights.layers)
    if isinstance(weights, collections.abc.Mapping):
        layers = {name.rpartition("/")[0]: None for name in weights}  # in order, each once
        lacking = [layer for layer in layers if f"{layer}/kernel" not in weights]
        if lacking:
            raise ValueError(
                f"theta_I must hold the kernel of every layer. Received: none of {', '.join(lacking)}, where it is not "
                "generated. Pass the model's `specialize(model, condition)` instead."
            )
        kernels, expected = [_array(weights[f"{layer}/kernel"]) for layer in layers], "[B, inputs, units]"
    else:
        kernels, expected = [_array(kernel) for kernel in weights], "[inputs, units]"
    _check_chain([kernel.shape for kernel in kernels], expected)
    constant = (1.0 if lipschitz is None else lipschitz) ** (len(kernels) - 1)
    complexity = constant * math.prod(_induced_norm(kernel) for kernel in kernels)
    return complexity if complexity.ndim else float(complexity)


def _induced_norm(kernel):
    """`||W||_1` of kernels `[..., inputs, units]`, of which W is the transpose."""
    return np.abs(kernel).sum(axis=-1).max(axis=-1)


def _check_chain(shapes, expected):
    rank = expected.count(",") + 1
    fits = bool(shapes) and all(len(shape) == rank and 0 not in shape for shape in shapes)
    # What comes before the inputs, the number of conditions, is the same for all.
    fits = fits and all(left[:-2] == right[:-2] and left[-1] == right[-2] for left, right in itertools.pairwise(shapes))
    if not fits:
        raise ValueError(
            f"Kernels must have shapes {expected}, where the units of one are the inputs of the next. "
            f"Received: {', '.join(map(str, shapes)) or 'no kernel'}"
        )


def _layer_constant(layer, lipschitz):
    """Upper bound of the Lipschitz constant of one Keras layer, its activation included."""
    names = {weight.name for weight in layer.weights}
    is_dense = "kernel" in names and names <= {"kernel", "bias"} and hasattr(layer, "kernel")
    if is_dense and len(layer.kernel.shape) == 2:
        return float(_induced_norm(_array(layer.kernel))) * _activation_constant(layer, lipschitz)
    if not names and hasattr(layer, "mean") and hasattr(layer, "stddev"):
        return 1 / (255 * layer.stddev)
    if not names and type(layer).__name__ in _REARRANGING:
        return 1.0
    if not names and type(layer).__name__ == "Activation":
        return _activation_constant(layer, lipschitz)
    raise TypeError(
        f"The model must be a chain of Dense, StandardizeImage, Activation, {', '.join(_REARRANGING)}. "
        f"Received: layer {layer.name!r} of class {type(layer).__name__} with the weights {sorted(names)}. "
        "Make the network of one condition with `specialize`, or pass a list of kernels."
    )


def _activation_constant(layer, lipschitz):
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    if lipschitz is not None and name != "linear":
        return lipschitz
    if name not in ACTIVATION_LIPSCHITZ:
        raise ValueError(
            f"Layer {layer.name!r} has the activation {name!r}, whose Lipschitz constant is not among those of "
            f"{', '.join(ACTIVATION_LIPSCHITZ)}: pass it as `lipschitz`."
        )
    return ACTIVATION_LIPSCHITZ[name]


def _array(tensor):
    """A kernel as float64: an array, a tensor of any of Keras's backends, or a Keras variable."""
    tensor = getattr(tensor, "value", tensor)
    if hasattr(tensor, "detach"):  # PyTorch refuses what has a gradient, and has no NumPy of bfloat16
        tensor = tensor.detach().cpu().double()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor).astype("float64")


def lower_bound(eps, m, r, constant=1.0):
    """Theorem 1: the parameters that any class of networks has which approximates W_{r,m} to eps, eps^(-m/r).

    Args:
        eps: The error, positive; a number or an array.
        m: Dimension of the input: m1 + m2, of x and of the condition, or m1 for one y_I.
        r: Order of smoothness of the target functions.
        constant: The factor, which the theorem leaves open.

    Returns:
        A float, or an array of the shape of `eps`; infinity where the number is beyond the range of a float.

    Raises:
        ValueError: If `eps` or `constant` is not positive, `m` or `r` not a positive integer.

    Example:

    >>> round(lower_bound(0.1, m=4, r=2))
    100
    """
    return _power_law(eps, _integer("m", m) / _integer("r", r), constant)


def embedding_primary_bound(eps, m1, m2, embedding_dim="constant", constant=1.0):
    """Theorems 2 and 3: the least N_q for an error of eps where y is in W_{1,m1+m2}, however large e is.

    Args:
        eps, constant: As for `lower_bound`; likewise what is returned and raised.
        m1, m2: Dimensions of x and of the condition.
        embedding_dim: `"constant"`, eps^-(m1+m2) by Theorem 2; or `"unbounded"`, where the output dimension of e may
            grow as eps falls, eps^-min(m1+m2, 2 m1) by Theorem 3.

    Example:

    >>> embedding_primary_bound([0.5, 0.25], m1=1, m2=3, embedding_dim="unbounded")
    array([ 4., 16.])
    """
    if embedding_dim not in EMBEDDING_DIMS:
        raise ValueError(f"`embedding_dim` must be one of {EMBEDDING_DIMS}. Received: {embedding_dim!r}")
    m1, m2 = _integer("m1", m1), _integer("m2", m2)
    return _power_law(eps, m1 + m2 if embedding_dim == "constant" else min(m1 + m2, 2 * m1), constant)


def hypernetwork_primary_bound(eps, m1, r, constant=1.0):
    """Theorem 4: the N_g with which some hypernetwork reaches an error of eps, eps^(-m1/r), whatever m2 is.

    Args:
        eps, r, constant: As for `lower_bound`; likewise what is returned and raised.
        m1: Dimension of x.

    Example:

    >>> round(hypernetwork_primary_bound(0.1, m1=2, r=1))
    100
    """
    return _power_law(eps, _integer("m1", m1) / _integer("r", r), constant)


def hypernetwork_total_bound(eps, m2, r, w, n_g, constant=1.0):
    """Theorem 5: the N_f, all that is trained, of some hypernetwork of error eps, w^(1+m2/r) eps^(-m2/r) + w N_g.

    It holds where a linear map of w features of the condition can choose the weights of g.

    Args:
        eps, r, constant: As for `lower_bound`; likewise what is returned and raised.
        m2: Dimension of the condition.
        w: Number of features.
        n_g: N_g, as `hypernetwork_primary_bound` returns for the same `eps`, or the size of a network.

    Example:

    >>> hypernetwork_total_bound(0.5, m2=2, r=1, w=3, n_g=10)
    138.0
    """
    w, exponent = float(_integer("w", w)), _integer("m2", m2) / _integer("r", r)
    with np.errstate(over="ignore"):
        selector = _power_law(eps, exponent, np.power(w, 1 + exponent))
        bound = _positive("constant", constant) * (selector + w * _positive("n_g", n_g))
    return bound if bound.ndim else float(bound)


def _power_law(eps, exponent, constant):
    """`constant eps^-exponent`, infinity where that is too large for a float."""
    with np.errstate(over="ignore"):
        value = _positive("constant", constant) * np.power(_positive("eps", eps), -float(exponent))
    return value if value.ndim else float(value)


def plot_bounds(path, m1, m2, r=1, eps=None):
    """Draws how the primary networks of the two methods grow as the error falls, with 1 for all open constants.

    Args:
        path: File to write, `.png` or `.svg`. The same arguments make the same bytes.
        m1: Dimension of x.
        m2: Dimension of the condition.
        r: Order of smoothness. Theorems 2 and 3 are for 1; for others, Theorem 1 is drawn in their place, the
            bound for a network that reads x and the condition together.
        eps: Errors, an array; by default 0.001 to 1.

    Raises:
        ImportError: If Matplotlib is not installed.
        ValueError: If the suffix is another one, an argument is not positive, or a bound is beyond a float's range.

    Reference: Secs. 3 and 4.1.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Figures need an optional dependency: pip install 'keras_hypernet[plot]'") from error

    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise ValueError(f"`path` must end in .png or .svg. Received: {str(path)!r}")
    eps = np.geomspace(1e-3, 1, 61) if eps is None else np.sort(_positive("eps", eps).ravel())
    if r == 1:
        embedding = {
            "$N_q$ (Thm. 2)": embedding_primary_bound(eps, m1, m2, "constant"),
            "$N_q$, unbounded $E$ (Thm. 3)": embedding_primary_bound(eps, m1, m2, "unbounded"),
        }
    else:
        embedding = {"$N$ (Thm. 1)": lower_bound(eps, _integer("m1", m1) + _integer("m2", m2), r)}
    curves = {"$N_g$ (Thm. 4)": hypernetwork_primary_bound(eps, m1, r), **embedding}
    if not all(np.isfinite(values).all() for values in curves.values()):
        raise ValueError(f"A bound at an error of {eps.min():.3g} is beyond the range of a float: pass larger `eps`.")

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    # Where Theorems 2 and 3 say the same, the thin dashes are seen on the wide line.
    styles = [("black", "-", 1.5), ("0.7", "-", 5.0), ("black", "--", 1.5)]
    for (label, values), (color, style, width) in zip(curves.items(), styles, strict=False):
        axes.loglog(eps, values, color=color, linestyle=style, linewidth=width, label=label)
    axes.set(xlabel="error ε", ylabel="parameters, up to a factor")
    axes.set_title(f"$m_1$ = {m1}, $m_2$ = {m2}, $r$ = {r}")
    axes.legend()
    # An SVG would hold the time, and identifiers at random.
    metadata = {"Date": None} if suffix == ".svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "keras_hypernet"}), replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata=metadata)


def _integer(name, value, least=1):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        where = "consist of integers" if name in ("sizes", "image_shape") else "be an integer"
        raise ValueError(f"`{name}` must {where} of at least {least}. Received: {value!r}")
    return int(value)


def _positive(name, value):
    array = np.asarray(value, "float64")
    if not (array > 0).all():
        raise ValueError(f"`{name}` must be positive. Received: {value!r}")
    return array
