"""The Pareto task: for each preference among objectives, a Pareto-optimal solution."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_hypernet.common.checks import check_choice
from keras_hypernet.data.sources import check_split
from keras_hypernet.layers import HyperDense
from keras_hypernet.models import Hypernetwork
from keras_hypernet.tasks.base import Task, check_integers
from keras_hypernet.tasks.synthetic import DRAWN

RULES = ("linear", "chebyshev")
_CONCAVE_DIM = 20
_TEST_POINTS = {2: 50, 3: 17}  # along the edge of the lattice of test preferences, by the number of objectives
_CHUNK = 500
# Numbers of points along each axis of the front, by the number of objectives: of the whole front, of the first search
# for an optimum, and of each refinement; and the number of refinements.
_FRONT = {2: 2001, 3: 201}
_COARSE, _FINE, _REFINEMENTS = {2: 401, 3: 41}, {2: 41, 3: 11}, {2: 3, 3: 10}

# Of the objectives of `sphere`, by coordinate of the solution: the linear terms; the constant terms; the divisors.
_SPHERE = ((0.0, 8.0, -44.8), (1.0, -44.8, 8.0), (-12.0, 8.0, 8.0))
_SPHERE_CONSTANTS, _SPHERE_SCALES = (12.0, 44.0, 43.7), (14.0, 57.0, 56.0)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Objectives to minimize, and their Pareto front.

    `objectives` is a function of solutions `[..., dim]` and of a module, NumPy or `keras.ops`, to `[..., num]`. `front`
    maps coordinates in `[0, 1]^(num - 1)` to the optimal solutions. `layers` returns the layers that map the output of
    a hyper layer to a feasible solution; the last one has the name of the served output.
    """

    num: int
    dim: int
    objectives: Callable
    front: Callable
    layers: Callable


def _line(x, xp):
    return xp.stack([x[..., 0], (x[..., 0] - 1) ** 2], axis=-1)


def _plane(x, xp):
    return xp.stack([xp.sum(x**2, axis=-1), xp.sum((x - 5) ** 2, axis=-1)], axis=-1) / 50


def _sphere(x, xp):
    # One product, because TensorFlow adds up three gradients or more in an order that differs between processes.
    linear = xp.matmul(x, np.array(_SPHERE, "float64" if xp is np else "float32"))
    return (xp.sum(x**2, axis=-1)[..., np.newaxis] + linear + _SPHERE_CONSTANTS) / _SPHERE_SCALES


def _concave(x, xp):
    centre = _CONCAVE_DIM**-0.5
    squares = [xp.sum((x - centre) ** 2, axis=-1), xp.sum((x + centre) ** 2, axis=-1)]
    return 1 - xp.exp(-xp.stack(squares, axis=-1))


def _octant(t):
    first, second = (np.pi / 2 * t[..., axis] for axis in range(2))
    return np.stack([np.cos(first), np.sin(first) * np.cos(second), np.sin(first) * np.sin(second)], axis=-1)


PROBLEMS = {
    "line": Problem(2, 1, _line, lambda t: t, lambda: [keras.layers.Activation("sigmoid", name="value")]),
    "plane": Problem(
        *(2, 2, _plane, lambda t: 5 * np.repeat(t, 2, axis=-1)),
        lambda: [keras.layers.Activation("sigmoid"), keras.layers.Rescaling(5.0, name="value")],
    ),
    "sphere": Problem(
        *(3, 3, _sphere, _octant),
        lambda: [keras.layers.Activation("softplus"), keras.layers.UnitNormalization(name="value")],
    ),
    "concave": Problem(
        *(2, _CONCAVE_DIM, _concave),
        lambda t: (2 * t - 1) * np.full(_CONCAVE_DIM, _CONCAVE_DIM**-0.5),
        lambda: [],
    ),
}


