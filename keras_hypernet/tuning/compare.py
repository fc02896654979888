"""write_comparison: the best depths of searches beside the best depths of the experiments' full grids."""

import pathlib

from keras_hypernet.common.files import write_text
from keras_hypernet.common.markdown import table
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.experiment import METHOD_LABELS
from keras_hypernet.experiments.rows import own_rows
from keras_hypernet.tasks import get_task
from keras_hypernet.tuning.journal import read_config
from keras_hypernet.tuning.names import search_name

_COLUMNS = (
    *("search", "searched", "trials", "best depth", "validation", "seconds"),
    *("best depth of the grid, same seed", "validation", "agrees"),
    *("by the mean over the grid's seeds", "validation", "agrees", "seconds of a grid"),
)
_HEAD = """# Searches for the depth, against the full grid

Written by `keras-hypernet tune NAME --out results/tuning/... --compare results`. The grid is the grid of the
experiment: every depth, with the paper's recipe. A search may vary more than the depth. Compare its validation
result with the result of the grid with the same seed, because a mean over seeds is not affected by one lucky seed.
Seconds are clock time and include other work of the machine. 20 trials train as much as two and a half grids of eight
depths.

"""


def compare_with_grid(config, trials, results):
    """Returns a dict about the best of a search's trials, a `pandas.DataFrame`, and about the grid in the results.

    `seed_depth` and `seed_validation` belong to the grid with the same seed, `grid_depth` and `grid_validation` to the
    mean over the grid's `seeds`. Values without rows of the grid are None.
    """
    import pandas

    task = get_task(**config["task"])
    best = trials.loc[trials[config["objective"]].idxmin()].dropna().to_dict()  # others than finished have none
    rows, _ = own_rows(get_experiment(check_grid(task)), results)
    rows = [row for row in rows if (row["panel"], row["method"]) == (task.panel, best["method"])]
    dtypes = {"seed": int, "depth": int, "validation": float, "seconds": float}
    grid = pandas.DataFrame(rows, columns=[*dtypes]).astype(dtypes)
    depths = grid.groupby("seed").depth.transform("nunique")
    grid = grid[depths == depths.max()]  # incomplete seeds would shift the means
    facts = {
        "depth": int(best["depth"]),
        "others": {name: best[name] for name in config["space"] if name != "depth" and name in best},
        "validation": float(best[f"validation_{task.metric}"]),
        "seconds": float(trials.seconds.sum()),
        "seeds": grid.seed.nunique(),
        "grid_seconds": float(grid.seconds.sum() / grid.seed.nunique()) if len(grid) else None,
    }
    validation = grid.pivot(index="depth", columns="seed", values="validation")
    columns = {"seed": validation.get(config["recipe"]["seed"]), "grid": validation.mean(axis=1, skipna=False)}
    for name, column in columns.items():
        values = {} if column is None else column.dropna().to_dict()
        facts[f"{name}_depth"] = min(values, key=values.get, default=None)
        facts[f"{name}_validation"] = min(values.values(), default=None)
    return facts


def check_grid(task):
    """Returns the name of the experiment with the grid of depths of a task; ValueError if there is none."""
    if task.depth_experiment is None:
        raise ValueError(f"No experiment has a grid of depths for the task {task.name!r} to compare with (--compare).")
    return task.depth_experiment


def write_comparison(folder, results):
    """Writes `README.md` into a folder of searches: a table that compares each search with the full grid.

    Each search has a folder there with `search.json` and `trials.csv`. The text also names searches without a
    comparison, with the reason; ValueError if there are no others. Returns the path.
    """
    folder = pathlib.Path(folder)
    lines, compared, omitted = [], [], []
    for path in sorted(folder.glob("*/search.json")):
        try:
            config, trials = _read(path.parent)
        except ValueError as error:
            omitted.append(f"Not compared: `{path.parent.name}`. {error}")
            continue
        compared.append(compare_with_grid(config, trials, results))
        lines.append(_cells(path.parent.name, config, trials, compared[-1]))
    if not lines:
        hint = f"There are no searches to compare in {folder}: run `keras-hypernet tune NAME --out {folder}/NAME`."
        raise ValueError(" ".join([hint, *omitted]))
    text = "\n\n".join(["\n".join(table(_COLUMNS, lines)), _summary(compared), *omitted])
    write_text(folder / "README.md", f"{_HEAD}{text}\n")
    return folder / "README.md"


def _read(folder):
    """Returns the configuration and the trials of a search; ValueError if it has no comparison."""
    import pandas

    config = read_config(folder)
    check_grid(get_task(**config["task"]))
    if not (folder / "trials.csv").exists():
        raise ValueError("It has no trials.csv.")
    trials = pandas.read_csv(folder / "trials.csv")
    if "finished" not in trials.status.values:
        raise ValueError("It has no finished trial.")
    return config, trials


def _cells(name, config, trials, facts):
    task = search_name(get_task(**config["task"]))
    methods = ", ".join(METHOD_LABELS.get(method, method) for method in config["method"])
    lost = sum(trials.status != "finished")
    best = [str(facts["depth"])]
    for other, value in facts["others"].items():
        field = config["space"][other]
        end = ", an end of its range" if isinstance(field, dict) and value in field.values() else ""
        best.append(f"{other} {value if isinstance(value, str) else f'{value:.2g}'}{end}")
    cells = [
        f"[`{name}`]({name}): {task}, {methods}, {config['oracle']}",
        ", ".join(name for name, field in config["space"].items() if field is not None),
        f"{len(trials)}" + (f" ({lost} without result)" if lost else ""),
        ", ".join(best),
        f"{facts['validation']:.4g}",
        f"{facts['seconds']:.0f}",
    ]
    for grid, seeds in (("seed", ""), ("grid", f" ({facts['seeds']} seed{'s' if facts['seeds'] > 1 else ''})")):
        depth, validation = facts[f"{grid}_depth"], facts[f"{grid}_validation"]
        agrees = "yes" if facts["depth"] == depth else "no"
        cells += ["", "", "no rows of the grid"] if depth is None else [str(depth), f"{validation:.4g}{seeds}", agrees]
    return [*cells, f"{facts['grid_seconds']:.0f}" if facts["seeds"] else ""]


def _summary(compared):
    known = [facts for facts in compared if facts["seed_depth"] is not None]
    if not known:
        return "There are no rows of the grid to compare with."
    agree, by_mean = (sum(facts["depth"] == facts[f"{grid}_depth"] for facts in known) for grid in ("seed", "grid"))
    better = sum(facts["validation"] < facts["seed_validation"] for facts in known)
    costs = [facts["seconds"] / facts["grid_seconds"] for facts in known]
    return (
        f"Of {len(known)} searches, {agree} find the best depth of the grid with the same seed, and {by_mean} the\n"
        f"best depth by the mean over the grid's seeds. In {better} the best trial has a lower validation result than\n"
        f"the whole grid. The searches took {min(costs):.1f} to {max(costs):.1f} times the seconds of the grid."
    )
