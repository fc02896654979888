"""What a figure shows of an experiment's rows: mean and standard deviation of each point."""

import csv
import statistics

from keras_hypernet.common.files import replacing
from keras_hypernet.experiments.experiment import METHOD_LABELS

_FIELDS = ("panel", "series", "x", "mean", "stddev", "runs", "lost")


def points(experiment, rows):
    """Summarizes rows over their seeds.

    Args:
        experiment: An `Experiment`.
        rows: Rows of its results.

    Returns:
        A list of dicts with `panel`, `series`, `x`, `mean` and `stddev` of the test metric (None without at least one,
        or two, finished runs), the number of `runs`, and how many of these are `lost`: diverged or failed. They are
        ordered by panel and series as the experiment has them, and by x.
    """
    groups = {}
    for row in rows:
        for series, x, value in _measured(experiment, row):
            groups.setdefault((row["panel"], series, x), []).append(value)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    order = [panel for panel in experiment.panels if panel in panels]
    order += [panel for panel in panels if panel not in order]
    methods = list(dict.fromkeys([*METHOD_LABELS, *(row["method"] for row in rows)]))
    by_method = sorted(rows, key=lambda row: methods.index(row["method"]))
    series = list(dict.fromkeys(name for row in by_method for name, *_ in _measured(experiment, row)))
    return [
        _point(panel, label, x, groups[panel, label, x])
        for panel, label, x in sorted(groups, key=lambda key: (order.index(key[0]), series.index(key[1]), key[2]))
    ]


def _measured(experiment, row):
    """What a row contributes to the figure: triples of series, x and value."""
    if not experiment.drawing.curves:
        yield experiment.drawing.series(row), row[experiment.varies], row["test"]
    for name, label in experiment.drawing.curves.items():
        # The curve of a run that diverged ends before the others do.
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


def write_csv(points, path):
    """Writes points as a table, numbers with six significant digits."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _FIELDS)
        writer.writeheader()
        for point in points:
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in point.items()}
            )
