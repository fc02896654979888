"""Fills pages of docs/ from the rows in results/: tables beside published numbers; and draws a figure of fronts.

Command: `python docs/result_tables.py`
"""

import pathlib
import re
import statistics

from keras_hypernet.common.figures import figure_class, save_figure
from keras_hypernet.common.files import write_text
from keras_hypernet.common.markdown import table
from keras_hypernet.experiments import NAMES, continual, get_experiment, hypernetworks_static, pareto
from keras_hypernet.experiments.report import hours_of, verdicts
from keras_hypernet.experiments.rows import group_rows, own_rows
from keras_hypernet.tasks import ParetoTask

_MARKED = re.compile(rf"(<!-- results of ({'|'.join(NAMES)}) -->\n).*?(<!-- end -->)", re.DOTALL)
# By experiment: further figures of the page, and their titles.
FIGURES = {"pareto_toy": {"pareto_fronts.png": "The fronts of three problems, and the learned solutions"}}
# By experiment, and by panel and method, or panel, method and value: published numbers, as text.
PUBLISHED = {
    "continual_digits": {
        ("permuted", "finetune", 5000): f"{continual.FINETUNE_KNOWN['permuted']}",
        **{("split", "ewc", 2000): f"{continual.EWC_KNOWN['split']}, inferred {continual.EWC_INFERRED['split']}"},
        **{
            (name, "hyper", 5000): f"{known}, inferred {continual.INFERRED[name]}"
            for name, known in continual.KNOWN.items()
        },
    },
    "continual_polynomials": {("polynomials", "hyper", 4000): ", ".join(map(str, continual.POLYNOMIALS))},
    "hypernetworks_static": {
        ("mnist", method, hypernetworks_static.DIMENSION): f"{error}"
        for method, error in hypernetworks_static.PUBLISHED.items()
    },
    "pareto_toy": {
        **{(panel, "linear"): f"{number}" for panel, number in pareto.PUBLISHED.items()},
        **{(panel, "chebyshev"): f"{number} (best)" for panel, number in pareto.PUBLISHED_BEST.items()},
    },
}
# Further numbers of the rows that a table shows, with the noun of each.
_ALSO = {
    "continual_digits": {"inferred": "task inferred", "forgotten": "forgotten"},
    "continual_polynomials": {"first": "first", "second": "second", "third": "third", "forgotten": "forgotten"},
    "pareto_toy": {
        "inner": "preferences of at least 0.16",
        "front": "distance to the front",
        "gaps": "gaps: distance from the front to the nearest solution",
    },
    "gaussian_process": {
        "log_likelihood": "log-likelihood",
        "exact_log_likelihood": "exact log-likelihood",
        "parameters": "parameters",
    },
    "hyperparameter_response": {"validation": "validation", "training_seconds": "seconds of a training"},
}


def filled(text, folder):
    """A page with the results between its marks, `<!-- results of NAME -->` and `<!-- end -->`; NAME is an experiment.

    `folder` is the folder of the results. If there are none, the page says "Not run yet".
    """
    return _MARKED.sub(lambda marks: f"{marks[1]}{_results(marks[2], folder)}\n{marks[3]}", text)


def _results(name, folder):
    experiment = get_experiment(name)
    rows = own_rows(experiment, folder)[0]
    if not rows:
        return "Not run yet."
    published = PUBLISHED.get(name, {})
    also = _ALSO.get(name, {})
    columns = ["panel", "method", experiment.varies, "ours (mean ± standard deviation)", *also.values()]
    columns += [*["published"] * bool(published), "seeds", "minutes a run"]
    lines = []
    for (panel, method, value), group in group_rows(rows, experiment.varies).items():
        tests = [row["test"] for row in group if row["test"] is not None]
        spread = f" ± {statistics.stdev(tests):.2g}" if len(tests) > 1 else ""
        ours = f"{statistics.fmean(tests):.3g}{spread}" if tests else "diverged"
        seconds = [row.get("training_seconds") or row["seconds"] or 0 for row in group]  # of a training that runs share
        minutes = f"{statistics.median(seconds) / 60:.1f}"
        theirs = [published.get((panel, method, value), published.get((panel, method), ""))] * bool(published)
        others = [_mean(group, field) for field in also]
        lines.append((panel, experiment.drawing.label(group[0]), value, ours, *others, *theirs, len(tests), minutes))
    hours = hours_of(experiment, rows)[0]
    figures = {f"{name}.png": experiment.title, **FIGURES.get(name, {})}
    figures = {each: title for each, title in figures.items() if (pathlib.Path(folder) / each).exists()}
    shown = [f"![{title}](../results/{each})" for each, title in figures.items()]
    time = f"{hours:.1f} hours of one worker, {30 * hours / experiment.seeds:.1f} minutes a seed on two cores"
    processors = ", ".join(sorted({row["machine"]["processor"] for row in rows if row["machine"]}))
    time += f"\n({processors})" if processors else ""
    command = f"`keras-hypernet experiment {name} --workers 2 --out runs`"
    facts = f"{len(rows)} runs. The grid takes {time}:\n{command}."
    parts = [*shown, facts, "\n".join(verdicts(name, folder))]
    return "\n\n".join(["\n".join(table(columns, lines)), *parts])


def _mean(rows, field):
    """The mean of a number over the rows that have it: a diverged run has none."""
    values = [row[field] for row in rows if row.get(field) is not None]
    if not values:
        return ""
    mean = statistics.mean(values)  # of equal integers an integer
    return f"{mean:.3g}" if isinstance(mean, float) else f"{mean:,}"


def draw_fronts(folder):
    """Draws the objectives that hypernetworks of seed 0 reach on problems of two objectives: `pareto_fronts.png`.

    Returns the paths, an empty list without rows. Raises ImportError without Matplotlib.
    """
    rows = own_rows(get_experiment("pareto_toy"), folder)[0]
    widest = max((row["width"] for row in rows), default=None)
    chosen = {
        (row["panel"], row["method"]): row["objectives"]
        for row in rows
        if row["seed"] == 0 and row["width"] == widest and len(row.get("objectives", [[]])[0]) == 2
    }
    if not chosen:
        return []
    panels = list(dict.fromkeys(panel for panel, _ in chosen))
    figure = figure_class()(figsize=(1 + 3.2 * len(panels), 3.4), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.plot(*ParetoTask(panel).front().T, color="0.7", linewidth=3, label="front")
        for method, marker, color in (("linear", "o", "#1b4f8a"), ("chebyshev", "x", "#d1641b")):
            if (panel, method) in chosen:
                points = list(zip(*chosen[panel, method], strict=True))
                label = pareto.LABELS[method]
                axes.plot(*points, marker, color=color, markersize=4, linestyle="none", label=label)
        axes.set(title=panel, xlabel="first objective", ylabel="second objective")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    path = pathlib.Path(folder) / "pareto_fronts.png"
    save_figure(figure, path, "pareto_fronts")
    return [path]


if __name__ == "__main__":
    pages = pathlib.Path(__file__).parent
    results = pages.parent / "results"
    draw_fronts(results)
    for page in sorted(pages.glob("*.md")):
        write_text(page, filled(page.read_text(encoding="utf-8"), results))
