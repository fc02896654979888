"""The points of a figure: mean and standard deviation over the seeds."""

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
        A list of dicts with `panel`, `series`, `x`, `mean` and `stddev` of the test metric (None without one finished
        run, or two), the number of `runs`, and the number of `lost` runs: diverged or failed. The order is that of the
        experiment's panels and methods, and of x.
    """
    panels = list(dict.fromkeys([*experiment.panels, *(row["panel"] for row in rows)]))
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


def _measured(experiment, row):
    """The values of a row in the figure: triples of series, x and value."""
    if not experiment.drawing.curves:
        yield experiment.drawing.series(row), row[experiment.varies], row["test"]
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


def write_csv(points, path):
    """Writes points as a table, numbers with six significant digits."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _FIELDS)
        writer.writeheader()
        for point in points:
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in point.items()}
            )
