"""What reproduced: the claims of the paper against the rows, as `results/README.md`."""

import pathlib

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.claims import LEAST_SEEDS, Claim, better, closer, each_step, improves
from keras_hypernet.experiments.drawing import own_rows
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.files import replacing

_BETTER = "reproduced: the median ratio below 1 in every seed; partly: in most; otherwise not."
_EVERYWHERE = "reproduced: the median ratio below 1 in every seed, and lower at every value; partly: in most seeds."
_WIDE = "reproduced: the median ratio below 0.5 in every seed; partly: below 1 in most; otherwise not."
_FALLS = "reproduced: p < 0.05, lower at the last value than at the first; partly: lower alone; otherwise not."
_STAYS = "reproduced: p >= 0.05, and at most a tenth lower at the last value than at the first; partly: one of them."

CLAIMS = (
    Claim(
        "synthetic-better",
        "The hypernetwork is better than the embedding method on synthetic targets, from three layers on.",
        "synthetic_depth",
        ("inner", "hadamard", "concat"),
        better(least=3, everywhere=True),
        _EVERYWHERE,
        {},
    ),
    Claim(
        "synthetic-depth-f",
        "On synthetic targets, the hypernetwork improves with the depth of f.",
        "synthetic_depth",
        ("inner", "hadamard", "concat"),
        improves("hyper"),
        _FALLS,
        {},
    ),
    Claim(
        "synthetic-depth-e",
        "On synthetic targets, the embedding method does not improve with the depth of e.",
        "synthetic_depth",
        ("inner", "hadamard", "concat"),
        improves("embed", holds=False),
        _STAYS,
        {},
    ),
    Claim(
        "synthetic-dimension",
        "On synthetic targets, the embedding method does not improve with the embedding dimension.",
        "synthetic_embedding_dim",
        ("inner",),
        improves("embed", holds=False),
        _STAYS,
        {},
    ),
    Claim(
        "synthetic-dimension-better",
        "On synthetic targets, the embedding method is worse at any dimension than hypernetworks with a wider f.",
        "synthetic_embedding_dim",
        ("inner",),
        better(everywhere=True),
        _EVERYWHERE,
        {},
    ),
    Claim(
        "synthetic-sensitivity",
        "Ours: the hypernetwork is better at depths 3 and 6 whatever the choices that the paper leaves open.",
        "synthetic_sensitivity",
        ("width_100", "width_1000", "gain_10", "epochs_60"),
        better(),
        _BETTER,
        {},
    ),
    Claim(
        "assumption-1",
        "Two approximators of one target are much closer to each other than to it.",
        "assumption_1",
        ("cifar10", "mnist", "uniform"),
        closer,
        "reproduced: at most half the distance in every seed; partly: closer in every seed; otherwise not.",
        {
            ("cifar10", "reproduced"): "Both explain about half of the variance of y, and by and large the same half.",
            ("mnist", "reproduced"): "Both explain two thirds of the variance of y, by and large the same.",
            ("uniform", "not"): (
                "After 50 epochs of 10,000 samples they are still further from y than its variance: neither "
                "approximates it yet, and what is left of their different starts decides. The ratio is falling."
            ),
        },
    ),
    Claim(
        "rotation-better",
        "On rotations, the hypernetwork is better than the embedding method by a wide margin.",
        "rotation_depth",
        ("mnist", "cifar10"),
        better(wide=0.5),
        _WIDE,
        {},
    ),
    Claim(
        "rotation-depth-f",
        "On rotations, the hypernetwork improves with the depth of f.",
        "rotation_depth",
        ("mnist", "cifar10"),
        improves("hyper"),
        _FALLS,
        {},
    ),
    Claim(
        "rotation-depth-e",
        "On rotations, the embedding method does not improve with the depth of e.",
        "rotation_depth",
        ("mnist", "cifar10"),
        improves("embed", holds=False),
        _STAYS,
        {},
    ),
    Claim(
        "rotation-dimension",
        "On rotations, the embedding method does not improve with the embedding dimension.",
        "rotation_embedding_dim",
        ("mnist", "cifar10"),
        improves("embed", holds=False),
        _STAYS,
        {},
    ),
    Claim(
        "colorization-better",
        "On colorization, the hypernetwork is better than the embedding method by a wide margin.",
        "colorization_depth",
        ("cifar10",),
        better(wide=0.5),
        _WIDE,
        {("cifar10", "partly"): "Better at every depth, by about a quarter in the median: not a wide margin."},
    ),
    Claim(
        "colorization-dimension",
        "On colorization, the embedding method does not improve with the embedding dimension.",
        "colorization_embedding_dim",
        ("cifar10",),
        improves("embed", holds=False),
        _STAYS,
        {},
    ),
    Claim(
        "learning-rate",
        "The hypernetwork is better whatever the learning rate.",
        "learning_rate",
        ("mnist", "cifar10"),
        better(everywhere=True),
        _EVERYWHERE,
        {},
    ),
    Claim(
        "assumption-2",
        "One more neuron is strictly better.",
        "assumption_2",
        ("mnist", "cifar10"),
        each_step,
        "reproduced: the mean falls at every step; partly: p < 0.05; otherwise not.",
        {},
    ),
    Claim(
        "neural-process",
        "Ours: a neural process tells more from four images of a class than from one.",
        "neural_process",
        ("mnist",),
        improves("process"),
        _FALLS,
        {},
    ),
    Claim(
        "initialization",
        "Ours: from a principled initialization, at a learning rate that suits it, the hypernetwork is better, too.",
        "initialization",
        ("mnist", "cifar10"),
        better(wide=0.5),
        _WIDE,
        {},
    ),
)

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
    rows = {
        name: own_rows(get_experiment(name), ResultsFile(folder / f"{name}.jsonl").read()[0], [])
        for name in dict.fromkeys(claim.experiment for claim in CLAIMS)
    }
    path = folder / "README.md"
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*_introduction(), *_verdicts(rows), *_runs(rows)]) + "\n", encoding="utf-8")
    return path


