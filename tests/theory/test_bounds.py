"""The bounds of the theorems: values, arguments, figure."""

import ast
import itertools
import math
import pathlib
import sys

import numpy as np
import pytest

from keras_hypernet import theory


def test_exponents_of_the_bounds():
    eps = np.geomspace(1e-4, 1, 9)
    dims = range(1, 5)

    def slope(values):
        slopes = np.diff(np.log(values)) / np.diff(np.log(eps))
        np.testing.assert_allclose(slopes, slopes[0], rtol=1e-9)
        return pytest.approx(-slopes[0], rel=1e-9)

    for m1, m2, r in itertools.product(dims, dims, dims):
        assert slope(theory.lower_bound(eps, m1 + m2, r)) == (m1 + m2) / r
        assert slope(theory.embedding_primary_bound(eps, m1, m2)) == m1 + m2
        assert slope(theory.embedding_primary_bound(eps, m1, m2, "unbounded")) == min(m1 + m2, 2 * m1)
        assert slope(theory.hypernetwork_primary_bound(eps, m1, r)) == m1 / r
        total = theory.hypernetwork_total_bound(eps, m2, r, w=3, n_g=7)
        assert slope(total - 3 * 7) == m2 / r
        # At an error of one, only the power of w remains.
        assert total[-1] == pytest.approx(3 ** (1 + m2 / r) + 3 * 7)


def test_bounds_of_one_error_and_their_constants():
    bound = theory.hypernetwork_primary_bound(0.5, m1=3, r=1, constant=2.0)
    assert isinstance(bound, float)
    assert bound == 2 * 2.0**3
    assert theory.lower_bound(0.5, m=3, r=1, constant=2.0) == bound
    assert theory.embedding_primary_bound(0.5, 1, 2, constant=2.0) == bound
    assert isinstance(theory.hypernetwork_total_bound(0.5, 1, 1, 2, 5), float)
    assert theory.hypernetwork_total_bound(0.5, 1, 1, 2, 5, constant=3.0) == 3 * (2**2 * 2 + 2 * 5)
    eps = np.array([[0.5], [0.25]])
    n_g = theory.hypernetwork_primary_bound(eps, m1=1, r=1)
    np.testing.assert_array_equal(theory.hypernetwork_total_bound(eps, 2, 1, 2, n_g), [[36.0], [136.0]])


def test_the_hypernetworks_primary_is_the_smaller_one():
    eps = np.array([0.1, 0.01, 0.001])
    for m1, m2 in itertools.product(range(1, 5), range(1, 5)):
        n_g = theory.hypernetwork_primary_bound(eps, m1, r=1)
        constant, unbounded = (theory.embedding_primary_bound(eps, m1, m2, kind) for kind in ("constant", "unbounded"))
        assert (constant >= unbounded).all()
        # Orders of magnitude: at least a factor of 1 / eps, and the smaller the error, the more.
        assert (unbounded / n_g >= (1 - 1e-9) / eps).all()
        # What is trained in a hypernetwork is less than any network of both inputs needs, once eps is small.
        total = theory.hypernetwork_total_bound(eps, m2, 1, w=1, n_g=n_g)
        assert (total <= 2 * theory.lower_bound(eps, m1 + m2, 1)).all()


