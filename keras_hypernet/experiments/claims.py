"""Kinds of claims: each has a rule that measures the rows, tests over the seeds, and gives a verdict."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_hypernet.experiments.statistics import (
    WILCOXON,
    at_lowest_validation,
    over_seeds,
    ratios,
    resampled,
    table,
    trend,
    wilcoxon,
)

# Every threshold of a verdict: its value, the date of its last change, and the effect of this change.
THRESHOLDS = {
    "significant": (0.05, "2026-11-24", "set with the first report"),
    "least seeds": (3, "2026-11-24", "set with the first verdicts over seeds; with fewer, a claim stays open"),
    "wide margin": (0.5, "2026-11-24", "set with the first report; the paper names no number"),
    "most": (0.5, "2026-11-24", "set with the first report: more than this share of the seeds, or of the values"),
    "tolerance": (
        *(0.1, "2026-11-28"),
        "a relative fall counts if it is at least this large; before, every significant fall counted, and a fall of at "
        "most a tenth did not count if it was not significant; no verdict changed",
    ),
    "confidence": (
        *(0.95, "2026-11-28"),
        "new: that an error does not improve is shown by resamples, not by a large "
        "p; `rotation_embedding_dim` on CIFAR-10 became partly, `colorization_embedding_dim` reproduced",
    ),
    "published": (
        *(0.4, "2026-11-28"),
        "new: the verdict is at least partly if this share of the seeds reaches the published number",
    ),
    "knife-edge": (0.05, "2026-11-28", "new: marks a verdict if a deciding number is this near to its threshold"),
}
SIGNIFICANT, LEAST_SEEDS, WIDE, MOST, TOLERANCE, CONFIDENCE, REACH, EDGE = (
    value for value, _, _ in THRESHOLDS.values()
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The verdict on a claim in one panel, with numbers and test in words.

    Verdicts are "reproduced", "partly", "not", "open", and "nothing learned": no method of the panel beats the best
    trivial predictor. `p` is the p-value of the test, or None. `edge` says whether a number that decides the verdict is
    within 5% of its threshold. `why` explains the verdict.
    """

    measured: str
    test: str
    verdict: str
    seeds: int
    p: float | None = None
    edge: bool = False
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a verdict follows from rows: in words, and as a function of a panel's rows and the varied quantity.

    The function returns a `Finding` from the `test` of the rows. `panels` are the judged panels; by default all of the
    experiment. `first` and `last` are the least and the greatest value of the varied quantity that counts; None for no
    limit. `field` is the judged number of a row, such as `test`: a field, or a curve, whose last value counts.
    `methods` are compared with the trivial predictors; by default all. `reference` is
    the trivial predictor if it is a method of the rows: the method, and its noun.
    """

    text: str
    judge: Callable
    panels: tuple = ()
    first: float | None = None
    last: float | None = None
    field: str = "test"
    methods: tuple = ()
    reference: tuple | None = None

    def counts(self, value):
        """Whether runs at a value of the varied quantity are judged."""
        return (self.first is None or value >= self.first) and (self.last is None or value <= self.last)

    def finding(self, rows, varies, predictor=None):
        """The `Finding` of the complete rows of a panel, compared with a trivial predictor: its noun and its error.

        The verdict is "nothing learned" if no method beats the predictor: if at no value of the varied quantity, the
        median over the seeds is lower. The finding is at the knife's edge if the lowest median is near the error.
        """
        rows = judged(rows, self.field)
        if self.reference:
            method, noun = self.reference
            predictor = noun, float(np.median([row["test"] for row in rows if row["method"] == method]))
            rows = [row for row in rows if row["method"] != method]
        finding = self.judge(rows, varies)
        if predictor is None:
            return finding
        (noun, error), medians = predictor, {}
        for method in self.methods or {row["method"] for row in rows}:
            values = sorted({row[varies] for row in rows if row["method"] == method})
            for value, median in zip(values, over_seeds(table(rows, method, varies)), strict=True):
                medians[value] = min(median, medians.get(value, np.inf))
        least, worse = min(medians.values()), [value for value, median in sorted(medians.items()) if median >= error]
        measured = f"{finding.measured}; best trivial predictor: {noun}, {_number(error)}"
        if worse and len(worse) < len(medians):
            measured += f", not beaten at {varies} {_list(worse)}"
        if finding.verdict == "open":
            return dataclasses.replace(finding, measured=measured)
        near = bool(abs(least - error) <= EDGE * error)
        if least >= error:
            return dataclasses.replace(finding, measured=measured, verdict="nothing learned", edge=near)
        return dataclasses.replace(finding, measured=measured, edge=finding.edge or near)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, the name of its experiment, the `Rule` that judges it, and the verdicts predicted for some panels."""

    text: str
    experiment: str
    rule: Rule
    predicted: dict = dataclasses.field(default_factory=dict, compare=False)


