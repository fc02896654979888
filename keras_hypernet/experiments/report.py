"""The report on the claims of the paper, `results/README.md`."""

import pathlib
import statistics
from collections import Counter
from dataclasses import replace

from keras_hypernet.common.files import write_text
from keras_hypernet.common.markdown import table
from keras_hypernet.experiments import NAMES, get_experiment
from keras_hypernet.experiments.baseline import PREDICTORS, best_trivial, by_target, predictors_of
from keras_hypernet.experiments.claims import CONFIDENCE, LEAST_SEEDS, SIGNIFICANT, THRESHOLDS, judged
from keras_hypernet.experiments.experiment import run_key
from keras_hypernet.experiments.explanations import fill, read_explanations
from keras_hypernet.experiments.paper_claims import CLAIMS
from keras_hypernet.experiments.rows import group_rows, own_rows
from keras_hypernet.experiments.statistics import holm

_INTRODUCTION = f"""\
## How to read this page

The paper is "On the Modularity of Hypernetworks" (Galanti and Wolf, NeurIPS 2020, https://arxiv.org/abs/2002.10006).
Its hypernetwork has a network f, which reads the condition I and writes the weights of a small network g of x. The
embedding method has a network e, which embeds I, and a network q of x and the embedding. The docstring of each setup in
`keras_hypernet/experiments/` defines the panels, such as `d100_h10`: a target h(I) of 100 dimensions with 10 hidden
units.

`keras-hypernet plot all` writes this page from the rows in this folder, one run per line in `<experiment>.jsonl`.
The figures, and files with their numbers, are in the same folder. Each row holds the complete configuration of its
run, with seed, versions and machine; `keras-hypernet experiment <name> --resume` adds missing runs. Values are errors
on test data after the last epoch. A diverged run counts as infinitely bad. A panel counts only the seeds that have
all their runs; with fewer than {LEAST_SEEDS} such seeds, a claim stays open. `explanations.json` explains verdicts, and
`summary.json` has the sentences at the top. Their numbers are computed from the rows. A sentence is shown only while
its verdict and its number of seeds are current.

A trivial predictor cannot use the interaction of x and the condition: a constant, least squares on x, least squares on
x and I, a network of x alone, and for colorization the mean grey of the image plus the mean image. The verdict is
"nothing learned" if no method that the claim is about has, at any value, a median below the error of the best trivial
predictor. If none has at some of the values, the column "measured" names these values.

Tests are one-sided and paired. Wilcoxon's signed-rank test asks whether one ratio per seed is below 1, or below the
limit of a claim that allows more. For two methods, it is the ratio of their errors, the median over the varied values.
For two networks f1 and f2, it is the distance between f1 and f2, divided by the distance from y. For two values, it is
the ratio of the errors at these values. If five seeds agree, p is 0.031; with three seeds, p is at least 0.125, which
is not significant. Trend tests rank all values of each seed, and can be significant with three seeds. A bootstrap test
shows that an error does not improve: it resamples the seeds, and in {CONFIDENCE:.0%} of the resamples the error must
fall by less than the tolerance. Claims on interaction alone were registered before this test: p >= {SIGNIFICANT} counts
for no improvement, and every significant fall counts. Today's rule and its verdict stand beside them. Each p is
followed by its Holm correction for all tests of this page. The rule of each claim says whether its verdict depends on
p. A verdict is marked knife-edge if a number that decides it is within 5% of its threshold. Intervals are of the mean
over the seeds, by bootstrap; a verdict that every seed must show depends on the worst seed.
"""
_NOT_RUN = "not run yet"
# Notes on copies of data sets, by the sha256 of the test split's pixels.
_COPIES = {
    "fb3252af57295aed6514bb761cade5fc6681243fd98735e31e925534d8610016": (
        "The CIFAR-10 images of these runs are a JPEG (quality 75) copy, not the original pixels."
    )
}


