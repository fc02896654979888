"""write_agreement: does a search find what the full grid of the experiments says is best, and at which cost?"""

import csv
import pathlib
import statistics

from keras_hypernet.common.files import replacing
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.drawing import own_rows
from keras_hypernet.experiments.experiment import METHOD_LABELS
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.names import depth_experiment, panel, search_name


def compare(config, trials, results):
    """Compares the configuration and the trials of a search with the rows of the depth experiment of its task.

    Returns:
        A dict: `depth`, `others` (what else was searched, by name) and `validation`, error or mean squared error, of
        the search's best trial; `seconds` of all; `seed_depth` and `seed_validation`, of the best depth of the grid of
        the same seed; `grid_depth`, the depth with the lowest mean of the validation result over the grid's seeds;
        `grid_validation`, that mean; `seeds`, their number; and `grid_seconds`, of a grid of one seed. A value without
        rows in the grid is None.
    """
    task = get_task(**config["task"])
    best = min(filter(_finished, trials), key=lambda row: float(row[config["objective"]]))
    seeds = _read_grid(task, best["method"], results)
    same = {depth: row["validation"] for depth, row in seeds.get(config["recipe"]["seed"], {}).items()}
    by_depth = {}
    for rows in seeds.values():
        for depth, row in rows.items():
            by_depth.setdefault(depth, []).append(row["validation"])
    # A depth at which a run diverged has no mean.
    means = {depth: statistics.fmean(values) for depth, values in by_depth.items() if None not in values}
    same = {depth: value for depth, value in same.items() if value is not None}
    seed_depth, grid_depth = (min(values, key=values.get, default=None) for values in (same, means))
    seconds = [row["seconds"] or 0 for rows in seeds.values() for row in rows.values()]
    return {
        "depth": int(best["depth"]),
        "others": {name: best[name] for name in config["space"] if name != "depth" and best.get(name)},
        "validation": float(best[f"validation_{task.metric}"]),
        "seconds": sum(float(row["seconds"]) for row in trials),
        **{"seed_depth": seed_depth, "seed_validation": same.get(seed_depth)},
        **{"grid_depth": grid_depth, "grid_validation": means.get(grid_depth), "seeds": len(seeds)},
        "grid_seconds": sum(seconds) / len(seeds) if seeds else None,
    }


def _finished(row):
    return row["status"] == "finished"


def _read_grid(task, method, results):
    """The rows of a method by seed and depth; seeds of which only some depths have been run would shift the means."""
    experiment = get_experiment(check_grid(task))
    rows = own_rows(experiment, ResultsFile(pathlib.Path(results) / f"{experiment.name}.jsonl").read()[0], [])
    seeds = {}
    for row in rows:
        if (row["panel"], row["method"]) == (panel(task), method):
            seeds.setdefault(row["seed"], {})[row["depth"]] = row
    most = max(map(len, seeds.values()), default=0)
    return {seed: depths for seed, depths in seeds.items() if len(depths) == most}


def check_grid(task):
    """Returns the name of the experiment that a search for a task can be compared with; ValueError if there is none."""
    name = depth_experiment(task)
    if name is None:
        raise ValueError(f"No experiment has a grid of depths for the task {task.name!r} to compare with (--compare).")
    return name


def write_agreement(folder, results):
    """Writes `README.md` into a folder of searches' tables: a table of how each compares with the full grid.

    Each search has a folder there, with `search.json` and `trials.csv`. Searches that cannot be compared are named
    below the table, with the reason; ValueError if there are no others. Returns the path.
    """
    folder = pathlib.Path(folder)
    lines, compared, left = [], [], []
    for path in sorted(folder.glob("*/search.json")):
        try:
            config, trials = _read(path.parent)
        except ValueError as error:
            left.append(f"Not compared: `{path.parent.name}`. {error}")
            continue
        compared.append(compare(config, trials, results))
        lines.append(_line(path.parent.name, config, trials, compared[-1]))
    if not lines:
        raise ValueError(
            f"There are no searches to compare in {folder}: run `keras-hypernet tune NAME --out {folder}/NAME`."
            f"{''.join(f' {sentence}' for sentence in left)}"
        )
    content = [*_HEAD, *lines, "", *_summary(compared), *(line for sentence in left for line in ("", sentence))]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join(content) + "\n", encoding="utf-8")
    return folder / "README.md"