def judged(rows, field):
    """The rows with the number that a rule judges, `Rule.field`, as their `test`."""
    return [{**row, "test": row.get(field, (row["curve"].get(field) or [None])[-1])} for row in rows]


def _rule(reproduced, partly, judge, panels=(), methods=()):
    return Rule(f"reproduced: {reproduced}; partly: {partly}; otherwise not.", judge, panels, methods=methods)


def _verdict(reproduced, partly):
    return "reproduced" if reproduced else "partly" if partly else "not"


def better(first="hyper", second="embed", wide=1.0, everywhere=False, at_best=False):
    """The rule for: one method is better than another.

    `wide` is the upper limit of each seed's median ratio, 0.5 for a wide margin. With `everywhere`, the median over the
    seeds must also be lower at each value. With `at_best`, each method counts at the value that suits it: in each seed,
    that of lowest validation error.
    """

    def judge(rows, varies):
        values, worse = np.array(sorted({row[varies] for row in rows})), []
        if at_best:
            best, tests = zip(*(at_lowest_validation(rows, method, varies) for method in (first, second)), strict=True)
            medians = ", ".join(
                f"{method} {_number(np.median(test))} at {varies} {_list(sorted(set(values[index])))}"
                for method, index, test in zip((first, second), best, tests, strict=True)
            )
        else:
            tests = [table(rows, method, varies) for method in (first, second)]
            medians = [over_seeds(each) for each in tests]
            worse = values[~np.broadcast_to(np.less(*medians), len(values))]
            medians = f"over the seeds lower at {len(values) - len(worse)} of {len(values)} values of {varies}"
            medians += f", not at {_list(worse)}" if len(worse) else ""
        by_seed = np.median(ratios(*tests), axis=1)
        measured = f"ratio of {first} to {second} {_range(by_seed)}; medians {medians}"
        measured += _lost(*tests, names=(first, second))
        fails = everywhere and len(worse) > 0
        verdict = _verdict((by_seed < wide).all() and not fails, np.mean(by_seed < 1) > MOST)
        near = [(ratios(*map(over_seeds, tests)).max(), 1.0)] if everywhere else []
        near += [] if fails else [(by_seed.max(), wide)]
        p = wilcoxon(by_seed / max(wide, 1.0))  # tests that the first method is better, or within the claim's limit
        return _finding(measured, WILCOXON, by_seed, p, verdict, near)

    also = ", and the median over the seeds lower at every value" * everywhere
    of = "" if (first, second) == ("hyper", "embed") else f" of {first} to {second}"
    ratio = "each method at the value of lowest validation error, the ratio" if at_best else "the median ratio"
    text = f"{ratio}{of} below {wide:g} in every seed{also}"
    return _rule(text, "below 1 in most seeds", judge, methods=(first, second))


