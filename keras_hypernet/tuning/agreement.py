"""write_agreement: does a search find what the full grid of the experiments says is best, and at which cost?"""

import csv
import json
import pathlib
import statistics

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.drawing import own_rows
from keras_hypernet.experiments.experiment import METHODS
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.files import replacing
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.names import depth_experiment, panel, search_name


def compare(config, trials, results):
    """Compares a search with the rows of the depth experiment of its task.

    Args:
        config: The configuration of the search.
        trials: Its table, as of `SearchResult.trials`.
        results: Folder of the experiments' results.

    Returns:
        A dict: `depth` and `validation`, error or mean squared error, of the search's best trial; `seconds` of all;
        `grid_depth`, the depth with the lowest mean of the validation result over the grid's seeds; `grid_validation`,
        that mean; `grid_seconds`, of a grid of one seed; `seeds`, their number; and `grid_at_depth`, the mean at the
        depth that the search prefers. Those of the grid are None if it has no rows.
    """
    task = get_task(**config["task"])
    finished = [row for row in trials if row["status"] == "finished"]
    best = min(finished, key=lambda row: float(row[config["objective"]]))
    found = {
        "depth": int(best["depth"]),
        "validation": float(best[f"validation_{task.metric}"]),
        "seconds": sum(float(row["seconds"]) for row in trials),
    }
    experiment = get_experiment(check_grid(task))
    rows = own_rows(experiment, ResultsFile(pathlib.Path(results) / f"{experiment.name}.jsonl").read()[0], [])
    rows = [row for row in rows if (row["panel"], row["method"]) == (panel(task), best["method"])]
    # A seed of which only some depths have been run would shift their means.
    of_seeds, every = {}, {row["depth"] for row in rows}
    for row in rows:
        of_seeds.setdefault(row["seed"], set()).add(row["depth"])
    rows = [row for row in rows if of_seeds[row["seed"]] == every]
    depths = {}
    for row in rows:
        if row["validation"] is not None:
            depths.setdefault(row["depth"], []).append(row["validation"])
    means = {depth: statistics.fmean(values) for depth, values in depths.items()}
    if not means:
        return {
            **found,
            **dict.fromkeys(("grid_depth", "grid_validation", "grid_seconds", "grid_at_depth")),
            "seeds": 0,
        }
    chosen = min(means, key=means.get)
    seeds = {row["seed"] for row in rows}
    return {
        **found,
        "grid_depth": chosen,
        "grid_validation": means[chosen],
        "grid_seconds": sum(row["seconds"] or 0 for row in rows) / len(seeds),
        "grid_at_depth": means.get(found["depth"]),
        "seeds": len(seeds),
    }


def check_grid(task):
    """Returns the name of the experiment that a search for a task can be compared with.

    Raises:
        ValueError: If there is none.
    """
    name = depth_experiment(task)
    if name is None:
        raise ValueError(f"No experiment has a grid of depths for the task {task.name!r} to compare with (--compare).")
    return name


def write_agreement(folder, results):
    """Writes `README.md` into a folder of searches' tables: a table of how each compares with the full grid.

    Args:
        folder: Folder with a folder for each search, in which there are `search.json` and `trials.csv`.
        results: Folder of the experiments' results.

    Returns:
        The path.

    Raises:
        ValueError: If there are no searches.
    """
    folder = pathlib.Path(folder)
    lines = []
    for path in sorted(folder.glob("*/search.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        with (path.parent / "trials.csv").open(newline="", encoding="utf-8") as file:
            trials = list(csv.DictReader(file))
        lines.append(_line(path.parent.name, config, trials, compare(config, trials, results)))
    if not lines:
        raise ValueError(f"There are no searches in {folder}: run `keras-hypernet tune NAME --out {folder}/NAME`.")
    with replacing(folder / "README.md") as temporary:
        temporary.write_text("\n".join([*_HEAD, *lines]) + "\n", encoding="utf-8")
    return folder / "README.md"


_COLUMNS = (
    *("search", "searched", "trials", "best depth", "validation", "seconds"),
    *("grid's best depth", "validation", "seconds", "agrees"),
)
_HEAD = [
    "# Searches for the depth, against the full grid",
    "",
    "Written by `keras-hypernet tune NAME --out results/tuning/... --compare results`. The grid is that of the",
    "experiment, every depth by the paper's recipe: its best depth has the lowest mean of the validation result over",
    "its seeds, and its seconds are those of one seed. A search may vary more than the depth; it agrees if its best",
    "trial has the grid's best depth, and otherwise the table has the grid's mean at the depth of that trial.",
    "Seconds are the clock's, whatever else the machine did meanwhile: 20 trials are the training of two and a half",
    "grids of eight depths.",
    "",
    f"| {' | '.join(_COLUMNS)} |",
    "|" + "---|" * len(_COLUMNS),
]


def _line(name, config, trials, found):
    task = search_name(get_task(**config["task"])) or config["task"]["name"]
    methods = ", ".join(METHODS.get(method, method) for method in config["method"])
    searched = [name for name, values in config["space"].items() if values is not None]
    lost = sum(row["status"] != "finished" for row in trials)
    cells = [
        f"[`{name}`]({name}): {task}, {methods}, {config['oracle']}",
        ", ".join(searched),
        f"{len(trials)}" + (f" ({lost} without result)" if lost else ""),
        str(found["depth"]),
        f"{found['validation']:.4g}",
        f"{found['seconds']:.0f}",
    ]
    if found["grid_depth"] is None:
        cells += ["", "", "", "no rows of the grid"]
    else:
        agrees = "yes"
        if found["depth"] != found["grid_depth"]:
            at = found["grid_at_depth"]
            agrees = "no" + (f": {at:.4g} at depth {found['depth']}" if at is not None else "")
        grid = f"{found['grid_validation']:.4g} ({found['seeds']} seed{'s' if found['seeds'] > 1 else ''})"
        cells += [str(found["grid_depth"]), grid, f"{found['grid_seconds']:.0f}", agrees]
    return f"| {' | '.join(cells)} |"
