"""Commands about the paper's experiments: experiment, plot."""

import contextlib
import pathlib
import shlex
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from keras_hypernet import experiments
from keras_hypernet.cli.common import AsJson, app, console, print_json, resumable, warn
from keras_hypernet.experiments.drawing import NoResultsError, draw
from keras_hypernet.experiments.report import write_report
from keras_hypernet.experiments.rows import group_rows
from keras_hypernet.experiments.runner import run as run_experiment
from keras_hypernet.runs.engines import LocalWorkers

_MOST_VALUES = 10_000


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help=f"{', '.join(experiments.NAMES)}, or all.")],
    quick: Annotated[bool, typer.Option("--quick", help="A small grid, on images that need no network.")] = False,
    values: Annotated[
        str | None,
        typer.Option("--depths", "--values", help="Values of what the experiment varies: 2:9 (both ends) or 2,4,8."),
    ] = None,
    panels: Annotated[
        str | None, typer.Option(help="Only these parts of the figure, such as mnist; by default all of them.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds; by default the experiment's own.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, each with its share of the processor's threads.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Address of the Ray cluster.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results that are there.")] = False,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of the results; by default results, or runs/quick.")
    ] = None,
    as_json: AsJson = False,
):
    """Run an experiment of the paper: many trainings, a row of results for each.

    Example: keras-hypernet experiment rotation_depth --depths 2:9 --seeds 5 --workers 2 --resume
    """
    names = experiments.NAMES if name == "all" else [name]
    chosen = [experiments.get_experiment(name) for name in names]
    out = out or pathlib.Path("runs/quick" if quick else "results")
    resume = resume or quick
    if name == "all":
        _check_all(chosen, out, values, panels, resume)
    options = {
        "values": parse_values(values),
        "panels": None if panels is None else panels.split(","),
        "seeds": seeds,
        "quick": quick,
    }
    rows = []
    with resumable(out), contextlib.ExitStack() as stack:
        if engine == "local" and quick:  # where the start of a process takes longer than its runs
            workers = stack.enter_context(LocalWorkers(workers))  # whose processes stay for the next experiment
        for one in chosen:
            rows += run_experiment(one, out, **options, workers=workers, engine=engine, address=address, resume=resume)
    if as_json:
        print_json(rows)
    else:
        for one in chosen:
            console.print(_results_table(one, [row for row in rows if row["experiment"] == one.name]))
        elsewhere = "" if out == pathlib.Path("results") else f" --results {shlex.quote(str(out))}"
        console.print(f"The rows are in {out}; draw them with keras-hypernet plot {name}{elsewhere}", soft_wrap=True)
    failed = [row for row in rows if row["status"] == "failed"]
    if failed:
        files = ", ".join(str(out / f"{name}.jsonl") for name in dict.fromkeys(row["experiment"] for row in failed))
        warn(
            f"{len(failed)} of {len(rows)} runs failed. To repeat them, remove their lines, those with the status "
            f"failed, from {files}, and go on with --resume. The first says: {failed[0].get('message', 'nothing')}"
        )
        raise typer.Exit(1)


@app.command()
def plot(
    name: Annotated[str, typer.Argument(help=f"{', '.join(experiments.NAMES)}, or all.")],
    results: Annotated[pathlib.Path, typer.Option("--results", "--out", help="Folder of the results.")] = pathlib.Path(
        "results"
    ),
    as_json: AsJson = False,
):
    """Draw the figure of an experiment from its results, as PNG, SVG and CSV; with all, write what reproduced, too.

    Example: keras-hypernet plot rotation_depth
    """
    names = experiments.NAMES if name == "all" else [name]
    paths, broken = [], []
    for name_ in names:
        try:
            drawn, sentences = draw(experiments.get_experiment(name_), results)
        except NoResultsError as error:
            if name != "all":
                raise
            drawn, sentences = [], [str(error)]
        paths, broken = paths + drawn, broken + sentences
    if not paths:
        raise NoResultsError(f"There are no results of any experiment in {results}. Run one, or give its --results.")
    if name == "all":
        paths.append(write_report(results))
    for sentence in broken:
        warn(sentence)
    if as_json:
        return print_json([str(path) for path in paths])
    for path in paths:
        console.print(str(path), soft_wrap=True)


def parse_values(text):
    """The values that `2:9` (both ends) or `2,4,8` stand for; None for None.

    Raises:
        ValueError: If it is neither, or there are more than 10,000 of them.

    Example:

    >>> parse_values("2:5"), parse_values("0.01,0.1")
    ([2, 3, 4, 5], [0.01, 0.1])
    """
    if text is None:
        return None
    try:
        if ":" not in text:
            return [int(number) if number.strip().isdecimal() else float(number) for number in text.split(",")]
        first, last = (int(number) for number in text.split(":"))
    except ValueError as error:
        raise ValueError(f"Values are given as 2:9 (both ends) or 2,4,8. Received: {text!r}") from error
    if last - first >= _MOST_VALUES:
        raise ValueError(f"An experiment takes at most {_MOST_VALUES:,} values. Received: {text!r}")
    return list(range(first, last + 1))


def _check_all(chosen, out, values, panels, resume):
    """Refuses what only one experiment can be told, and finds results that are there before anything is run."""
    if values is not None or panels is not None:
        raise ValueError(
            "--depths, --values and --panels are of one experiment, and each has others: name the experiment. "
            f"Received: all, with {values or panels}"
        )
    there = [path for path in (out / f"{one.name}.jsonl" for one in chosen) if path.exists() and path.stat().st_size]
    if there and not resume:
        raise ValueError(
            f"There are results already, {', '.join(map(str, there))}: go on with them (--resume), or choose another "
            "folder (--out)."
        )


def _results_table(one, rows):
    metric = next((row["metric"] for row in rows if "metric" in row), "")
    table = Table("panel", "method", one.varies, "runs", f"test {metric}", title=one.caption)
    for group, found in group_rows(rows, one.varies).items():
        tests = [row["test"] for row in found if row["test"] is not None]
        spread = f" ± {np.std(tests, ddof=1):.4f}" if len(tests) > 1 else ""
        lost = f" ({len(found) - len(tests)} diverged or failed)" if len(tests) < len(found) else ""
        table.add_row(*map(str, group), str(len(found)), (f"{np.mean(tests):.4f}{spread}" if tests else "") + lost)
    return table
