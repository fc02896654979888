"""What reproduced: the claims of the paper against the rows, as `results/README.md`."""

import pathlib
import statistics

from keras_hypernet.common.files import replacing
from keras_hypernet.experiments import NAMES, get_experiment
from keras_hypernet.experiments.claims import LEAST_SEEDS
from keras_hypernet.experiments.drawing import own_rows
from keras_hypernet.experiments.experiment import run_key
from keras_hypernet.experiments.paper_claims import CLAIMS
from keras_hypernet.experiments.rows import ResultsFile, group_rows

# What there is to say of a copy of a data set, by the sha256 of its test split's pixels.
_COPIES = {
    "fb3252af57295aed6514bb761cade5fc6681243fd98735e31e925534d8610016": (
        "The CIFAR-10 of these runs is a JPEG (quality 75) copy, and not the original pixels."
    ),
}


def write_report(folder):
    """Writes `README.md` to the folder of the results, from the rows alone.

    Args:
        folder: Folder of the results. Claims about experiments without any are left out, and said to be.

    Returns:
        The path.
    """
    folder = pathlib.Path(folder)
    rows = {name: own_rows(get_experiment(name), ResultsFile(folder / f"{name}.jsonl").read()[0], []) for name in NAMES}
    path = folder / "README.md"
    with replacing(path) as temporary:
        found = {claim.name: findings(claim, rows[claim.experiment]) for claim in CLAIMS}
        details = [line for claim in CLAIMS for line in _details(claim, found[claim.name])]
        lines = [*_introduction(), *_summary(found), *details, *_baselines(rows), *_runs(rows)]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _introduction():
    return [
        "# What reproduced",
        "",
        "Written by `keras-hypernet plot all` from the rows in this folder, a run a line in `<experiment>.jsonl`; the",
        "figures and the numbers in them are beside these. Each row holds the whole configuration of its run, seed,",
        "versions and machine included, and `keras-hypernet experiment <name> --resume` adds what is missing. Values",
        "are of test data, after the last epoch. A run that diverged counts as infinitely bad. Only seeds of which a",
        f"panel has all runs are counted, and with fewer than {LEAST_SEEDS} of them a claim stays open.",
        "",
        "Tests are one-sided and paired. Wilcoxon's signed-rank test is of one ratio a seed, and of whether it is",
        "below 1: of the methods' errors, the median over what is varied; of the distances of f1 from f2 and from",
        "y; or of the errors at two values, where there are no more. With five seeds that all agree p is 0.031,",
        "with three 0.125, so that three cannot be significant. Trend tests are of one ranking of all values a",
        "seed, and can be. The rule of each claim says whether its verdict depends on p.",
        "",
    ]


def findings(claim, rows):
    """The `Finding` of each panel of a claim, or None where no seed has all runs."""
    experiment = get_experiment(claim.experiment)
    complete = _complete_by_panel(experiment, rows, claim.panels)
    return {panel: claim.judge(found, experiment.varies) if found else None for panel, found in complete.items()}


def _summary(findings):
    """All verdicts in a table."""
    lines = ["| claim | verdicts |", "|---|---|"]
    for claim in CLAIMS:
        of_panels = findings[claim.name].items()
        verdicts = [f"{panel} {finding.verdict if finding else 'open'}" for panel, finding in of_panels]
        lines.append(f"| {claim.text} | {', '.join(verdicts)} |")
    return [*lines, ""]


def _details(claim, findings):
    lines = [f"## {claim.text}", "", f"`{claim.experiment}`: {claim.rule}", ""]
    lines += ["| where | measured | test | verdict | why |", "|---|---|---|---|---|"]
    for panel, finding in findings.items():
        if finding is None:
            lines.append(f"| {panel} | not run yet | | | |")
            continue
        why = claim.why.get((panel, finding.verdict, finding.seeds), "")
        lines.append(f"| {panel} | {finding.measured} | {finding.test} | **{finding.verdict}** | {why} |")
    return [*lines, ""]


def _complete_by_panel(experiment, rows, panels):
    return {panel: _complete(experiment, panel, [row for row in rows if row["panel"] == panel]) for panel in panels}


def _complete(experiment, panel, rows):
    """The rows of the seeds that have all values and methods: what is run yet of a seed may not be typical.

    A run that failed, as for want of memory, is as if it had not been run. Values beside the grid, such as a greater
    depth, are drawn, and not judged.
    """
    values = (*experiment.values, *experiment.extra_values.get(panel, ()))
    rows = [row for row in rows if row[experiment.varies] in values]
    done = {(row["seed"], row[experiment.varies], row["method"]) for row in rows if row["status"] != "failed"}
    seeds = {
        seed
        for seed in {row["seed"] for row in rows}
        if all((seed, value, method) in done for value in values for method in experiment.methods)
    }
    return [row for row in rows if row["seed"] in seeds]


def _baselines(rows):
    """What the errors on the synthetic targets are to be compared with, means over the seeds."""
    groups = {}
    for row in rows["synthetic_baseline"]:
        if row["status"] != "finished":
            continue
        groups.setdefault((row["panel"], row["dim"]), {}).setdefault(row["method"], []).append(row)
    lines = [
        "## Ours: how far linear models get on the synthetic targets",
        "",
        "`synthetic_baseline`: mean squared errors of least squares; one of x alone has learned nothing of I.",
        "",
        "| target | dimension | variance of y | linear in x | linear in x and I | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for (panel, dim), methods in sorted(groups.items()):
        if len(methods) < 2:
            continue  # interrupted in between
        variance = statistics.fmean(row["variance_of_y"] for row in methods["linear_x"])
        errors = [statistics.fmean(row["test"] for row in methods[name]) for name in ("linear_x", "linear_both")]
        numbers = " | ".join(f"{value:.3g}" for value in (variance, *errors))
        lines.append(f"| {panel} | {dim} | {numbers} | {len(methods['linear_x'])} |")
    return [*lines, ""]


def _seeds(experiment, rows):
    """The number of seeds that have all runs: one for all panels, or one for each."""
    complete = _complete_by_panel(experiment, rows, experiment.panels)
    numbers = {panel: len({row["seed"] for row in found}) for panel, found in complete.items()}
    if len(set(numbers.values())) == 1:
        return str(*set(numbers.values()))
    return ", ".join(f"{panel} {number}" for panel, number in numbers.items())


def _runs(rows):
    lines = ["## Runs", "", "| experiment | runs | seeds | diverged | failed | hours |", "|---|---|---|---|---|---|"]
    for name, found in rows.items():
        count = {status: sum(row["status"] == status for row in found) for status in ("diverged", "failed")}
        experiment = get_experiment(name)
        grid = {run_key(config) for config in experiment.runs()}
        missing = len(grid - {run_key(row["config"]) for row in found})
        short = f" ({missing} of {len(grid)} are missing)" if missing else ""
        points = [[row.get("seconds") or 0 for row in rows] for rows in group_rows(found, experiment.varies).values()]
        hours = sum(len(seconds) * statistics.median(seconds) for seconds in points) / 3600
        cells = [
            f"`{name}`",
            f"{len(found)}{short}",
            _seeds(experiment, found),
            count["diverged"],
            count["failed"],
            f"{hours:.2f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    every = [row for found in rows.values() for row in found]
    machines = sorted({row["machine"]["processor"] for row in every if row["machine"]})
    notes = sorted({_COPIES[row["data_sha256"]] for row in every if row["data_sha256"] in _COPIES})
    lines += ["", "Hours are of one worker; for each point, the median of its seeds counts for all of them."]
    return [*lines, "", *([f"Trained on {', '.join(machines)}."] if machines else []), *notes]
