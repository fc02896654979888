"""draw: the figure of an experiment, only from its rows; the points are means over the seeds."""

import math
import pathlib
import statistics
import textwrap
from itertools import cycle, zip_longest

import numpy as np

from keras_hypernet.common.figures import figure_class, save_figure
from keras_hypernet.common.files import write_table
from keras_hypernet.experiments import NAMES, get_experiment
from keras_hypernet.experiments.baseline import PREDICTORS, by_target, predictors_of
from keras_hypernet.experiments.experiment import METHOD_LABELS
from keras_hypernet.experiments.rows import own_rows

# Dashes and markers differ too, because not everybody can distinguish the colours.
_STYLES = [
    {"color": "#1b4f8a", "linestyle": "-", "marker": "o"},
    {"color": "#d1641b", "linestyle": "--", "marker": "s"},
    {"color": "#7fa8d6", "linestyle": "-.", "marker": "^"},
    {"color": "#f0b98d", "linestyle": ":", "marker": "D"},
    {"color": "#5b8c5a", "linestyle": (0, (6, 2)), "marker": "v"},
]
_COLUMNS = 5  # at most, of panels
_AXES = {
    "depth": "number of layers k of f and e",
    "index": "index i",
    "learning_rate": "learning rate",
    "width": "hidden units",
    "epochs": "epoch",
    "members": "members of a set",
    "dim": "dimension of x and of I",
    "units": "hidden units of q",
    "gradient_clipnorm": "greatest norm of the gradient",
}


class NoResultsError(ValueError):
    """There are no results to draw."""


def draw(experiment, folder):
    """Draws the results of an `Experiment`.

    The folder of its results receives `<experiment>.png`, `.svg`, and the numbers as `.csv`. With the same version of
    Matplotlib, the same rows give the same bytes. Returns the list of the paths, and a sentence for each unreadable
    line of the results.

    Raises ImportError without Matplotlib, and NoResultsError without results.
    """
    Figure = figure_class()
    import matplotlib

    folder = pathlib.Path(folder)
    rows, broken = read_rows(experiment, folder)
    baselines = {} if experiment.name == "baseline" else by_target(own_rows(get_experiment("baseline"), folder)[0])
    shown = points(experiment, rows)
    panels = list(dict.fromkeys(point["panel"] for point in shown))
    styles = _styles(dict.fromkeys(point["series"] for point in shown))
    metric = next(row["metric"] for row in rows if row["status"] == "finished")
    paths = [folder / f"{experiment.name}.{suffix}" for suffix in ("png", "svg", "csv")]
    with matplotlib.rc_context({"font.size": 9}):
        lines = math.ceil(len(panels) / _COLUMNS)
        columns = math.ceil(len(panels) / lines)
        figure = Figure(figsize=(1.0 + 3.4 * columns, 3.4 * lines), layout="constrained")
        subplots = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes in subplots[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(subplots, panels, strict=False):
            _draw_panel(axes, experiment, panel, [point for point in shown if point["panel"] == panel], styles)
            mine = [row for row in rows if (row["experiment"], row["panel"]) == (experiment.name, panel)]
            _draw_predictors(axes, predictors_of(mine, baselines))
        metric = {"mse": "test MSE"}.get(metric, f"test {metric}")
        subplots[0].set_ylabel(experiment.drawing.vertical or metric)
        style = {"ncols": int(figure.get_figwidth() / 2.2), "frameon": False, "fontsize": 8}
        figure.legend(*subplots[0].get_legend_handles_labels(), loc="outside lower center", **style)
        figure.suptitle(textwrap.fill(experiment.caption, round(11 * figure.get_figwidth())), fontsize=10)
        for path in paths[:2]:
            save_figure(figure, path, experiment.name)
    write_csv(shown, paths[2])
    return paths, broken


def read_rows(experiment, folder):
    """Reads the rows of a figure, also those of the other experiment that it shows: see `ResultsFile.read`.

    Raises NoResultsError if no run has finished.
    """
    if experiment.name not in NAMES:
        for quick in (False, True):
            experiment.runs(quick=quick)  # creates the tasks of the user's arrays, which rows name by their SHA-256
    rows, broken = own_rows(experiment, folder)
    if experiment.drawing.also:
        more, sentences = own_rows(get_experiment(experiment.drawing.also), folder)
        panels = {row["panel"] for row in rows}
        rows, broken = rows + [row for row in more if row["panel"] in panels], broken + sentences
    if not any(row["status"] == "finished" for row in rows):
        raise NoResultsError(
            f"There are no results of {experiment.name} in {folder}. Run `keras-hypernet experiment {experiment.name}`."
        )
    return rows, broken


def points(experiment, rows):
    """Summarizes the rows of an experiment over their seeds, in the order of its panels and methods, and of x.

    Curves are those of the longest runs of each panel.

    Returns a list of dicts with `panel`, `series`, `x`, `mean` and `stddev` of the drawn number (None without one
    finished run, or two), the number of `runs`, and the number of `lost` runs: diverged or failed.
    """
    panels = list(dict.fromkeys([*experiment.panels, *(row["panel"] for row in rows)]))
    if experiment.drawing.curves:
        values = {panel: [row[experiment.varies] for row in rows if row["panel"] == panel] for panel in panels}
        rows = [row for row in rows if row[experiment.varies] == max(values[row["panel"]])]
    methods = list(dict.fromkeys([*METHOD_LABELS, *(row["method"] for row in rows)]))
    groups = {}
    for row in sorted(rows, key=lambda row: methods.index(row["method"])):
        for series, x, value in _measured(experiment, row):
            groups.setdefault((row["panel"], series, x), []).append(value)
    series = list(dict.fromkeys(label for _, label, _ in groups))
    return [
        _point(panel, label, x, groups[panel, label, x])
        for panel, label, x in sorted(groups, key=lambda key: (panels.index(key[0]), series.index(key[1]), key[2]))
    ]


def write_csv(points, path):
    """Writes points as a table, floats with six significant digits."""
    table = [
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in point.items()}
        for point in points
    ]
    write_table(path, table)


