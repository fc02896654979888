"""The rows of an experiment: `<experiment>.jsonl`."""

import functools
import pathlib
import reprlib

from keras_hypernet.common.parsing import parse_json
from keras_hypernet.experiments.experiment import FIELDS, is_measured, run_key
from keras_hypernet.runs import results

# The types of the fields that figures, reports and entries read.
_KINDS = {
    **dict.fromkeys(("experiment", "task", "panel", "method", "metric"), (str, "text")),
    **dict.fromkeys(("data_sha256", "message"), ((str, type(None)), "text or null")),
    **dict.fromkeys(("curve", "config", "versions"), (dict, "an object")),
    "machine": ((dict, type(None)), "an object or null"),
    "seed": (int, "an integer"),
}
_STATUSES = ("finished", "diverged", "failed")


def _parse(line):
    """The row of a line, and its key. Raises ValueError if the line holds no row."""
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError(f"it is a {type(row).__name__}, not an object")
    missing = [name for name in FIELDS if name not in row]
    if missing:
        raise ValueError(f"it has no {', no '.join(map(repr, missing))}")
    for name, (kinds, expected) in _KINDS.items():
        if not isinstance(row.get(name), kinds):
            raise ValueError(f"its {name!r} is {reprlib.repr(row.get(name))}, and not {expected}")
    for name in ("test", "validation", "seconds"):
        if row[name] is not None and not is_measured(row[name]):
            raise ValueError(f"its {name!r} is {reprlib.repr(row[name])}, and not a number of at least 0, or null")
    if row["status"] not in _STATUSES:
        raise ValueError(f"its 'status' is {reprlib.repr(row['status'])}, and not one of {', '.join(_STATUSES)}")
    for name, values in row["curve"].items():
        if not (isinstance(values, list) and all(map(is_measured, values))):
            raise ValueError(f"its 'curve' {name!r} is {reprlib.repr(values)}, and not a list of numbers of at least 0")
    machine = row["machine"]
    if machine and not (isinstance(machine.get("processor"), str) and "threads" in machine):
        raise ValueError(f"its 'machine' is {reprlib.repr(machine)}, without a processor or its threads")
    return row, _key(row)


def _key(row):
    """The key of a row's run. Raises ValueError unless the row agrees with its configuration."""
    try:
        key = run_key(row["config"])
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"its 'config' is not that of a run: {error!r}") from error
    labels = {name: value for name, value in row["config"].items() if name not in ("task", "recipe")}
    for name, value in {**labels, "task": row["config"]["task"]["name"]}.items():
        if name not in row or row[name] != value:
            raise ValueError(f"its {name!r} is {reprlib.repr(row.get(name))}, and not that of its 'config'")
    return key


# A results file of experiments; the argument is its path.
ResultsFile = functools.partial(results.ResultsFile, parse=_parse)


def results_of(name, folder):
    """The `ResultsFile` of the experiment of this name in a folder."""
    return ResultsFile(pathlib.Path(folder) / f"{name}.jsonl")


def own_rows(experiment, folder):
    """Reads the rows of an `Experiment`'s grid, or else of its quick grid; and a sentence about each line left out."""
    rows, sentences = results_of(experiment.name, folder).read()
    grids = ([row for row in rows if experiment.owns(row, quick)] for quick in (False, True))
    mine = next(filter(None, grids), [])
    if len(mine) < len(rows):
        sentences.append(
            f"{len(rows) - len(mine)} of the rows of {experiment.name} are from its quick grid, from another recipe "
            "or without the measured fields, and are left out."
        )
    return mine, sentences


def group_rows(rows, varies):
    """Groups rows that differ only in the seed: a dict from `(panel, method, value)` to rows."""
    groups = {}
    for row in rows:
        groups.setdefault((row["panel"], row["method"], row[varies]), []).append(row)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    return dict(sorted(groups.items(), key=lambda item: (panels.index(item[0][0]), item[0][1], item[0][2])))
