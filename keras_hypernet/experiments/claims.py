"""The claims of the paper as tests of the rows: each kind of claim measures, tests and judges."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_hypernet.experiments.statistics import paired, trend, wilcoxon

SIGNIFICANT = 0.05
VERDICTS = ("reproduced", "partly", "not")


@dataclasses.dataclass(frozen=True)
class Finding:
    """What became of a claim in one panel.

    Attributes:
        measured: The numbers, in words.
        test: Name of the statistical test, what was paired, and its p-value.
        verdict: One of `VERDICTS`.
    """

    measured: str
    test: str
    verdict: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper about one experiment.

    Attributes:
        name: Short name.
        text: The claim.
        experiment: Name of the experiment.
        panels: Panels it is judged in.
        judge: Function of `(rows of a panel, what the experiment varies)` that returns a `Finding`.
        rule: How the verdict follows from the numbers, in words.
        why: Why the verdict is what it is, by panel and verdict: `{(panel, verdict): sentence}`.
    """

    name: str
    text: str
    experiment: str
    panels: tuple
    judge: Callable
    rule: str
    why: dict


def better(first="hyper", second="embed", least=None, wide=None):
    """A claim that one method is better than another, run by run.

    Args:
        first, second: The methods.
        least: Smallest value of what is varied that counts.
        wide: Ratio that the medians must not exceed for the margin to be wide, or None.
    """

    def judge(rows, varies):
        rows = [row for row in rows if least is None or row[varies] >= least]
        pairs = paired(rows, first, second, lambda row: row["test"])
        p = wilcoxon(pairs)
        medians = np.median(pairs, axis=0)
        ratio = medians[0] / medians[1] if np.isfinite(medians).all() else np.nan
        wins = np.sum(pairs[:, 0] < pairs[:, 1])
        lost = np.sum(np.isinf(pairs), axis=0)
        measured = (
            f"medians {_number(medians[0])} against {_number(medians[1])}, ratio {_number(ratio)}; better in {wins} of "
            f"{len(pairs)} pairs{_lost(lost, (first, second))}"
        )
        significant = p < SIGNIFICANT
        if significant and (wide is None or ratio <= wide):
            verdict = "reproduced"
        else:
            verdict = "partly" if significant or wins > len(pairs) / 2 else "not"
        return Finding(measured, f"Wilcoxon, pairs of one seed and {varies}, p = {_p(p)}", verdict)

    return judge


def improves(method, holds=True):
    """A claim that a method's error falls along what is varied; or, if `holds` is False, that it does not."""

    def judge(rows, varies):
        table = _table([row for row in rows if row["method"] == method], varies)
        xs = sorted({row[varies] for row in rows})
        p, name = trend(table)
        medians = np.median(table, axis=0)
        with np.errstate(invalid="ignore"):
            change = medians[-1] / medians[0] - 1
        best = xs[int(np.argmin(medians))]
        measured = (
            f"median {_number(medians[0])} at {varies} {xs[0]}, {_number(medians[-1])} at {xs[-1]}; "
            f"lowest {_number(medians.min())} at {best}{_lost([np.isinf(table).sum()], (method,))}"
        )
        falls = p < SIGNIFICANT
        # In between: it does get better from one end to the other, though not steadily; or not by a tenth.
        between = change < 0 if holds else change > -0.1
        verdict = "reproduced" if falls == holds else "partly" if between else "not"
        test = f"{name} over {len(table)} seed{'s' if len(table) > 1 else ''}, p = {_p(p)}"
        return Finding(measured, test, verdict)

    return judge


def closer(rows, varies):
    """The claim of Assumption 1: f1 and f2 are much closer to each other than either is to y."""
    finished = [row for row in rows if row["status"] == "finished"]
    pairs = np.array([(row["test_f1_f2"], min(row["test"], row["test_f2_y"])) for row in finished]).reshape(-1, 2)
    p = wilcoxon(pairs) if len(pairs) else 1.0
    ratio = np.median(pairs[:, 0] / pairs[:, 1]) if len(pairs) else np.nan
    medians = np.median(pairs, axis=0) if len(pairs) else (np.nan, np.nan)
    first = np.median([row["curve"]["f1_f2"][0] / row["curve"]["f1_y"][0] for row in finished]) if finished else np.nan
    measured = (
        f"after the last epoch {_number(medians[0])} between f1 and f2, {_number(medians[1])} from y, ratio "
        f"{_number(ratio)} (after the first epoch {_number(first)}){_lost([len(rows) - len(finished)], ('all',))}"
    )
    verdict = "not"
    if ratio < 1:
        verdict = "reproduced" if ratio <= 0.5 and p < SIGNIFICANT else "partly"
    return Finding(measured, f"Wilcoxon, pairs of one seed, p = {_p(p)}", verdict)


def each_step(rows, varies):
    """The claim of Assumption 2: every neuron that is added lowers the error."""
    table = _table(rows, varies)
    means = table.mean(axis=0)
    steps = int(np.sum(np.diff(means) < 0))
    p, name = trend(table)
    measured = (
        f"mean error {_number(means[0])} at 1, {_number(means[-1])} at {len(means)}; it falls in {steps} of "
        f"{len(means) - 1} steps"
    )
    verdict = "not"
    if p < SIGNIFICANT:
        verdict = "reproduced" if steps == len(means) - 1 else "partly"
    seeds = f"{len(table)} seed{'s' if len(table) > 1 else ''}"
    return Finding(measured, f"{name} over {seeds}, p = {_p(p)}", verdict)


def consistent(rows, varies):
    """The claim that the hypernetwork is better at every learning rate."""
    xs = sorted({row[varies] for row in rows})
    wins = []
    for x in xs:
        pairs = paired([row for row in rows if row[varies] == x], "hyper", "embed", lambda row: row["test"])
        medians = np.median(pairs, axis=0)
        wins.append(bool(medians[0] < medians[1]))
    pairs = paired(rows, "hyper", "embed", lambda row: row["test"])
    p = wilcoxon(pairs)
    lost = np.sum(np.isinf(pairs), axis=0)
    where = ", ".join(f"{x:g}" for x, win in zip(xs, wins, strict=True) if not win)
    measured = f"lower median at {sum(wins)} of {len(xs)} rates" + (f", not at {where}" if where else "")
    verdict = "not"
    if p < SIGNIFICANT or sum(wins) > len(xs) / 2:
        verdict = "reproduced" if all(wins) and p < SIGNIFICANT else "partly"
    test = f"Wilcoxon, pairs of one seed and rate, p = {_p(p)}"
    return Finding(measured + _lost(lost, ("hyper", "embed")), test, verdict)


def _table(rows, varies):
    """Test values `[seeds, points]` of the seeds that have all points, infinity where a run has no result."""
    xs = sorted({row[varies] for row in rows})
    values = {(row["seed"], row[varies]): np.inf if row["test"] is None else row["test"] for row in rows}
    seeds = sorted({row["seed"] for row in rows})
    complete = [[values[seed, x] for x in xs] for seed in seeds if all((seed, x) in values for x in xs)]
    return np.array(complete, "float64").reshape(-1, len(xs))


def _lost(lost, methods):
    said = [f"{count} of {method}" for count, method in zip(lost, methods, strict=True) if count]
    return f"; diverged: {', '.join(said)}" if said else ""


def _number(value):
    if np.isnan(value):
        return "none"
    return "diverged" if np.isinf(value) else f"{value:.3g}"


def _p(p):
    return f"{p:.1g}" if p < 0.001 else f"{p:.3f}"
