"""Paired statistical tests over the seeds of an experiment. A run that diverged counts as infinitely bad."""

import numpy as np

WILCOXON = "Wilcoxon's signed-rank test"


def table(rows, method, varies):
    """Test values of one method.

    Args:
        rows: Rows of one panel, of seeds that have all runs.
        method: Name of the method.
        varies: What the experiment varies.

    Returns:
        A float64 array `[seeds, values]`, both ascending, infinite where a run diverged.

    Example:

    >>> rows = [{"method": "hyper", "depth": depth, "seed": 0, "test": 1 / depth} for depth in (4, 2)]
    >>> table(rows, "hyper", "depth").tolist()
    [[0.5, 0.25]]
    """
    mine = {(row["seed"], row[varies]): row["test"] for row in rows if row["method"] == method}
    seeds, values = (sorted({key[place] for key in mine}) for place in (0, 1))
    found = [[mine[seed, value] for value in values] for seed in seeds]
    return np.array([[np.inf if test is None else test for test in tests] for tests in found], "float64")


def ratios(first, second):
    """Elementwise `first / second`: 1 where both are infinite, 0 or infinity where one is.

    Example:

    >>> ratios(np.array([1.0, np.inf, np.inf, 1.0]), np.array([2.0, np.inf, 1.0, np.inf])).tolist()
    [0.5, 1.0, inf, 0.0]
    """
    both = np.isinf(first) & np.isinf(second)
    return np.where(both, 1.0, first / np.where(both, 1.0, second))


def wilcoxon(quotients):
    """One-sided p-value of Wilcoxon's signed-rank test that ratios are below 1, a ratio a seed, by their logarithms.

    Of n seeds it is at least `2^-n`: 0.03 for five, 0.125 for three.

    Example:

    >>> wilcoxon(np.array([0.5, 0.25, 0.125, 0.0]))
    0.0625
    """
    from scipy import stats

    with np.errstate(divide="ignore"):
        logarithms = np.log(quotients)
    if not np.any(logarithms):
        return 1.0
    # Larger than all others, which is all that ranks ask for.
    return float(stats.wilcoxon(np.clip(logarithms, -1e300, 1e300), alternative="less").pvalue)


def trend(blocks):
    """One-sided p-value that values fall from left to right, each seed ranked by itself.

    Args:
        blocks: Array `[seeds, values]`.

    Returns:
        A pair: the p-value, and the name of the test. It is Wilcoxon's of the ends if there are two values, otherwise
        Page's; of one seed alone, Kendall's.

    Example:

    >>> p, name = trend(np.array([[4.0, 3.0, 2.0, 1.0], [4.1, 3.1, 2.1, 1.1]]))
    >>> round(p, 4), name
    (0.0017, "Page's trend test")
    """
    from scipy import stats

    if blocks.shape[1] < 3:
        return wilcoxon(ratios(blocks[:, -1], blocks[:, 0])), WILCOXON
    if len(blocks) < 2:
        p = stats.kendalltau(np.arange(blocks.shape[1]), _finite(blocks[0]), alternative="less").pvalue
        return float(p), "Kendall's trend test"
    return float(stats.page_trend_test(-_finite(blocks)).pvalue), "Page's trend test"


def _finite(values):
    return np.clip(values, -1e300, 1e300)