def improves(method, holds=True, least=TOLERANCE):
    """The rule for: a method's error falls along the varied quantity; or, if `holds` is False, does not fall.

    `least` is the relative fall of the median, from the first value to the last, that counts. `holds=False` takes a
    large p-value for the absence of a trend, as was registered for `modularity_*`; `stays` tests the absence.

    A diverged run is infinitely bad. Divergence alone must not make a trend, so the trend is tested with and without
    the values at which a run diverged: the larger p-value counts for a fall, the smaller p-value against a fall. A
    method that diverges at the first value and not at the last falls, which makes a fall "partly".
    """

    def judge(rows, varies):
        tests, values, medians, fall, course = _fall(rows, method, varies)
        p, name = trend(tests)
        finite = np.isfinite(tests).all(axis=0)
        p_finite = trend(tests[:, finite])[0] if finite.sum() > 1 else None
        measured = f"{course}{_lost(tests)}"
        if not finite.all():
            lost = [value for value, whole in zip(values, finite, strict=True) if not whole]
            rest = "too few are left for a test" if p_finite is None else f"p = {_p(p_finite)}"
            measured += f", at {_list(lost)}; without {'that value' if len(lost) == 1 else 'these'}, {rest}"
        both = [p, 1.0 if p_finite is None else p_finite]
        if np.isinf(medians).all():
            verdict = "open"
        elif holds:
            verdict = _verdict(max(both) < SIGNIFICANT and fall > least, fall > TOLERANCE)
        else:
            signs = min(both) >= SIGNIFICANT, fall <= TOLERANCE
            verdict = _verdict(all(signs), any(signs))
        near = [(fall, least if holds else TOLERANCE), *((each, SIGNIFICANT) for each in both)]
        return _finding(measured, name, tests, p, verdict, near)

    p_value = f"{SIGNIFICANT}, also without the values at which a run diverged"
    if not holds:
        stays = f"p >= {p_value}, and at most a tenth lower at the last value than at the first"
        return _rule(stays, "one of the two", judge, methods=(method,))
    lower = f"{'more than a tenth ' if least else ''}lower at the last value than at the first, and p < {p_value}"
    return _rule(lower, "more than a tenth lower", judge, methods=(method,))


def stays(method):
    """The rule for: a method's error does not fall along the varied quantity.

    From the first value to the last, the geometric mean over the seeds must fall by less than the tolerance in nearly
    all bootstrap resamples of the seeds. The test shows that the error does not improve; a test of improvement without
    a significant result would not show this.
    """

    def judge(rows, varies):
        tests, _, medians, fall, course = _fall(rows, method, varies)
        by_seed = ratios(tests[:, -1], tests[:, 0])
        falls = resampled(by_seed) <= 1 - TOLERANCE
        p = (falls.sum() + 1) / (falls.size + 1)
        measured = f"{course}; ratio of last to first {_range(by_seed)}{_lost(tests)}"
        verdict = "open" if np.isinf(medians).all() else _verdict(p < 1 - CONFIDENCE, fall < TOLERANCE)
        return _finding(measured, "bootstrap test of a fall below a tenth", tests, p, verdict, [(fall, TOLERANCE)])

    text = f"the error falls by less than a tenth from the first value to the last in {CONFIDENCE:.0%} of the resamples"
    return _rule(text, "the median falls by less than a tenth", judge, methods=(method,))


def closer(epoch=-1):
    """The rule for Assumption 1: after an epoch, f1 and f2 are much closer to each other than either is to y.

    `epoch` is the number of the epoch; -1 for the last.
    """
    index = epoch if epoch < 0 else epoch - 1

    def judge(rows, varies):
        finished = [row for row in rows if row["status"] == "finished"]
        if not finished:
            return Finding("every run diverged", "none", "open", 0)
        curves = [row["curve"] for row in finished]
        between = np.array([curve["f1_f2"][index] for curve in curves])
        from_y = np.array([min(curve["f1_y"][index], curve["f2_y"][index]) for curve in curves])
        variance = np.median([row["variance_of_y"] for row in finished])
        start = np.median([curve["f1_f2"][0] / curve["f1_y"][0] for curve in curves])
        # A seed whose network diverged is no evidence that f1 and f2 are close.
        ratio = np.append(between / from_y, [np.inf] * (len(rows) - len(finished)))
        measured = (
            f"between f1 and f2 {_number(np.median(between))}, from y {_number(np.median(from_y))}, which itself has "
            f"the variance {_number(variance)}; ratio {_range(ratio)}, {_number(start)} after the first epoch"
            f"{_lost(ratio)}"
        )
        verdict = _verdict((ratio <= WIDE).all(), (ratio < 1).all())
        return _finding(measured, WILCOXON, ratio, wilcoxon(ratio), verdict, [(ratio.max(), WIDE), (ratio.max(), 1.0)])

    return _rule("at most half the distance in every seed", "closer in every seed", judge)