def _introduction():
    return [
        "# What reproduced",
        "",
        "Written by `keras-hypernet plot all` from the rows in this folder, a run a line in `<experiment>.jsonl`; the",
        "figures and the numbers in them are beside these. Each row holds the whole configuration of its run, seed,",
        "versions and machine included, and `keras-hypernet experiment <name> --resume` adds what is missing. Values",
        "are of test data, after the last epoch. A run that diverged counts as infinitely bad. Only seeds of which a",
        f"panel has all runs are counted, and with fewer than {LEAST_SEEDS} of them a claim stays open. Tests are",
        "one-sided and paired: a seed gives one number, the median over what is varied of the ratio of the methods'",
        "errors, or one ranking. So p is at least 0.03 for five seeds and 0.125 for three.",
        "",
    ]


def _verdicts(rows):
    lines = []
    for claim in CLAIMS:
        found = rows[claim.experiment]
        lines += [f"## {claim.text}", "", f"`{claim.experiment}`: {claim.rule}", ""]
        lines += ["| where | measured | test | verdict | why |", "|---|---|---|---|---|"]
        for panel in claim.panels:
            mine = _complete(get_experiment(claim.experiment), [row for row in found if row["panel"] == panel])
            if not mine:
                lines.append(f"| {panel} | not run yet | | | |")
                continue
            finding = claim.judge(mine, get_experiment(claim.experiment).varies)
            why = claim.why.get((panel, finding.verdict), "")
            lines.append(f"| {panel} | {finding.measured} | {finding.test} | **{finding.verdict}** | {why} |")
        lines.append("")
    return lines


def _complete(experiment, rows):
    """The rows of the seeds that have all values and methods: what is run yet of a seed may not be typical.

    A run that failed, as for want of memory, is as if it had not been run.
    """
    done = {(row["seed"], row[experiment.varies], row["method"]) for row in rows if row["status"] != "failed"}
    seeds = {
        seed
        for seed in {row["seed"] for row in rows}
        if all((seed, value, method) in done for value in experiment.values for method in experiment.methods)
    }
    return [row for row in rows if row["seed"] in seeds]


def _runs(rows):
    lines = ["## Runs", "", "| experiment | runs | seeds | diverged | failed | hours |", "|---|---|---|---|---|---|"]
    for name, found in rows.items():
        count = {status: sum(row["status"] == status for row in found) for status in ("diverged", "failed")}
        experiment = get_experiment(name)
        seeds = sorted({row["seed"] for row in found})
        missing = len(experiment.runs()) - len(found)
        short = f" ({missing} of {len(experiment.runs())} are missing)" if missing > 0 else ""
        hours = sum(row.get("seconds") or 0 for row in found) / 3600
        cells = [f"`{name}`", f"{len(found)}{short}", len(seeds), count["diverged"], count["failed"], f"{hours:.2f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    every = [row for found in rows.values() for row in found]
    machines = sorted({row["machine"]["processor"] for row in every if row["machine"]})
    notes = sorted({_COPIES[row["data_sha256"]] for row in every if row["data_sha256"] in _COPIES})
    return [*lines, "", *([f"Trained on {', '.join(machines)}."] if machines else []), *notes]