def write_report(folder):
    """Writes `README.md` to the folder of the results, from its rows and explanations, and returns the path.

    The report lists claims without results as not run yet. Raises ValueError if the explanations cannot be read.
    """
    folder = pathlib.Path(folder)
    rows = {name: own_rows(get_experiment(name), folder)[0] for name in NAMES}

    def judge(claims, explanations):
        return {claim: findings(claim, rows[claim.experiment], rows["baseline"], explanations) for claim in claims}

    verdicts = judge(CLAIMS, read_explanations(folder))
    corrected = _corrected(verdicts)
    details = []
    for claim, of_panels in verdicts.items():
        details += _details(claim, of_panels, corrected) if any(of_panels.values()) else []
    summary = []
    for key, text in read_explanations(folder, "summary.json").items():
        for of_panels in judge((claim for claim in CLAIMS if claim.text == key[0]), {key: text}).values():
            summary += [finding.why for finding in of_panels.values() if finding and finding.why]
    thresholds = [(name, *facts) for name, facts in THRESHOLDS.items()]
    lines = [
        *("# Results of the reproduction", "", *summary, "", _INTRODUCTION, *_significance(corrected)),
        *table(("threshold", "value", "last changed", "effect of the change"), thresholds),
        *("", *_summary(verdicts), *_predictions(verdicts), *details),
        *(*_variance(rows), *_trivial(rows), *_baselines(rows), *_runs(rows)),
    ]
    write_text(folder / "README.md", "\n".join(lines) + "\n")
    return folder / "README.md"


def verdicts(name, folder):
    """The verdicts on the claims about an experiment, and their explanations: lines of Markdown."""
    rows, baselines = (own_rows(get_experiment(each), folder)[0] for each in (name, "baseline"))
    explanations, lines = read_explanations(folder), []
    for claim in (claim for claim in CLAIMS if claim.experiment == name):
        for panel, finding in findings(claim, rows, baselines, explanations).items():
            why = f". {finding.why}" if finding and finding.why else ""
            lines.append(f"- {claim.text} {panel} **{_verdict(finding)}**{why}")
    return lines


def findings(claim, rows, baselines=(), explanations=None):
    """The `Finding` of each panel of a claim, compared with the trivial predictors; None if no seed has all runs.

    `baselines` are the rows of the experiment `baseline`; `explanations` are those of `read_explanations`.
    """
    experiment, rule, of_panels = get_experiment(claim.experiment), claim.rule, {}
    known = by_target(judged(baselines, rule.field))
    for panel in rule.panels or experiment.panels:
        of_panels[panel] = None
        if not (mine := complete_rows(experiment, panel, rows, rule)):
            continue
        predictors = predictors_of(mine, known)
        best = best_trivial(predictors)
        finding = rule.finding(mine, experiment.varies, best)
        if text := (explanations or {}).get((claim.text, panel, finding.verdict, finding.seeds)):
            mine, trivial = judged(mine, rule.field), best and best[1]
            finding = replace(finding, why=fill(text, mine, experiment.varies, trivial, predictors.get("bilinear")))
        of_panels[panel] = finding
    return of_panels


def _corrected(verdicts):
    """Holm's correction of all p-values of the report: a dict from the findings' claim and panel."""
    p_values = {
        (claim, panel): finding.p
        for claim, of_panels in verdicts.items()
        for panel, finding in of_panels.items()
        if finding is not None and finding.p is not None
    }
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _significance(corrected):
    """How many p-values are small after Holm's correction, and how few seeds allow."""
    small = sum(p < SIGNIFICANT for p in corrected.values())
    return [
        f"This page has {len(corrected)} tests. After the correction, {small} of them have p < {SIGNIFICANT}. A "
        "comparison of two methods with five seeds cannot be among them, because its p is at least 0.031: for these "
        "read the ranges over the seeds, and the intervals.",
        "",
    ]


def _verdict(finding):
    return f"{finding.verdict}{' (knife-edge)' * finding.edge}" if finding else _NOT_RUN


def _summary(verdicts):
    rows = []
    for claim, of_panels in verdicts.items():
        rows.append((claim.text, ", ".join(f"{panel} {_verdict(finding)}" for panel, finding in of_panels.items())))
    return [*table(("claim", "verdicts"), rows), ""]


def _predictions(verdicts):
    title = "Ours: predictions that were registered before the runs, and their outcome"
    text = (
        "The module of each experiment, such as `keras_hypernet/experiments/modularity.py`, states the grids, the "
        "rules, and the results that were known before, from pilot runs."
    )
    lines, groups = [f"## {title}", "", text, ""], {}
    for claim, of_panels in verdicts.items():
        for panel, predicted in claim.predicted.items():
            finding = of_panels[panel]
            outcome = (finding.verdict, finding.seeds) if finding else (_NOT_RUN, "")
            groups.setdefault(claim.experiment, []).append((claim.text, panel, predicted, *outcome))
    for name, rows in groups.items():
        lines += [f"`{name}`:", "", *table(("claim", "where", "predicted", "outcome", "seeds"), rows), ""]
    return lines