def test_bounds_beyond_the_range_of_a_float_are_infinite():
    assert theory.embedding_primary_bound(0.5, 784, 784) == math.inf
    np.testing.assert_array_equal(theory.lower_bound([1e-200, 1.0], 2, 1), [math.inf, 1.0])
    assert theory.hypernetwork_total_bound(1e-200, 2, 1, w=10**200, n_g=1e300) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.dense_parameters((3,)), r"input and of at least one layer. Received: \[3\]"),
        (lambda: theory.dense_parameters((3, 0)), "`sizes` must consist of integers of at least 1. Received: 0"),
        (lambda: theory.dense_parameters((3, 2.0)), "`sizes` must consist of integers of at least 1. Received: 2.0"),
        (lambda: theory.synthetic_depth_parameters(1), "`depth` must be an integer of at least 2. Received: 1"),
        (lambda: theory.synthetic_embedding_dim_parameters(0), "`index` must be an integer of at least 1"),
        (lambda: theory.rotation_parameters((28, 28, -1), 4, 50), "`image_shape` must consist of integers"),
        (lambda: theory.rotation_parameters((28, 28, 1), 4, True), "`width` must be an integer.*Received: True"),
        (lambda: theory.rotation_parameters((28, 28, 1), 4, 50, rank=0), "`rank` must be an integer of at least 1"),
        (lambda: theory.rotation_parameters((28, 28, 1), 4, 50, embedding_dim=0), "`embedding_dim` must be an integer"),
        (lambda: theory.colorization_parameters((32, 32, 1), 1), "`depth` must be an integer of at least 2"),
        (lambda: theory.colorization_parameters((32, 32, 1), 3, embedding_dim=1.5), "`embedding_dim` must be an int"),
        (lambda: theory.assumption_1_parameters((27, 28, 1)), "`image_shape` must consist of integers of at least 28"),
        (lambda: theory.assumption_2_parameters((28, 28, 1), 0), "`width` must be an integer of at least 1"),
        (lambda: theory.lower_bound(0, 2, 1), "`eps` must be positive. Received: 0"),
        (lambda: theory.lower_bound([0.1, -0.1], 2, 1), r"`eps` must be positive. Received: \[0.1, -0.1\]"),
        (lambda: theory.lower_bound(math.nan, 2, 1), "`eps` must be positive. Received: nan"),
        (lambda: theory.lower_bound(0.1, 2.5, 1), "`m` must be an integer of at least 1. Received: 2.5"),
        (lambda: theory.lower_bound(0.1, 2, 0), "`r` must be an integer of at least 1. Received: 0"),
        (lambda: theory.lower_bound(0.1, 2, 1, constant=0), "`constant` must be positive. Received: 0"),
        (
            lambda: theory.embedding_primary_bound(0.1, 1, 1, "large"),
            r"`embedding_dim` must be one of \('constant', 'unbounded'\). Received: 'large'",
        ),
        (lambda: theory.hypernetwork_primary_bound(0.1, 0, 1), "`m1` must be an integer of at least 1"),
        (lambda: theory.hypernetwork_total_bound(0.1, 1, 1, 0, 5), "`w` must be an integer of at least 1"),
        (lambda: theory.hypernetwork_total_bound(0.1, 1, 1, 2, 0), "`n_g` must be positive. Received: 0"),
    ],
)
def test_arguments_out_of_their_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("name", "r"), [("bounds.svg", 1), ("bounds.png", 2)])
def test_the_figure_is_the_same_bytes_each_time(tmp_path, name, r):
    for folder in ("one", "two"):
        theory.plot_bounds(tmp_path / folder / name, m1=2, m2=3, r=r)
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert first == second
    assert first.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert [path.name for path in (tmp_path / "one").iterdir()] == [name]


def test_figures_that_cannot_be_drawn(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Format 'txt' is not supported .supported formats: .*png.*svg"):
        theory.plot_bounds(tmp_path / "bounds.txt", 1, 1)
    with pytest.raises(ValueError, match="A bound at an error of 0.001 is beyond the range of a float: pass larger"):
        theory.plot_bounds(tmp_path / "bounds.png", 784, 784)
    theory.plot_bounds(tmp_path / "bounds.png", 784, 784, eps=[0.9, 0.8])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Figures need optional dependencies: pip install 'keras_hypernet\[plot\]'"):
        theory.plot_bounds(tmp_path / "bounds.png", 1, 1)


def test_theory_needs_numpy_alone():
    files = list(pathlib.Path(theory.__file__).parent.glob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules = {module for module in modules if module.split(".")[0] not in sys.stdlib_module_names}
    assert {module.split(".")[0] for module in modules} == {"numpy", "keras_hypernet"}
    ours = {module for module in modules if module.startswith("keras_hypernet") and ".theory." not in module}
    assert ours == {f"keras_hypernet.common.{name}" for name in ("checks", "figures")}
