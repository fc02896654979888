"""draw_searches: validation results against the depth, and parallel coordinates. Matplotlib is an extra."""

import math
import pathlib

from keras_hypernet.common.extras import needs_extra
from keras_hypernet.common.files import replacing
from keras_hypernet.experiments.experiment import METHOD_LABELS

_COLOURS = {"hyper": "#1b4f8a", "embed": "#d1641b", "process": "#3d8a4f", "own": "#555555"}
_LOGARITHMIC = ("learning_rate", "width", "embedding_dim")
_WIDE = 20  # times the smallest value: what is near the best would be one line of pixels


def figure_class():
    """Returns Matplotlib's class of figures; ImportError if Matplotlib is not installed."""
    with needs_extra("Figures need", "plot"):
        from matplotlib.figure import Figure
    return Figure


def check_alike(*searches):
    """Raises ValueError unless searches, pairs of the configuration of a task and an objective, fit in one figure."""
    kinds = {(str(task), objective) for task, objective in searches}
    if len(kinds) != 1:
        raise ValueError(f"The searches of a figure must be of one task and one objective. Received: {sorted(kinds)}")


def draw_searches(results, folder):
    """Draws the trials of searches for one task.

    Args:
        results: List of `SearchResult`, such as those of both methods.
        folder: Folder that receives `depth.png`, the objective of each trial against its depth, with a line through
            the best of each, and `parallel.png`, a line for each trial through all that was searched and the objective.

    Returns:
        The list of the paths.

    Raises:
        ImportError: If Matplotlib is not installed.
        ValueError: If no trial is finished, or the searches are of different tasks or objectives.
    """
    Figure = figure_class()
    check_alike(*((result.config["task"], result.objective) for result in results))
    rows = [row for result in results for row in result.trials]
    objective = results[0].objective
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        raise ValueError(f"There is nothing to draw: none of {len(rows)} trials is finished.")
    names = list(dict.fromkeys(name for result in results for name in result.hyperparameters))
    names = [name for name in names if any(row.get(name) is not None for row in finished)]
    folder = pathlib.Path(folder)
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    _draw_depth(figure.subplots(), rows, finished, objective)
    paths = [_save(figure, folder / "depth.png")]
    figure = Figure(figsize=(2.0 + 1.7 * (len(names) + 1), 3.6), layout="constrained")
    _draw_parallel(figure, finished, [*names, objective], objective)
    return [*paths, _save(figure, folder / "parallel.png")]


def _save(figure, path):
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
    return path


def _draw_depth(axes, rows, finished, objective):
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in finished if row["method"] == method]
        best = {}
        for row in mine:
            best[row["depth"]] = min(row[objective], best.get(row["depth"], math.inf))
        style = {"color": _COLOURS[method], "label": METHOD_LABELS.get(method, "own model")}
        axes.plot(sorted(best), [best[depth] for depth in sorted(best)], "-", linewidth=1.3, **style)
        axes.plot([row["depth"] for row in mine], [row[objective] for row in mine], "o", ms=4, color=style["color"])
        lost = [row["depth"] for row in rows if row["method"] == method and row["status"] != "finished"]
        axes.plot(lost, [0.97] * len(lost), "x", color=style["color"], transform=axes.get_xaxis_transform())
    axes.set(xlabel="number of layers k of f and e", ylabel=objective.replace("_", " "))
    axes.set_title("Trials; x: diverged or failed", fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if _wide([row[objective] for row in finished]):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _draw_parallel(figure, finished, names, objective):
    axes = figure.subplots()
    scales = {name: _Scale(name, [row.get(name) for row in finished]) for name in names}
    order = sorted(finished, key=lambda row: row[objective], reverse=True)  # the best are drawn last
    for number, row in enumerate(order, start=1):
        points = [(place, scales[name](row.get(name))) for place, name in enumerate(names)]
        points = [point for point in points if point[1] is not None]
        style = {"color": _COLOURS[row["method"]], "alpha": 0.2 + 0.8 * (number / len(order)) ** 3}
        axes.plot(*zip(*points, strict=True), linewidth=2.4 if number == len(order) else 1.0, **style)
    for place, name in enumerate(names):
        axes.axvline(place, color="0.6", linewidth=0.8)
        for height, text in scales[name].ticks:
            axes.annotate(text, (place, height), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axes.set_xlim(-0.1, len(names) - 0.6)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    for method in dict.fromkeys(row["method"] for row in finished):
        axes.plot([], [], color=_COLOURS[method], label=METHOD_LABELS.get(method, "own model"))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.12), ncols=3)


def _wide(values):
    """Whether values need a logarithmic axis."""
    return min(values) > 0 and max(values) > _WIDE * min(values)


class _Scale:
    """The places of a column's values between 0 and 1, and a few of them with their labels."""

    def __init__(self, name, values):
        values = [value for value in values if value is not None]
        self.texts = sorted({value for value in values if isinstance(value, str)})
        if self.texts:
            self.low, self.high, self.change = 0, len(self.texts) - 1, self.texts.index
            self.ticks = [(self(text), text) for text in self.texts]
            return
        logarithmic = _wide(values) or (name in _LOGARITHMIC and min(values) > 0)
        self.change = math.log if logarithmic else float
        self.low, self.high = self.change(min(values)), self.change(max(values))
        distinct = sorted(set(values))
        shown = distinct if len(distinct) <= 8 else [distinct[0], distinct[len(distinct) // 2], distinct[-1]]
        self.ticks = [(self(value), f"{value:.3g}") for value in shown]

    def __call__(self, value):
        if value is None:
            return None
        return (self.change(value) - self.low) / (self.high - self.low) if self.high > self.low else 0.5