def _read(folder):
    """The configuration and the trials of a search; raises ValueError if it cannot be compared."""
    config = SearchDirectory(folder).config()
    check_grid(get_task(**config["task"]))
    if not (folder / "trials.csv").exists():
        raise ValueError("It has no trials.csv.")
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        trials = list(csv.DictReader(file))
    if not any(map(_finished, trials)):
        raise ValueError("It has no finished trial.")
    return config, trials


_COLUMNS = (
    *("search", "searched", "trials", "best depth", "validation", "seconds"),
    *("best depth of the grid, same seed", "validation", "agrees"),
    *("by the mean over the grid's seeds", "validation", "agrees", "seconds of a grid"),
)
_HEAD = [
    "# Searches for the depth, against the full grid",
    "",
    "Written by `keras-hypernet tune NAME --out results/tuning/... --compare results`. The grid is that of the",
    "experiment: every depth, by the paper's recipe. A search may vary more than the depth. Compare its validation",
    "result with the grid's of the same seed, since a mean over seeds has no lucky run. Seconds are of the clock,",
    "whatever else the machine did. 20 trials are the training of two and a half grids of eight depths.",
    "",
    f"| {' | '.join(_COLUMNS)} |",
    "|" + "---|" * len(_COLUMNS),
]


def _line(name, config, trials, found):
    task = search_name(get_task(**config["task"])) or config["task"]["name"]
    methods = ", ".join(METHOD_LABELS.get(method, method) for method in config["method"])
    lost = len(trials) - sum(map(_finished, trials))
    cells = [
        f"[`{name}`]({name}): {task}, {methods}, {config['oracle']}",
        ", ".join(name for name, values in config["space"].items() if values is not None),
        f"{len(trials)}" + (f" ({lost} without result)" if lost else ""),
        ", ".join([str(found["depth"]), *(_other(*item, config) for item in found["others"].items())]),
        f"{found['validation']:.4g}",
        f"{found['seconds']:.0f}",
    ]
    for grid, more in (("seed", ""), ("grid", f" ({found['seeds']} seed{'s' if found['seeds'] > 1 else ''})")):
        if found[f"{grid}_depth"] is None:
            cells += ["", "", "no rows of the grid"]
        else:
            agrees = "yes" if found["depth"] == found[f"{grid}_depth"] else "no"
            cells += [str(found[f"{grid}_depth"]), f"{found[f'{grid}_validation']:.4g}{more}", agrees]
    cells.append("" if found["grid_seconds"] is None else f"{found['grid_seconds']:.0f}")
    return f"| {' | '.join(cells)} |"


def _other(name, value, config):
    """Another value of the best trial than the depth, and whether the search might have wanted more of it."""
    values = config["space"][name]
    try:
        number = float(value)
    except ValueError:
        return f"{name} {value}"
    end = isinstance(values, dict) and number in (values["low"], values["high"])
    return f"{name} {number:.2g}" + (", an end of its range" if end else "")


def _summary(compared):
    """Says in two sentences how often searches agree with the grid, and at which cost."""
    known = [found for found in compared if found["seed_depth"] is not None]
    if not known:
        return ["There are no rows of the grid to compare with."]
    agree = sum(found["depth"] == found["seed_depth"] for found in known)
    by_mean = sum(found["depth"] == found["grid_depth"] for found in known)
    better = sum(found["validation"] < found["seed_validation"] for found in known)
    costs = [found["seconds"] / found["grid_seconds"] for found in known]
    return [
        f"Of {len(known)} searches, {agree} find the best depth of the grid of the same seed, {by_mean} that of the",
        f"mean over the grid's seeds. In {better} the best trial has a lower validation result than all of that grid.",
        f"They took {min(costs):.1f} to {max(costs):.1f} times the seconds of the grid.",
    ]
