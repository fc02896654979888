"""Paired statistical tests over the seeds of an experiment. A run that diverged counts as infinitely bad."""

import itertools

import numpy as np
from scipy import stats

WILCOXON = "Wilcoxon's signed-rank test"


def table(rows, method, varies, field="test"):
    """Test results of a method, a float64 array `[seeds, values]`, both ascending, infinite for diverged runs.

    `rows` are the rows of one panel, of seeds that have all runs; `varies` is the name of the varied quantity. `field`
    is the field of a row, `"test"` or `"validation"`.
    """
    mine = {(row["seed"], row[varies]): row[field] for row in rows if row["method"] == method}
    seeds, values = (sorted(set(keys)) for keys in zip(*mine, strict=True))
    tests = np.array([[mine[seed, value] for value in values] for seed in seeds], "float64")  # None becomes NaN
    return np.where(np.isnan(tests), np.inf, tests)


def at_lowest_validation(rows, method, varies):
    """For each seed: the index of the value with a method's lowest validation error, and the test `[seeds, 1]`."""
    best = table(rows, method, varies, "validation").argmin(axis=1)
    return best, np.take_along_axis(table(rows, method, varies), best[:, np.newaxis], axis=1)


def over_seeds(tests):
    """Medians over the seeds of tests `[seeds, values]`."""
    with np.errstate(invalid="ignore"):  # also between two infinite values
        return np.nan_to_num(np.median(tests, axis=0), nan=np.inf, posinf=np.inf)


def ratios(first, second):
    """Elementwise `first / second`: 1 where both are infinite, 0 or infinity where only one is."""
    both = np.isinf(first) & np.isinf(second)
    return np.where(both, 1.0, first / np.where(both, 1.0, second))


def wilcoxon(quotients):
    """One-sided p-value of Wilcoxon's signed-rank test, on logarithms, that ratios, one per seed, are below 1.

    With n seeds the p-value is at least `2^-n`: 0.03 for five, 0.125 for three.
    """
    with np.errstate(divide="ignore"):
        logarithms = np.log(quotients)
    if not np.any(logarithms):
        return 1.0
    return float(stats.wilcoxon(_finite(logarithms), alternative="less").pvalue)


def resampled(quotients):
    """Geometric means of bootstrap resamples of ratios, one per seed, ascending.

    For up to six seeds, these are all resamples, so the result is exact; for more seeds, 10,000 from a fixed stream.
    """
    number = len(quotients)
    if number <= 6:
        draws = np.array(list(itertools.product(range(number), repeat=number)))
    else:
        draws = np.random.default_rng(0).integers(number, size=(10_000, number))
    logarithms = np.log(np.clip(quotients, 1e-12, 1e12))  # also for diverged runs
    return np.sort(np.exp(logarithms[draws].mean(axis=1)))


def holm(p_values):
    """Holm's correction: p-values that control the family-wise error over all tests, in the order of the tests."""
    p_values = np.asarray(p_values, "float64")
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return corrected


def trend(blocks):
    """One-sided p-value that values `[seeds, values]` fall from left to right, ranked within each seed; and its test.

    The test is Wilcoxon's for two values, Kendall's for a single seed, otherwise Page's.
    """
    if blocks.shape[1] < 3:
        return wilcoxon(ratios(blocks[:, -1], blocks[:, 0])), WILCOXON
    if len(blocks) < 2:
        p = stats.kendalltau(np.arange(blocks.shape[1]), _finite(blocks[0]), alternative="less").pvalue
        return float(p), "Kendall's trend test"
    return float(stats.page_trend_test(-_finite(blocks)).pvalue), "Page's trend test"


def _finite(values):
    """Replaces infinite values by finite values with the same ranks."""
    return np.clip(values, -1e300, 1e300)
