"""write_agreement: does a search find what the full grid of the experiments says is best, and at which cost?"""

import csv
import pathlib
import statistics

from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.drawing import own_rows
from keras_hypernet.experiments.experiment import METHOD_LABELS
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.files import replacing
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.directory import SearchDirectory
from keras_hypernet.tuning.names import depth_experiment, panel, search_name


def compare(config, trials, results):
    """Compares a search with the rows of the depth experiment of its task.

    Args:
        config: The configuration of the search.
        trials: Its table, as of `SearchResult.trials`.
        results: Folder of the experiments' results.

    Returns:
        A dict: `depth`, `others` (what else was searched, by name) and `validation`, error or mean squared error, of
        the search's best trial; `seconds` of all; `seed_depth` and `seed_validation`, of the best depth of the grid of
        the same seed; `grid_depth`, the depth with the lowest mean of the validation result over the grid's seeds;
        `grid_validation`, that mean; `seeds`, their number; and `grid_seconds`, of a grid of one seed. What the grid
        has no rows of is None.
    """
    task = get_task(**config["task"])
    finished = [row for row in trials if row["status"] == "finished"]
    best = min(finished, key=lambda row: float(row[config["objective"]]))
    found = {
        "depth": int(best["depth"]),
        "others": {name: best[name] for name in config["space"] if name != "depth" and best.get(name)},
        "validation": float(best[f"validation_{task.metric}"]),
        "seconds": sum(float(row["seconds"]) for row in trials),
    }
    experiment = get_experiment(check_grid(task))
    rows = own_rows(experiment, ResultsFile(pathlib.Path(results) / f"{experiment.name}.jsonl").read()[0], [])
    rows = [row for row in rows if (row["panel"], row["method"]) == (panel(task), best["method"])]
    # A seed of which only some depths have been run would shift their means.
    of_seeds, every = {}, {row["depth"] for row in rows}
    for row in rows:
        of_seeds.setdefault(row["seed"], {})[row["depth"]] = row["validation"]
    of_seeds = {seed: depths for seed, depths in of_seeds.items() if set(depths) == every}
    grid = {"seed_depth": None, "seed_validation": None, "grid_depth": None, "grid_validation": None}
    same = _without_none(of_seeds.get(config["recipe"]["seed"], {}))
    if same:
        grid["seed_depth"] = min(same, key=same.get)
        grid["seed_validation"] = same[grid["seed_depth"]]
    # A depth at which a run diverged has no mean.
    means = _without_none({depth: _mean([depths[depth] for depths in of_seeds.values()]) for depth in every})
    if means:
        grid["grid_depth"] = min(means, key=means.get)
        grid["grid_validation"] = means[grid["grid_depth"]]
    seconds = sum(row["seconds"] or 0 for row in rows if row["seed"] in of_seeds)
    return {**found, **grid, "grid_seconds": seconds / len(of_seeds) if of_seeds else None, "seeds": len(of_seeds)}


def _without_none(values):
    return {name: value for name, value in values.items() if value is not None}


def _mean(values):
    return statistics.fmean(values) if values and None not in values else None


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

    Those that cannot be compared are left out of it, and named below it, with the reason.

    Args:
        folder: Folder with a folder for each search, in which there are `search.json` and `trials.csv`.
        results: Folder of the experiments' results.

    Returns:
        The path.

    Raises:
        ValueError: If there are no searches, or none that can be compared.
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
        reasons = "".join(f" {sentence}" for sentence in left)
        raise ValueError(
            f"There are no searches to compare in {folder}: run `keras-hypernet tune NAME --out {folder}/NAME`."
            f"{reasons}"
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
    if all(row["status"] != "finished" for row in trials):
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
    "experiment, every depth by the paper's recipe; a search may vary more than the depth. Its validation result is to",
    "be compared with the grid's of the same seed: a mean over seeds has no lucky run. Seconds are the clock's,",
    "whatever else the machine did meanwhile: 20 trials are the training of two and a half grids of eight depths.",
    "",
    f"| {' | '.join(_COLUMNS)} |",
    "|" + "---|" * len(_COLUMNS),
]


def _line(name, config, trials, found):
    task = search_name(get_task(**config["task"])) or config["task"]["name"]
    methods = ", ".join(METHOD_LABELS.get(method, method) for method in config["method"])
    searched = [name for name, values in config["space"].items() if values is not None]
    lost = sum(row["status"] != "finished" for row in trials)
    cells = [
        f"[`{name}`]({name}): {task}, {methods}, {config['oracle']}",
        ", ".join(searched),
        f"{len(trials)}" + (f" ({lost} without result)" if lost else ""),
        ", ".join([str(found["depth"]), *(_other(name, value, config) for name, value in found["others"].items())]),
        f"{found['validation']:.4g}",
        f"{found['seconds']:.0f}",
    ]
    for of, more in (("seed", ""), ("grid", f" ({found['seeds']} seed{'s' if found['seeds'] > 1 else ''})")):
        if found[f"{of}_depth"] is None:
            cells += ["", "", "no rows of the grid"]
        else:
            agrees = "yes" if found["depth"] == found[f"{of}_depth"] else "no"
            cells += [str(found[f"{of}_depth"]), f"{found[f'{of}_validation']:.4g}{more}", agrees]
    cells.append("" if found["grid_seconds"] is None else f"{found['grid_seconds']:.0f}")
    return f"| {' | '.join(cells)} |"


def _other(name, value, config):
    """What the best trial has of something else than the depth, and whether the search might have wanted more of it."""
    values = config["space"][name]
    try:
        number = float(value)
    except ValueError:
        return f"{name} {value}"
    end = isinstance(values, dict) and number in (values["low"], values["high"])
    return f"{name} {number:.2g}" + (", an end of its range" if end else "")


def _summary(compared):
    """Does a search find what the grid says is best, and at which cost? In a sentence or two."""
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