def _measured(experiment, row):
    """The values of a row in the figure: triples of series, x and value."""
    if not experiment.drawing.curves:
        yield experiment.drawing.label(row), row[experiment.varies], row.get(experiment.drawing.measured)
    for name, label in experiment.drawing.also_last.items():
        yield label, row[experiment.varies], (row["curve"].get(name) or [None])[-1]
    for name, label in experiment.drawing.curves.items():
        # The curve of a diverged run is shorter.
        values = row["curve"].get(name, [])
        for x in range(1, row["config"]["recipe"]["epochs"] + 1):
            yield label, x, values[x - 1] if x <= len(values) else None


def _point(panel, series, x, values):
    finished = [value for value in values if value is not None]
    return {
        "panel": panel,
        "series": series,
        "x": x,
        "mean": statistics.fmean(finished) if finished else None,
        "stddev": statistics.stdev(finished) if len(finished) > 1 else None,
        "runs": len(values),
        "lost": len(values) - len(finished),
    }


def _styles(labels):
    """A style for each line; the second line of each method is paler."""
    lines = {}
    for label in labels:
        lines.setdefault(label.partition(",")[0], []).append(label)
    order = [label for rank in zip_longest(*lines.values()) for label in rank if label is not None]
    return dict(zip(order, cycle(_STYLES)))


def _draw_panel(axes, experiment, panel, shown, styles):
    joined = {"linestyle": "none"} if experiment.varies == "predictor" else {}
    for index, (label, style) in enumerate(styles.items()):
        mine = [point for point in shown if point["series"] == label]
        measured = [point for point in mine if point["mean"] is not None]
        xs, means, spreads = ([point[name] or 0.0 for point in measured] for name in ("x", "mean", "stddev"))
        line = {**style, **joined, "label": label, "markersize": 4, "linewidth": 1.3}
        if joined or len(measured) == 1:  # bars, where a band has no width
            axes.errorbar(xs, means, spreads, **line, capsize=2, elinewidth=0.8)
        else:
            axes.plot(xs, means, **line, markevery=max(1, len(xs) // 10) if experiment.drawing.curves else 1)
            low, high = (np.add(means, sign * np.array(spreads)) for sign in (-1, 1))
            axes.fill_between(xs, low, high, color=style["color"], alpha=0.15, linewidth=0)
        if len(measured) == 1 < len({point["x"] for point in shown}) and experiment.fixed:
            axes.axhline(measured[0]["mean"], **{**style, "marker": "", "linewidth": 0.8})
        for point in mine:
            if point["lost"]:
                _note_lost(axes, point, style["color"], index, upright=experiment.drawing.log_x)
    # The axis includes points without a mean.
    axes.plot([point["x"] for point in shown], [0.0] * len(shown), alpha=0)
    axes.set(title=panel, xlabel=_AXES.get(experiment.varies, experiment.varies.replace("_", " ")))
    if experiment.drawing.log_x:
        axes.set_xscale("log")
        values = sorted({point["x"] for point in shown})
        if len(values) <= 5:
            axes.set_xticks(values, [f"{value:g}" for value in values])
            axes.tick_params("x", which="minor", length=0, labelbottom=False)
    elif experiment.varies == "predictor":
        axes.tick_params("x", rotation=30)
    elif all(isinstance(point["x"], int) for point in shown):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if experiment.drawing.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.spines[["top", "right"]].set_visible(False)


def _draw_predictors(axes, predictors):
    """Draws a thin line at the error of each trivial predictor; predictors with nearly equal errors share a line.

    The labels of high lines stand above the panel, where no curve crosses them out.
    """
    groups, top = [], axes.get_ylim()[1]
    for name, error in sorted(predictors.items(), key=lambda item: item[1]):
        if not groups or error - groups[-1][0] > max(0.03 * error, 0.04 * top * (error <= top)):
            groups.append((error, []))
        groups[-1][1].append(PREDICTORS[name])
    above = []
    small = {"fontsize": 5.5, "color": "0.35", "va": "bottom"}
    for error, labels in groups:
        if error <= top:
            axes.axhline(error, color="0.6", linewidth=0.6, zorder=0)
        if error > 0.8 * top:
            above.append(f"{'thin line' if error <= top else 'above'}: {', '.join(labels)} {error:.3g}")
        else:
            axes.annotate(", ".join(labels), (0.99, error), xycoords=("axes fraction", "data"), ha="right", **small)
    if above:
        axes.set_title(axes.get_title(), pad=9 + 7 * len(above))
        axes.annotate("\n".join(above), (0, 1), xycoords="axes fraction", **small)


def _note_lost(axes, point, color, row, upright):
    """Writes at the top how many runs of a point diverged; upright on a logarithmic axis, whose points may be close."""
    axes.annotate(
        f"{point['lost']} lost",
        (point["x"], 0.97 - (0.12 if upright else 0.06) * row),
        xycoords=("data", "axes fraction"),
        ha="center",
        va="top" if upright else "baseline",
        **{"color": color, "fontsize": 7, "rotation": 90 if upright else 0},
    )
