"""Explanations of verdicts: sentences whose numbers are computed from the rows."""

import pathlib
import re

import numpy as np

from keras_hypernet.common.parsing import read_json
from keras_hypernet.experiments.statistics import at_lowest_validation, over_seeds, ratios, table

# The fields that identify the verdict of an explanation.
FIELDS = ("claim", "panel", "verdict", "seeds")
_NUMBER = re.compile(r"\{(?:(trivial|bilinear)|(\w+) (\w+)(?: (-?[\d.]+)(?::(-?[\d.]+))?)?)\}")


def read_explanations(folder, name="explanations.json"):
    """Returns the explanations of verdicts, a dict from `(claim, panel, verdict, seeds)` to a text for `fill`.

    `name` is the file's; `"summary.json"` has the sentences of the report's first paragraph, in their order.
    """
    path = pathlib.Path(folder) / name
    schema = {"type": "array", "items": {"type": "object", "required": [*FIELDS, "why"]}}
    content = read_json(path, schema, "a list of explanations", "Repair or remove it.") if path.exists() else []
    return {tuple(each[field] for field in FIELDS): each["why"] for each in content}


def fill(text, rows, varies, trivial=None, bilinear=None):
    """Replaces each `{STATISTIC METHOD VALUES}` in a text by a number of the rows of a panel.

    VALUES is a value of the varied quantity, or a range such as `3:9`; without it, all values count. METHOD may be
    `ratio`, the median of the hypernetwork divided by that of the embedding method. Of the medians over the seeds:
    `median` of one value, `low`, `high`, and `fall`, the relative fall from the first value to the last. `mean` is that
    over the seeds, of one value. Of the finished runs: `min`, `max`, and the numbers `runs`, of all, and `diverged`.
    `best` is the median over the seeds of the error at the value of lowest validation error. `{trivial}` is the error
    of the best trivial predictor, and `{bilinear}` that of the bilinear form.

    Raises ValueError for a number that the rows do not have.

    >>> rows = [{"method": "embed", "depth": depth, "seed": 0, "test": depth / 8} for depth in (2, 3, 4)]
    >>> fill("from {low embed} to {high embed 3:4}", rows, "depth")
    'from 0.25 to 0.5'
    """

    def replace(match):
        if match[1]:
            return _written({"trivial": trivial, "bilinear": bilinear}[match[1]])
        first, last = (None if each is None else float(each) for each in match.group(4, 5))
        if match[2] == "best":
            return _written(np.median(at_lowest_validation(rows, match[3], varies)[1]))
        return _statistic(match[2], *_tests(rows, match[3], varies, first, first if last is None else last))

    filled = _NUMBER.sub(replace, text)
    if "{" in filled:
        raise ValueError(f"An explanation must use the numbers that `fill` names. Received: {text!r}")
    return filled


def _tests(rows, method, varies, first, last):
    """Tests `[seeds, values]` of a method, and their medians over the seeds, for some of the values."""
    of_method = [row for row in rows if method in ("ratio", row["method"])]  # a method may run at one value alone
    values = sorted({row[varies] for row in of_method})
    chosen = [first is None or first <= value <= last for value in values]
    if not any(chosen):
        raise ValueError(f"An explanation must name values that were run: {values}. Received: {first:g} to {last:g}")
    if method != "ratio":
        tests = table(rows, method, varies)
        return tests[:, chosen], over_seeds(tests)[chosen]
    hyper, embed = (table(rows, each, varies) for each in ("hyper", "embed"))
    return ratios(hyper, embed)[:, chosen], ratios(over_seeds(hyper), over_seeds(embed))[chosen]


def _statistic(name, tests, medians):
    finished = tests[np.isfinite(tests)]
    if name in ("runs", "diverged"):
        return str(tests.size - (0 if name == "runs" else finished.size))
    if name == "fall":
        return f"{1 - medians[-1] / medians[0]:.0%}"
    statistics = {"low": np.min(medians), "high": np.max(medians)}
    statistics |= {"median": medians[0], "mean": tests.mean()} if len(medians) == 1 else {}
    statistics |= {"min": finished.min(initial=np.inf), "max": finished.max(initial=-np.inf)}
    if name not in statistics:
        raise ValueError(
            f"An explanation has the statistics {', '.join(statistics)}, best, runs, diverged, fall. Received: {name}"
        )
    return _written(statistics[name])


def _written(number):
    if number is None or not np.isfinite(number):
        raise ValueError(f"An explanation must use numbers that the rows have. Received: {number}")
    return f"{number:.3g}"
