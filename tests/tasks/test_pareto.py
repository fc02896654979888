"""The Pareto task against closed forms, and its measures against plain NumPy."""

import numpy as np
import pytest

from keras_hypernet.tasks import ParetoTask
from keras_hypernet.tasks.pareto import PROBLEMS, RULES, front_distance, gaps, hypervolume, scalarize

PREFERENCES = np.array([[0.1, 0.9], [0.3, 0.7], [0.5, 0.5], [0.65, 0.35], [0.9, 0.1]])


def _optima(problem, rule, preferences=PREFERENCES):
    return ParetoTask(problem, rule).optima(preferences)


def test_optima_of_the_line_are_those_of_calculus():
    first, second = PREFERENCES.T
    x = np.maximum(1 - first / (2 * second), 0)
    np.testing.assert_allclose(_optima("line", "linear"), np.stack([x, (x - 1) ** 2], axis=1), atol=1e-4)
    ratio = first / second
    x = (2 + ratio - np.sqrt(ratio**2 + 4 * ratio)) / 2  # first x = second (x - 1)^2
    np.testing.assert_allclose(_optima("line", "chebyshev"), np.stack([x, (x - 1) ** 2], axis=1), atol=1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_optima_of_the_plane_are_those_of_calculus(rule):
    first, second = PREFERENCES.T if rule == "linear" else np.sqrt(PREFERENCES.T)
    t = second / (first + second)
    np.testing.assert_allclose(_optima("plane", rule), np.stack([t**2, (1 - t) ** 2], axis=1), atol=1e-4)


def test_linear_optima_of_the_sphere_are_along_the_gradient():
    """On the unit sphere the objectives are linear."""
    preferences = ParetoTask("sphere").preferences("test")
    slopes = np.array([[0, 1, -12], [8, -44.8, 8], [-44.8, 8, 8]]) / np.array([[14], [57], [56]])
    downhill = np.maximum(-preferences @ slopes, 0)
    x = downhill / np.linalg.norm(downhill, axis=1, keepdims=True)
    expected = PROBLEMS["sphere"].objectives(x, np)
    np.testing.assert_allclose(expected[:, 1], x @ slopes[1] + 45 / 57, atol=1e-12)
    np.testing.assert_allclose(_optima("sphere", "linear", preferences), expected, atol=1e-4)


def test_weighted_sums_find_the_ends_of_a_concave_front_alone():
    found, ends = _optima("concave", "linear"), np.array([[0, 1 - np.exp(-4)], [1 - np.exp(-4), 0]])
    assert np.abs(found[:, np.newaxis] - ends).sum(axis=2).min(axis=1).max() < 0.1
    found = _optima("concave", "chebyshev")
    np.testing.assert_allclose(PREFERENCES[:, 0] * found[:, 0], PREFERENCES[:, 1] * found[:, 1], atol=1e-3)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("rule", RULES)
def test_no_random_solution_is_better_than_the_optimum(problem, rule):
    """Solutions of the whole feasible set, which the search along the front never visits."""
    facts, rng = PROBLEMS[problem], np.random.default_rng(0)
    solutions = rng.standard_normal((20_000, facts.dim)) * 0.5
    for layer in facts.layers():
        solutions = np.asarray(layer(solutions.astype("float32")), "float64")
    task = ParetoTask(problem, rule)
    preferences = task.preferences("test")
    best = scalarize(rule, task.optima(preferences), preferences)
    others = scalarize(rule, facts.objectives(solutions, np)[:, np.newaxis], preferences).min(axis=0)
    assert (best <= others + 1e-4).all()


def test_preferences_are_positive_and_sum_to_one():
    for problem, number in (("line", 50), ("sphere", 153)):
        task = ParetoTask(problem)
        for split in ("train", "validation", "test"):
            preferences = task.preferences(split)
            assert (preferences > 0).all()
            np.testing.assert_allclose(preferences.sum(axis=1), 1)
        assert task.num_examples("test") == number
        np.testing.assert_allclose(task.preferences("test").mean(axis=0), 1 / len(preferences[0]))


def test_distances_between_objectives_and_a_front():
    objectives, front = np.random.default_rng(1).uniform(size=(2, 700, 2))
    distances = np.sqrt(((objectives[:, np.newaxis] - front) ** 2).sum(axis=2))
    assert front_distance(objectives, front) == pytest.approx(distances.min(axis=1).mean())
    assert gaps(objectives, front) == pytest.approx(distances.min(axis=0).mean())
    objectives[3, 1] = np.inf  # of a run that diverges
    assert np.isnan([front_distance(objectives, front), gaps(objectives, front)]).all()


def test_hypervolume_is_the_share_of_dominated_points():
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 2.5, (12, 2))
    axis = (np.arange(800) + 0.5) / 400
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    dominated = (points <= grid).all(axis=2).any(axis=1)
    assert hypervolume(points, (2.0, 2.0)) == pytest.approx(4 * dominated.mean(), abs=0.01)
    assert hypervolume(points + 2, (2.0, 2.0)) == 0


def test_unknown_names():
    with pytest.raises(ValueError, match="`problem` must be one of"):
        ParetoTask("circle")
    with pytest.raises(ValueError, match="`rule` must be one of"):
        ParetoTask("line", "quadratic")
    with pytest.raises(ValueError, match="`rule` must be one of"):
        scalarize("max", np.ones(2), np.ones(2))
