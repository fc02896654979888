"""Explanations of verdicts: their numbers are those of the rows, and only words are typed."""

import re

import numpy as np
import pytest
from helpers import ROOT

from keras_hypernet.experiments.explanations import fill, read_explanations
from keras_hypernet.experiments.rows import ResultsFile

TESTS = {"hyper": [[0.1, 0.2, None], [0.3, 0.4, None]], "embed": [[0.5, 0.8, 0.5], [0.5, 0.6, 0.7]]}
ROWS = [
    {"method": method, "seed": seed, "depth": depth, "test": test, "validation": test and 1 - test}
    for method, of_seeds in TESTS.items()
    for seed, tests in enumerate(of_seeds)
    for depth, test in enumerate(tests, start=2)
]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{median hyper 2}", "0.2"),
        ("{low embed} to {high embed}", "0.5 to 0.7"),
        ("{low embed 3:4}", "0.6"),
        ("{min hyper}, {max hyper}, {max embed 4}", "0.1, 0.4, 0.7"),
        ("{diverged hyper} of {runs hyper}; {diverged hyper 2:3} of {runs hyper 2}", "2 of 6; 0 of 2"),
        ("{fall embed 2:3}, {fall hyper 2:3}", "-40%, -50%"),
        ("{median ratio 2} to {low ratio 3}", "0.4 to 0.429"),
        ("{trivial} beside {bilinear}", "12.3 beside 0.0123"),
        ("{mean hyper 2}; {mean embed 3}", "0.2; 0.7"),
        ("{best hyper}", "0.3"),
        ("no number", "no number"),
    ],
)
def test_numbers_are_those_of_the_rows(text, filled):
    assert fill(text, ROWS, "depth", trivial=12.345, bilinear=0.01234) == filled


def test_a_method_may_run_at_one_value_alone():
    rows = [row for row in ROWS if row["method"] == "embed" or row["depth"] == 3]
    assert (
        fill("{median hyper 3} of {median hyper}; {high embed}; {high ratio}", rows, "depth") == "0.3 of 0.3; 0.7; 0.6"
    )


@pytest.mark.regression
def test_values_may_be_negative():
    rows = [{**row, "log_decay": row["depth"] - 4} for row in ROWS]
    assert fill("{median hyper -1}; {low ratio -2:-1}", rows, "log_decay") == fill(
        "{median hyper 3}; {low ratio 2:3}", ROWS, "depth"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{mean hyper}", "has the statistics low, high, min, max, best, runs, diverged, fall. Received: mean"),
        ("{median hyper}", "Received: median"),  # of one value alone, like the mean
        ("{low hyper 9}", r"must name values that were run: \[2, 3, 4\]. Received: 9 to 9"),
        ("{low hyper 4}", "must use numbers that the rows have. Received: inf"),
        ("{mean hyper 4}", "must use numbers that the rows have. Received: inf"),
        ("{trivial}", "must use numbers that the rows have. Received: None"),
        ("{best}", "must use the numbers that `fill` names. Received: '{best}'"),
        ("{bilinear}", "must use numbers that the rows have. Received: None"),
    ],
)
def test_other_numbers_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        fill(text, ROWS, "depth")


@pytest.mark.parametrize("name", ["explanations.json", "summary.json"])
def test_only_words_are_typed(name):
    for why in read_explanations(ROOT / "results", name).values():
        words = re.sub(r"\{[^}]*\}|f1|f2|CIFAR-10|Fig\. \d|Assumption \d", "", why)
        assert not re.search(r"\d", words), why


def test_an_explanation_has_the_number_that_is_judged():
    rows = ResultsFile(ROOT / "results" / "continual_polynomials.jsonl").read()[0]
    for number in ("first", "second", "third"):
        errors = [row[number] for row in rows if (row["method"], row["steps"]) == ("hyper", 4000)]
        assert f"the mean is {np.mean(errors):.3g}" in (ROOT / "results" / "README.md").read_text().lower()
