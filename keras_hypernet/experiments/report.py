"""What reproduced: the claims of the paper against the rows, as `results/README.md`."""

import pathlib

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.claims import Claim, better, closer, consistent, each_step, improves
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.files import replacing

_BETTER = "reproduced: p < 0.05; partly: better in more than half of the pairs; otherwise not."
_WIDE = "reproduced: p < 0.05 and at most half the median; partly: p < 0.05 alone, or better in more than half."
_FALLS = "reproduced: p < 0.05; partly: the median at the last value is below that at the first; otherwise not."
_STAYS = "reproduced: p >= 0.05; partly: p < 0.05, but less than a tenth from first to last; otherwise not."

CLAIMS = (
    Claim(
        "synthetic-better",
        "The hypernetwork is better than the embedding method on synthetic targets, from three layers on.",
        "synthetic_depth",
        ("inner", "hadamard", "concat"),
        better(least=3),
        _BETTER,
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
        "It is much worse at any embedding dimension than hypernetworks with a wider f.",
        "synthetic_embedding_dim",
        ("inner",),
        better(wide=0.5),
        _WIDE,
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
        "reproduced: p < 0.05 and at most half the distance; partly: closer, but not so; otherwise not.",
        {},
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
        {},
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
        consistent,
        "reproduced: the lower median at every rate, and p < 0.05; partly: p < 0.05, or at most rates; otherwise not.",
        {},
    ),
    Claim(
        "assumption-2",
        "One more neuron is strictly better.",
        "assumption_2",
        ("mnist", "cifar10"),
        each_step,
        "reproduced: the mean falls at every step, and p < 0.05; partly: p < 0.05; otherwise not.",
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


def write_report(folder):
    """Writes `README.md` to the folder of the results, from the rows alone.

    Args:
        folder: Folder of the results. Claims about experiments without any are left out, and said to be.

    Returns:
        The path.
    """
    folder = pathlib.Path(folder)
    rows = {
        name: ResultsFile(folder / f"{name}.jsonl").read()[0]
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
        "panel has all runs are judged.",
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
    """The rows of the seeds that have all values and methods: what is run yet of a seed may not be typical."""
    done = {(row["seed"], row[experiment.varies], row["method"]) for row in rows}
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
    machines = sorted({row["machine"]["processor"] for found in rows.values() for row in found if row["machine"]})
    return [*lines, "", f"On {', '.join(machines)}, two runs at a time." if machines else ""]