def _each_step(rows, varies):
    """Assumption 2: every neuron that is added lowers the error."""
    tests = table(rows, "network", varies)
    means, widths = tests.mean(axis=0), sorted({row[varies] for row in rows})
    steps = int(np.sum(means[1:] < means[:-1]))
    p, name = trend(tests)
    measured = (
        f"mean {_number(means[0])} at {varies} {widths[0]}, {_number(means[-1])} at {widths[-1]}; it falls in "
        f"{steps} of {len(means) - 1} steps{_lost(tests)}"
    )
    return _finding(measured, name, tests, p, _verdict(steps == len(means) - 1, p < SIGNIFICANT))


EACH_STEP = _rule("the mean falls at every step", f"p < {SIGNIFICANT}", _each_step)


def reaches(method, published):
    """The rule for: a method's error reaches a published number; a dict from panels to numbers.

    The last value of the varied quantity counts. Fewer than two seeds of five below the number are "not".
    """

    def judge(rows, varies):
        number = published[rows[0]["panel"]]
        by_seed = table(rows, method, varies)[:, -1] / number
        last = max(row[varies] for row in rows if row["method"] == method)
        measured = (
            f"mean {_number(by_seed.mean() * number)} at {varies} {last}, published {number}; median ratio "
            f"{_range(by_seed)}{_lost(by_seed)}"
        )
        verdict = _verdict(by_seed.mean() <= 1, np.mean(by_seed <= 1) >= REACH)
        return _finding(measured, WILCOXON, by_seed, wilcoxon(by_seed), verdict, [(by_seed.mean(), 1.0)])

    text = "the mean over the seeds, at the last value, is at most the published number"
    return _rule(text, "at least two fifths of the seeds are at most that number", judge, (*published,), (method,))


def measured_by(rule, field):
    """A rule for another number of the rows than the test error: a field, or the last value of a curve."""
    return dataclasses.replace(rule, text=f"by `{field}`. {rule.text[0].upper()}{rule.text[1:]}", field=field)


def beside(rule, today):
    """A registered rule, which gives the verdict, with the verdict and the test of today's rule beside the numbers."""

    def judge(rows, varies):
        finding, other = rule.judge(rows, varies), today.judge(rows, varies)
        measured = f"{finding.measured}; today's rule: {other.verdict}, {other.test}"
        return dataclasses.replace(finding, measured=measured)

    text = f"{rule.text} Today's rule, beside it: {today.text}"
    return dataclasses.replace(rule, text=text, judge=judge)


def held(rule, reference, noun="a constant"):
    """A rule whose verdict is "nothing learned" where no method beats a reference, which is a method of the rows."""
    text = f"{rule.text} The trivial predictor is {noun}."
    return dataclasses.replace(rule, text=text, reference=(reference, noun))


