"""Paired statistical tests over the runs of an experiment. A run without a result counts as infinitely bad."""

import numpy as np


def paired(rows, first, second, value):
    """Pairs the runs that differ in the method alone.

    Args:
        rows: Rows of one panel.
        first, second: Names of the methods.
        value: Function of a row that returns its value; None if it has none.

    Returns:
        A float64 array `[N, 2]`: pairs of the same seed and the same value of what is varied, in the order of the rows.
    """
    values = {(row["method"], _same(row)): value(row) for row in rows}
    values = {key: np.inf if number is None else number for key, number in values.items()}
    pairs = [
        (number, values[second, same])
        for (method, same), number in values.items()
        if method == first and (second, same) in values
    ]
    return np.array(pairs, "float64").reshape(-1, 2)


def _same(row):
    names = ("seed", "depth", "index", "width", "learning_rate", "epochs")
    return tuple(row.get(name) for name in names)


def wilcoxon(pairs):
    """One-sided p-value of Wilcoxon's signed-rank test that the first of each pair is the smaller one.

    Example:

    >>> wilcoxon(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0], [1.0, np.inf]]))
    0.0625
    """
    from scipy import stats

    with np.errstate(invalid="ignore"):
        differences = np.nan_to_num(pairs[:, 0] - pairs[:, 1], nan=0.0)  # inf - inf: equally bad
    if not np.any(differences):
        return 1.0
    # Larger than all others, which is all that ranks ask for.
    return float(stats.wilcoxon(np.clip(differences, -1e300, 1e300), alternative="less").pvalue)


def trend(blocks):
    """One-sided p-value that values fall from left to right.

    Args:
        blocks: Array `[seeds, points]`.

    Returns:
        A pair: the p-value, and the name of the test. It is Wilcoxon's if there are two points, otherwise Page's if
        there are two seeds or more, otherwise Kendall's.

    Example:

    >>> trend(np.array([[4.0, 3.0, 2.0, 1.0], [4.1, 3.1, 2.1, 1.1]]))[1]
    "Page's trend test"
    >>> p, name = trend(np.array([[4.0, 3.0, 2.0, 1.0]]))
    >>> round(p, 4), name
    (0.0417, "Kendall's trend test")
    """
    from scipy import stats

    if blocks.shape[1] == 2:
        return wilcoxon(blocks[:, ::-1]), "Wilcoxon's signed-rank test"
    blocks = np.clip(blocks, -1e300, 1e300)
    if len(blocks) >= 2:
        return float(stats.page_trend_test(-blocks).pvalue), "Page's trend test"
    found = stats.kendalltau(np.arange(blocks.shape[1]), blocks[0], alternative="less").pvalue
    return (1.0 if np.isnan(found) else float(found)), "Kendall's trend test"