def scalarize(rule, objectives, preference, xp=np):
    """One number for objectives `[..., num]` and a preference `[..., num]`.

    The rule is `"linear"`, the weighted sum, or `"chebyshev"`, the greatest weighted objective. `xp` is NumPy or
    `keras.ops`.

    >>> scalarize("chebyshev", np.array([2.0, 4.0]), np.array([0.5, 0.5])).item()
    2.0
    """
    check_choice("rule", rule, RULES)
    weighted = preference * objectives
    return xp.sum(weighted, axis=-1) if rule == "linear" else xp.max(weighted, axis=-1)


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Scalarization(keras.losses.Loss):
    """The scalarized objectives of a solution; the target begins with the preference, the rest is not used."""

    def __init__(self, problem, rule, name="scalarization", **kwargs):
        super().__init__(name=name, **kwargs)
        self.problem, self.rule = problem, rule

    def call(self, y_true, y_pred):
        problem = PROBLEMS[self.problem]
        return scalarize(self.rule, problem.objectives(y_pred, ops), y_true[..., : problem.num], ops)

    def get_config(self):
        return {**super().get_config(), "problem": self.problem, "rule": self.rule}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class OptimumDistance(keras.metrics.MeanMetricWrapper):
    """The distance of a solution's objectives from the optimum, which the last entries of the target hold."""

    def __init__(self, problem, name="distance", dtype=None):
        super().__init__(self._distance, name=name, dtype=dtype)
        self.problem = problem

    def _distance(self, y_true, y_pred):
        problem = PROBLEMS[self.problem]
        y_pred = ops.cast(y_pred, y_true.dtype)
        return ops.norm(problem.objectives(y_pred, ops) - y_true[..., problem.num :], axis=-1)

    def get_config(self):
        return {"problem": self.problem, "name": self.name, "dtype": self.dtype}