def _section(title, text, columns, rows):
    return [f"## {title}", "", text, "", *table(columns, rows), ""]


def _details(claim, of_panels, corrected):
    limits = [f"{name} {value:g}" for name, value in (("from", claim.rule.first), ("to", claim.rule.last)) if value]
    varies = get_experiment(claim.experiment).varies
    counted = f" Values of {varies} {' '.join(limits)} count." if limits else ""
    if claim.rule.first == claim.rule.last is not None:
        counted = f" Only {varies} {claim.rule.first:g} counts."
    rows = []
    for panel, finding in of_panels.items():
        if finding is None:
            rows.append((panel, _NOT_RUN))
            continue
        holm = f"; by Holm {corrected[claim, panel]:.2g}" if (claim, panel) in corrected else ""
        rows.append((panel, finding.measured, finding.test + holm, f"**{_verdict(finding)}**", finding.why))
    columns = ("where", "measured", "test", "verdict", "why")
    link = f"`{claim.experiment}` ([figure]({claim.experiment}.png))"
    return _section(claim.text, f"{link}: {claim.rule.text}{counted}", columns, rows)


def complete_rows(experiment, panel, rows, rule=None):
    """The rows of a panel's seeds that have all values and methods: runs of an incomplete seed may not be typical.

    A failed run counts as not run. Values beside the grid, such as a greater depth, are drawn and not judged; nor are
    values that do not count by the rule.
    """
    grid = (*experiment.values, *experiment.extra_values.get(panel, ()))
    values = [value for value in grid if rule is None or rule.counts(value)]
    rows = [row for row in rows if row["panel"] == panel and row[experiment.varies] in values]
    done = {(row["seed"], row[experiment.varies], row["method"]) for row in rows if row["status"] != "failed"}
    points = [(value, method) for value in values for method in experiment.methods_at(value)]
    return [row for row in rows if all((row["seed"], *point) in done for point in points)]


def _by_method(rows, methods, least):
    """The finished rows of an experiment by panel and dimension, if each method has at least `least` rows there.

    Yields the panel, the dimension, the mean variance of y, and the test errors of each method.
    """
    groups = group_rows([row for row in rows if row["status"] == "finished"], "dim")
    for panel, dim in dict.fromkeys((panel, dim) for panel, _, dim in groups):
        parts = [groups.get((panel, method, dim), []) for method in methods]
        if all(len(part) >= least for part in parts):
            variance = statistics.fmean(row["variance_of_y"] for row in parts[0])
            yield panel, dim, f"{variance:.3g}", [[row["test"] for row in part] for part in parts]


def _variance(rows):
    """What x alone, I alone and their interaction explain of Fig. 1's target and of its variants."""
    errors = [row["standard_error"] for row in rows["synthetic_variance"] if row["status"] == "finished"]
    text = (
        "`synthetic_variance` ([figure](synthetic_variance.png)): shares of the variance of y, mean and standard "
        "deviation over the seeds. I alone explains nothing, because the mean of x is zero. The standard error of a "
        f"share is at most {max(errors, default=0):.1g}."
    )
    columns, lines = ("target", "dimension", "x alone", "I alone", "interaction", "variance of y", "seeds"), []
    for panel, dim, variance, parts in _by_method(rows["synthetic_variance"], ("of_x", "of_condition", "of_both"), 2):
        cells = [f"{statistics.fmean(part):.2%} ± {statistics.stdev(part):.2%}" for part in parts]
        lines.append((panel, dim, *cells, variance, len(parts[0])))
    section = _section("Ours: what Fig. 1's target can show", text, columns, lines)
    return [*section, *_limits_of_figure_1(rows), ""]