def matches(first, second, at_best=False):
    """The rule for: one method is as good as another, within the tolerance.

    The ratio of the methods must be nearer to 1 than the tolerance in nearly all bootstrap resamples of the seeds: a
    test of equality, and not the lack of one for a difference. It must be so at every value; with `at_best` once, with
    each method at the value of lowest validation error, seed by seed.
    """

    def judge(rows, varies):
        tests = [table(rows, method, varies) for method in (first, second)]
        where = f"at {varies} {_list(sorted({row[varies] for row in rows}))}"
        if at_best:
            tests = [at_lowest_validation(rows, method, varies)[1] for method in (first, second)]
            where = "each at the value of lowest validation error"
        quotients, high = ratios(*tests), 1 + TOLERANCE
        means = np.exp(np.log(np.clip(quotients, 1e-12, 1e12)).mean(axis=0))
        resamples = [resampled(of_value) for of_value in quotients.T]
        outside = [np.sum((each <= 1 / high) | (each >= high)) for each in resamples]
        p = (max(outside) + 1) / (resamples[0].size + 1)
        equal = (means < high) & (means > 1 / high)
        measured = f"ratio of {first} to {second}, mean over the seeds, {_list(means.round(3))} {where}"
        measured += _lost(*tests, names=(first, second))
        verdict = _verdict(p < 1 - CONFIDENCE, equal.mean() > MOST)
        near = [(edge, limit) for edge in (means.min(), means.max()) for limit in (high, 1 / high)]
        return _finding(measured, "bootstrap test of a difference below a tenth", quotients, p, verdict, near)

    where = "with each at the value of lowest validation error" if at_best else "at every value"
    text = f"the ratio of {first} to {second} differs from 1 by less than a tenth in {CONFIDENCE:.0%} of the resamples"
    partly = f"the mean ratio differs by less than a tenth{'' if at_best else ' at more than half of the values'}"
    return _rule(f"{text}, {where}", partly, judge, methods=(first, second))


def _finding(measured, test, by_seed, p, verdict, near=()):
    """A `Finding`; `near` has the pairs of a number that decides the verdict and its threshold."""
    number = len(by_seed)
    seeds = f"{number} seed{'s' if number > 1 else ''}"
    verdict = verdict if number >= LEAST_SEEDS else "open"
    edge = verdict != "open" and any(abs(value - threshold) <= EDGE * threshold for value, threshold in near)
    return Finding(measured, f"{test} over {seeds}, p = {_p(p)}", verdict, number, p, edge)


def _fall(rows, method, varies):
    """Tests of a method, their values and medians; how far the medians fall from first to last, and their course."""
    tests, values = table(rows, method, varies), sorted({row[varies] for row in rows})
    medians = over_seeds(tests)
    course = (
        f"median {_number(medians[0])} at {varies} {values[0]}, {_number(medians[-1])} at {values[-1]}; lowest "
        f"{_number(medians.min())} at {values[int(np.argmin(medians))]}"
    )
    return tests, values, medians, 1 - float(ratios(medians[-1:], medians[:1])[0]), course


def _range(by_seed):
    """The median and the range over the seeds, and the bootstrap interval of their geometric mean, in words."""
    median, least, most = (_number(value, "infinite") for value in (np.median(by_seed), by_seed.min(), by_seed.max()))
    if len(by_seed) == 1:
        return median
    words = f"{median} ({least} to {most} by seed)"
    if np.isinf(by_seed).any():
        return words
    low, high = np.quantile(resampled(by_seed), (0.025, 0.975))
    return f"{words}, 95% interval of the mean {_number(low)} to {_number(high)}"


def _lost(*tests, names=("hyper", "embed")):
    """How many runs diverged, of one method, or of two."""
    names = ("",) if len(tests) == 1 else [f" {name}" for name in names]
    lost = [(np.isinf(each).sum(), each.size, name) for name, each in zip(names, tests, strict=True)]
    parts = [f"{number} of {size}{name}" for number, size, name in lost if number]
    return f"; diverged: {', '.join(parts)}" if parts else ""


def _list(values):
    return ", ".join(f"{value:g}" for value in values)


def _number(value, infinite="diverged"):
    return infinite if np.isinf(value) else f"{value:.3g}"


def _p(p):
    return f"{p:.1g}" if p < 0.001 else f"{p:.3f}"