@dataclasses.dataclass(frozen=True)
class ParetoTask(Task):
    """For each preference among objectives, generate the solution that minimizes the scalarized objectives.

    g has no real input: x is the number 1, and the kernel that f generates for a preference is the solution, after an
    activation that keeps it feasible. Batches are `({"x": [B, 1], "condition": [B, num]}, y)`, where the condition is
    the preference, and y `[B, 2 num]` holds the preference and the objectives of the exact optimum for it. The metric
    is the mean distance from these objectives.

    The problems are `"line"`, `(x, (x - 1)^2)` on `[0, 1]`; `"plane"`, `(|x|^2, |x - 5|^2) / 50` on `[0, 5]^2`;
    `"sphere"`, three objectives on the positive octant of the unit sphere, linear there; and `"concave"`,
    `1 - exp(-|x -+ 1 / sqrt(20)|^2)` in 20 dimensions, whose front is concave: the minima of weighted sums are the two
    ends of the front.

    Args:
        problem: Name of the problem.
        rule: `"linear"` for weighted sums, or `"chebyshev"` for the greatest weighted objective.
        num_train: Preferences in an epoch, drawn once, uniform on the simplex.
        num_validation: Preferences drawn for validation. Those of the test split are a lattice on the simplex.

    Raises:
        ValueError: If the problem or rule does not exist, or a number is not a positive integer.

    Example:

    >>> task = ParetoTask("line")
    >>> inputs, y = next(iter(task.evaluation_dataset("test")))
    >>> inputs["x"].shape, inputs["condition"].shape, y.shape
    (TensorShape([50, 1]), TensorShape([50, 2]), TensorShape([50, 4]))

    References: Navon et al., "Learning the Pareto Front with Hypernetworks", ICLR 2021. The problems: Tuan et al., "A
    Framework for Controllable Pareto Front Learning with Completed Scalarization Functions and its Applications", 2023;
    `"concave"`: Lin et al., "Pareto Multi-Task Learning", NeurIPS 2019.
    """

    problem: str
    rule: str = "linear"
    num_train: int = 10_000
    num_validation: int = 500
    name = "pareto"
    metric = "distance"
    x_shape = (1,)
    methods: ClassVar = {rule: f"a hypernetwork trained on {rule} scalarizations" for rule in RULES}
    purpose = "Writes the Pareto-optimal solution for a preference among objectives"
    limits = ("The problem is a toy: the model is of no use but to study how a front is learned.",)
    provenance: ClassVar = {
        "text": ["That one hypernetwork, from preferences to solutions, learns a front, by scalarized objectives."],
        "code": ["The convex problems, and the distance from the optimum of each preference (Tuan et al.)."],
        "ours": ["The networks, the preferences and their numbers, and the training."],
    }

    def __post_init__(self):
        check_choice("problem", self.problem, (*PROBLEMS,))
        check_choice("rule", self.rule, RULES)
        check_integers(self, "num_train", "num_validation")

    @property
    def _facts(self):
        return PROBLEMS[self.problem]

    @property
    def condition_shape(self):
        return (self._facts.num,)

    @property
    def num_outputs(self):
        return self._facts.dim

    def data_facts(self):
        return {"name": f"{self.problem}, {self.rule}", **DRAWN}

    def preferences(self, split):
        """The preferences of a split, `[N, num]`, positive, with a sum of one."""
        check_split(split)
        num = self._facts.num
        if split == "test":
            edge = _TEST_POINTS[num]
            points = [point for point in itertools.product(range(edge), repeat=num) if sum(point) == edge - 1]
            parts = np.array(points) + 1 / num
        else:
            rng = np.random.default_rng([2021, ("validation", "train").index(split)])
            parts = rng.exponential(size=(getattr(self, f"num_{split}"), num))
        return parts / parts.sum(axis=1, keepdims=True)

    def num_examples(self, split):
        return len(self.preferences(split))

    def load(self, split):
        preferences = self.preferences(split)
        x = np.ones((len(preferences), 1))
        y = np.concatenate([preferences, self.optima(preferences)], axis=1)
        return {name: array.astype("float32") for name, array in (("x", x), ("condition", preferences), ("y", y))}

    def front(self):
        """The objectives of points of the front, on a lattice of its coordinates: `[points, num]`."""
        facts = self._facts
        axis = np.linspace(0, 1, _FRONT[facts.num])
        return facts.objectives(facts.front(np.array([*itertools.product(axis, repeat=facts.num - 1)])), np)

    def optima(self, preferences):
        """The objectives of the optimal solutions for preferences, `[N, num]`, by a search along the front."""
        parts = np.split(preferences, range(_CHUNK, len(preferences), _CHUNK))
        return np.concatenate([self._search(part) for part in parts])

    def _search(self, preferences):
        facts = self._facts
        axes, points = facts.num - 1, _COARSE[facts.num]
        # At first without the ends, where one coordinate of the octant has no effect.
        centres, radius = np.full((len(preferences), axes), 0.5), 0.5 - 0.5 / points
        for _ in range(1 + _REFINEMENTS[facts.num]):
            axis = np.linspace(-radius, radius, points)
            steps = np.array([*itertools.product(axis, repeat=axes)])
            candidates = np.clip(centres[:, np.newaxis] + steps, 0, 1)
            values = facts.objectives(facts.front(candidates), np)
            best = scalarize(self.rule, values, preferences[:, np.newaxis]).argmin(axis=1)
            rows = np.arange(len(preferences))
            centres, optima = candidates[rows, best], values[rows, best]
            radius, points = 2 * axis[1] - 2 * axis[0], _FINE[facts.num]
        return optima

    def make_model(self, method, recipe):
        if method != self.rule:
            raise ValueError(f"`method` must be the rule of the task, {self.rule!r}. Received: {method!r}")
        hidden = [keras.layers.Dense(recipe.width, "relu", name=f"hidden_{n}") for n in range(1, recipe.depth)]
        generator = keras.Sequential([keras.Input(self.condition_shape, name="condition"), *hidden], name="generator")
        feasible = self._facts.layers()
        name = "solution" if feasible else "value"
        primary = [HyperDense(self.num_outputs, use_bias=False, name=name), *feasible]
        objectives = {"loss": Scalarization(self.problem, self.rule), "metrics": [OptimumDistance(self.problem)]}
        return Hypernetwork(generator, primary, name=f"pareto_{self.rule}"), objectives


def front_distance(objectives, front):
    """Mean distance of objectives `[N, num]` from the nearest of the points `[M, num]` of a front; also see `gaps`.

    NaN if a number is not finite.

    >>> front_distance(np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])).round(4).item()
    2.1213
    """
    from scipy.spatial import KDTree

    if not (np.isfinite(objectives).all() and np.isfinite(front).all()):
        return np.nan
    distances, _ = KDTree(front).query(objectives)
    return distances.mean()


def gaps(objectives, front):
    """Mean distance of the points of a front from the nearest objectives: large if parts of the front are missed."""
    return front_distance(front, objectives)


def hypervolume(points, reference):
    """The area that points `[N, 2]` dominate, up to a reference point; objectives are minimized.

    >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), (2.0, 2.0)).item()
    3.0
    """
    points = np.minimum(np.asarray(points, "float64"), reference)
    points = points[np.argsort(points[:, 0], kind="stable")]
    lowest = np.minimum.accumulate(points[:, 1])
    widths = np.diff(np.append(points[:, 0], reference[0]))
    return np.sum(widths * (reference[1] - lowest))
