"""The bounds of Theorems 1 to 5 on the numbers of parameters, and their figure.

Arguments of the bounds:

- eps: The error, positive; a number or an array.
- m1, m2: Dimensions of x and of the condition.
- r: Order of smoothness of the target functions.
- constant: The factor, which the theorems leave open.

A bound is a float, or an array of the shape of `eps`; infinity beyond the range of a float. All functions raise
ValueError if a number is not positive, or a dimension or an order is not an integer.
"""

import os
from typing import Any

import numpy as np

from keras_hypernet.common.checks import check_choice, integer, positive
from keras_hypernet.common.figures import figure_class, save_figure


def lower_bound(eps: Any, m: int, r: int, constant: float = 1.0) -> Any:
    """Theorem 1: the least number of parameters of networks that approximate W_{r,m} to an error of eps, eps^(-m/r).

    `m` is the dimension of the input: m1 + m2 for x and the condition, or m1 for one y_I.

    >>> round(lower_bound(0.1, m=4, r=2))
    100
    """
    return _power_law(eps, integer("m", m) / integer("r", r), constant)


def embedding_primary_bound(eps: Any, m1: int, m2: int, embedding_dim: str = "constant", constant: float = 1.0) -> Any:
    """Theorems 2 and 3: the least N_q for an error of eps if y is in W_{1,m1+m2}, for any size of e.

    The Lipschitz constants of e and q, or in Theorem 3 the weights of q's first layer, stay bounded as eps falls.
    `embedding_dim` is `"constant"`, eps^-(m1+m2) by Theorem 2; or `"unbounded"`, eps^-min(m1+m2, 2 m1) by Theorem 3,
    where the output dimension of e may grow as eps falls.

    >>> embedding_primary_bound([0.5, 0.25], m1=1, m2=3, embedding_dim="unbounded")
    array([ 4., 16.])
    """
    check_choice("embedding_dim", embedding_dim, ("constant", "unbounded"))
    m1, m2 = integer("m1", m1), integer("m2", m2)
    return _power_law(eps, m1 + m2 if embedding_dim == "constant" else min(m1 + m2, 2 * m1), constant)


def hypernetwork_primary_bound(eps: Any, m1: int, r: int, constant: float = 1.0) -> Any:
    """Theorem 4: a sufficient N_g for some hypernetwork to reach an error of eps, eps^(-m1/r), for any m2.

    >>> round(hypernetwork_primary_bound(0.1, m1=2, r=1))
    100
    """
    return _power_law(eps, integer("m1", m1) / integer("r", r), constant)


def hypernetwork_total_bound(eps: Any, m2: int, r: int, w: int, n_g: Any, constant: float = 1.0) -> Any:
    """Theorem 5: the trained parameters, N_f, of some hypernetwork of error eps, w^(1+m2/r) eps^(-m2/r) + w N_g.

    The theorem assumes that a linear map of w features of the condition can choose the weights of g. `n_g` is N_g, from
    `hypernetwork_primary_bound` for the same `eps`, or the size of a network.

    >>> hypernetwork_total_bound(0.5, m2=2, r=1, w=3, n_g=10)
    138.0
    """
    features, exponent = float(integer("w", w)), integer("m2", m2) / integer("r", r)
    with np.errstate(over="ignore"):
        selector = _power_law(eps, exponent, np.power(features, 1 + exponent))
        bound = positive("constant", constant) * (selector + features * positive("n_g", n_g))
    return bound if bound.ndim else float(bound)


def _power_law(eps, exponent, constant):
    with np.errstate(over="ignore"):
        value = positive("constant", constant) * np.power(positive("eps", eps), -float(exponent))
    return value if value.ndim else float(value)


def plot_bounds(path: str | os.PathLike[str], m1: int, m2: int, r: int = 1, eps: Any = None) -> None:
    """Draws the growth of both methods' primary networks as the error falls, with 1 for all open constants.

    Args:
        path: File to write; its suffix, such as `.svg`, is the format. The same arguments make the same bytes.
        m1, m2: Dimensions of x and of the condition.
        r: Order of smoothness. Theorems 2 and 3 need 1; for other orders the figure shows Theorem 1, the bound for a
            network that reads x and the condition together.
        eps: Errors, an array; by default 0.001 to 1.

    Raises ImportError without Matplotlib, and ValueError if Matplotlib does not write the format, an argument is not
    positive, or a bound is beyond the range of a float. Reference: Secs. 3 and 4.1.
    """
    figure = figure_class()(figsize=(5, 3.6), layout="constrained")
    eps = np.geomspace(1e-3, 1, 61) if eps is None else np.sort(positive("eps", eps).ravel())
    if r == 1:
        embedding = {
            "$N_q$ (Thm. 2)": embedding_primary_bound(eps, m1, m2, "constant"),
            "$N_q$, unbounded $E$ (Thm. 3)": embedding_primary_bound(eps, m1, m2, "unbounded"),
        }
    else:
        embedding = {"$N$ (Thm. 1)": lower_bound(eps, integer("m1", m1) + integer("m2", m2), r)}
    curves = {"$N_g$ (Thm. 4)": hypernetwork_primary_bound(eps, m1, r), **embedding}
    if not all(np.isfinite(values).all() for values in curves.values()):
        raise ValueError(f"A bound at an error of {eps.min():.3g} is beyond the range of a float: pass larger `eps`.")
    axes = figure.subplots()
    # Thin dashes stay visible on the wide line where Theorems 2 and 3 agree.
    styles = [("black", "-", 1.5), ("0.7", "-", 5.0), ("black", "--", 1.5)]
    for (label, values), (color, style, width) in zip(curves.items(), styles, strict=False):
        axes.loglog(eps, values, color=color, linestyle=style, linewidth=width, label=label)
    axes.set(xlabel="error ε", ylabel="parameters, up to a factor")
    axes.set_title(f"$m_1$ = {m1}, $m_2$ = {m2}, $r$ = {r}")
    axes.legend()
    save_figure(figure, path)