def _limits_of_figure_1(rows):
    """The text on what Fig. 1 can and cannot show; nothing without the rows for its numbers."""
    shares = group_rows(rows["synthetic_variance"], "dim").get(("text", "of_both", 1000), [])
    interaction = [row["test"] * row["variance_of_y"] for row in shares if row["status"] == "finished"]
    inner = [row for row in rows["synthetic_depth"] if row["panel"] == "inner"]
    tests = [row["test"] for row in inner if row["test"] is not None]
    linear = group_rows(rows["synthetic_baseline"], "dim").get(("inner", "linear_x", 1000), [])
    if not (interaction and tests and linear):
        return []
    samples = inner[0]["config"]["task"]["num_train"]
    return [
        f"With 1,000 dimensions and {samples:,} samples, a function of x alone can reach a mean squared error of "
        f"{statistics.fmean(interaction):.3g}; least squares on x reach "
        f"{statistics.fmean(row['test'] for row in linear):.3g}. The lowest error of all {len(tests)} finished runs of "
        f"`synthetic_depth` on this target is {min(tests):.3g}. So the figure can show how well each method fits a "
        "linear function of x under this recipe. It cannot show whether a method uses I, and so neither supports nor "
        "contradicts the paper's claim: `modularity_depth` has a target that can."
    ]


def _trivial(rows):
    text = (
        "`baseline` ([figure](baseline.png)): test errors, medians over the seeds. The bilinear form is a reference, "
        "not a trivial predictor."
    )
    lines = []
    for panel in dict.fromkeys(row["panel"] for row in rows["baseline"]):
        mine = [row for row in rows["baseline"] if row["panel"] == panel]
        predictors = predictors_of(mine, by_target(mine))
        cells = [f"{predictors[name]:.3g}" if name in predictors else "" for name in PREDICTORS]
        lines.append((panel, *cells, len({row["seed"] for row in mine})))
    return _section("Ours: trivial predictors", text, ("target", *PREDICTORS.values(), "seeds"), lines)


def _baselines(rows):
    title = "Ours: how far linear models get on the synthetic targets"
    text = "`synthetic_baseline`: mean squared errors of least squares; a model of x alone does not use I."
    columns, lines = ("target", "dimension", "variance of y", "linear in x", "linear in x and I", "seeds"), []
    for panel, dim, variance, parts in sorted(_by_method(rows["synthetic_baseline"], ("linear_x", "linear_both"), 1)):
        lines.append((panel, dim, variance, *(f"{statistics.fmean(part):.3g}" for part in parts), len(parts[0])))
    return _section(title, text, columns, lines)


def _seeds(experiment, rows):
    """The number of seeds that have all runs: one number for all panels, or one for each."""
    complete = {panel: complete_rows(experiment, panel, rows) for panel in experiment.panels}
    numbers = {panel: len({row["seed"] for row in mine}) for panel, mine in complete.items()}
    if len(set(numbers.values())) == 1:
        return str(*set(numbers.values()))
    return ", ".join(f"{panel} {number}" for panel, number in numbers.items())


def hours_of(experiment, rows):
    """Hours of one worker for the grid of an experiment, and the number of its runs whose time is unknown."""
    grid = Counter((config["panel"], config["method"], config[experiment.varies]) for config in experiment.runs())
    seconds = {
        point: statistics.median(row["seconds"] or 0 for row in group)
        for point, group in group_rows(rows, experiment.varies).items()
    }
    known = sum(number * seconds[point] for point, number in grid.items() if point in seconds)
    return known / 3600, sum(number for point, number in grid.items() if point not in seconds)


def _runs(rows):
    lines, total = [], 0.0
    for name, mine in rows.items():
        experiment = get_experiment(name)
        grid = {run_key(config) for config in experiment.runs()}
        missing = len(grid - {run_key(row["config"]) for row in mine})
        short = f" ({missing} of {len(grid)} are missing)" if missing else ""
        diverged, failed = (sum(row["status"] == status for row in mine) for status in ("diverged", "failed"))
        hours, unknown = hours_of(experiment, mine)
        time = f"{hours:.2f}" if not unknown else f"{hours:.2f}, without {unknown} runs" if mine else ""
        lines.append((f"`{name}`", f"{len(mine)}{short}", _seeds(experiment, mine), diverged, failed, time))
        total += hours
    every = [row for mine in rows.values() for row in mine]
    machines = sorted({row["machine"]["processor"] for row in every if row["machine"]})
    notes = sorted({_COPIES[row["data_sha256"]] for row in every if row["data_sha256"] in _COPIES})
    lines.append(("all", len(every), "", "", "", f"{total:.2f}"))
    columns = ("experiment", "runs", "seeds", "diverged", "failed", "hours")
    hours = (
        "Hours are those of one worker for the complete grid. The time of a run is the median over the seeds that were "
        "run."
    )
    trained = [f"Trained on {', '.join(machines)}."] if machines else []
    return ["## Runs", "", *table(columns, lines), "", hours, "", *trained, *notes]
