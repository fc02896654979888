"""draw_searches: validation results against the depth, and parallel coordinates. Matplotlib is an extra."""

import math
import os
import pathlib
from typing import Any

from keras_hypernet.common.figures import figure_class, save_figure
from keras_hypernet.experiments.experiment import METHOD_LABELS

_COLOURS = {"hyper": "#1b4f8a", "embed": "#d1641b", "process": "#3d8a4f", "own": "#555555"}
_LABELS = {**METHOD_LABELS, "own": "own model"}
_LOGARITHMIC = ("learning_rate", "width", "embedding_dim")
_WIDE = 20  # largest ratio on a linear axis, which would draw values near the best as one line


def check_alike(*searches):
    """Raises ValueError unless all searches, pairs of a task's configuration and an objective, fit in one figure."""
    kinds = {(str(task), objective) for task, objective in searches}
    if len(kinds) != 1:
        raise ValueError(f"The searches of a figure must be of one task and one objective. Received: {sorted(kinds)}")


def draw_searches(results: Any, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Draws the trials of searches for one task, and returns the list of the paths.

    Args:
        results: List of `SearchResult`, such as those of both methods.
        folder: Folder for `depth.png`, the objective of each trial against its depth, with a line through the best
            trials, and `parallel.png`, a line for each trial through all hyperparameters and the objective.

    Raises ImportError without Matplotlib, and ValueError if no trial is finished or the searches differ in their tasks
    or objectives.
    """
    Figure = figure_class()
    check_alike(*((result.config["task"], result.objective) for result in results))
    rows = [row for result in results for row in result.trials]
    finished = [row for result in results for row in result.finished]
    if not finished:
        raise ValueError(f"There is nothing to draw: none of {len(rows)} trials is finished.")
    known = dict.fromkeys(name for result in results for name in result.hyperparameters)
    names = [name for name in known if any(row.get(name) is not None for row in finished)]
    names.append(results[0].objective)
    widths = {"depth": 5.2, "parallel": 2.0 + 1.7 * len(names)}
    figures = {name: Figure(figsize=(width, 3.6), layout="constrained") for name, width in widths.items()}
    _draw_depth(figures["depth"].subplots(), rows, finished, names[-1])
    _draw_parallel(figures["parallel"].subplots(), finished, names)
    paths = [pathlib.Path(folder) / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_figure(figure, path)
    return paths


def _draw_depth(axes, rows, finished, objective):
    for method in dict.fromkeys(row["method"] for row in rows):
        points, color = [row for row in finished if row["method"] == method], _COLOURS[method]
        best = dict(sorted(((row["depth"], row[objective]) for row in points), reverse=True))
        axes.plot(list(best), list(best.values()), "-", linewidth=1.3, color=color, label=_LABELS[method])
        axes.plot([row["depth"] for row in points], [row[objective] for row in points], "o", ms=4, color=color)
        lost = [row["depth"] for row in rows if row["method"] == method and row["status"] != "finished"]
        axes.plot(lost, [0.97] * len(lost), "x", color=color, transform=axes.get_xaxis_transform())
    axes.set(xlabel="number of layers k of f and e", ylabel=objective.replace("_", " "))
    axes.set_title("Trials; x: diverged or failed", fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if _wide([row[objective] for row in finished]):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _draw_parallel(axes, finished, names):
    scales = [_scale(name, [row[name] for row in finished if row.get(name) is not None]) for name in names]
    finished = sorted(finished, key=lambda row: row[names[-1]], reverse=True)  # the best trials are drawn last
    for number, row in enumerate(finished, start=1):
        values = [(position, row.get(name)) for position, name in enumerate(names)]
        points = [(position, scales[position][0](value)) for position, value in values if value is not None]
        style = {"color": _COLOURS[row["method"]], "alpha": 0.2 + 0.8 * (number / len(finished)) ** 3}
        axes.plot(*zip(*points, strict=True), linewidth=2.4 if number == len(finished) else 1.0, **style)
    for position, (_, ticks) in enumerate(scales):
        axes.axvline(position, color="0.6", linewidth=0.8)
        for height, text in ticks:
            axes.annotate(text, (position, height), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axes.set_xlim(-0.1, len(names) - 0.6)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    for method in dict.fromkeys(row["method"] for row in finished):
        axes.plot([], [], color=_COLOURS[method], label=_LABELS[method])
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.12), ncols=3)


def _wide(values):
    return min(values) > 0 and max(values) > _WIDE * min(values)


def _scale(name, values):
    """Returns a function from a column's values to heights between 0 and 1, and ticks, pairs of height and label."""
    distinct = sorted(set(values))
    if isinstance(distinct[0], str):
        change, labels = distinct.index, distinct
    else:
        logarithmic = _wide(values) or (name in _LOGARITHMIC and distinct[0] > 0)
        change = math.log if logarithmic else float
        if len(distinct) > 8:
            distinct = [distinct[0], distinct[len(distinct) // 2], distinct[-1]]
        labels = [f"{value:.3g}" for value in distinct]
    low, high = change(distinct[0]), change(distinct[-1])

    def height(value):
        return (change(value) - low) / (high - low) if high > low else 0.5

    return height, [(height(value), label) for value, label in zip(distinct, labels, strict=True)]
