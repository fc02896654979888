"""Commands about the paper's experiments: experiment, plot."""

import contextlib
import shlex
from pathlib import Path
from typing import Annotated

from rich.table import Table
from typer import Exit, Option

from keras_hypernet_cli.options import Address, AsJson, Engine, ExperimentName, parse_range
from keras_hypernet_cli.printing import console, resumable, show, show_json

_MOST_VALUES = 10_000


def experiment(
    name: ExperimentName,
    quick: Annotated[bool, Option("--quick", help="Run a small grid, on images that need no network.")] = False,
    values: Annotated[
        str | None, Option("--depths", "--values", help="Values of the varied quantity: 2:9 (both ends) or 2,4,8.")
    ] = None,
    panels: Annotated[str | None, Option(help="Parts of the figure, such as mnist; by default all.")] = None,
    seeds: Annotated[int | None, Option(help="Number of seeds; by default the experiment's own.")] = None,
    workers: Annotated[int, Option(help="Number of processes, which share the processor's threads.")] = 1,
    engine: Engine = "local",
    address: Address = None,
    resume: Annotated[bool, Option("--resume", help="Keep the results that exist, and run what is missing.")] = False,
    out: Annotated[Path | None, Option(help="Folder of the results; by default results, or runs/quick.")] = None,
    verify: Annotated[int | None, Option(help="Run this many random rows of the results again, and compare.")] = None,
    as_json: AsJson = False,
):
    """Run an experiment of the paper: many trainings, a row of results for each.

    Example: keras-hypernet experiment rotation_depth --depths 2:9 --seeds 5 --workers 2 --resume
    """
    from keras_hypernet.experiments import runner
    from keras_hypernet.runs.engines import LocalWorkers

    chosen = _experiments(name)
    out = out or Path("runs/quick" if quick else "results")
    if verify is not None:
        return _verify(chosen, out, verify, as_json)
    resume = resume or quick
    if name == "all":
        _check_all(chosen, out, values, panels, resume)
    grid = {"values": _values(values), "panels": None if panels is None else panels.split(",")}
    rows = []
    with resumable(out), contextlib.ExitStack() as stack:
        if engine == "local" and quick:  # the experiments share processes, whose start takes longer than a quick run
            workers = stack.enter_context(LocalWorkers(workers))
        engine_options = {"workers": workers, "engine": engine, "address": address}
        for each in chosen:
            rows += runner.run(each, out, **grid, seeds=seeds, quick=quick, **engine_options, resume=resume)
    if as_json:
        show_json(rows)
    else:
        _show_results(chosen, rows)
        folder = "" if out == Path("results") else f" --results {shlex.quote(str(out))}"
        show(f"The rows are in {out}; draw them with keras-hypernet plot {name}{folder}")
    _check_failures(rows, out)


def _verify(chosen, out, number, as_json):
    """Prints how random rows of the results compare with a repetition of their runs."""
    from keras_hypernet.experiments import runner

    table = Table("experiment", "run", "test", "again", "difference", "processor", title="Rows that were run again")
    compared = []
    for row, again in runner.verify(chosen, out, number):
        different = runner.difference(row, again)
        compared.append({"row": row, "again": again, "difference": different})
        labels = ", ".join(str(value) for value in [*row["config"].values()][1:] if not isinstance(value, dict))
        same = (row["machine"] or {}).get("processor") == again["machine"]["processor"]
        result = "none" if different == 0 else f"{different:.2g}"
        tests = [str(each["test"]) for each in (row, again)]
        table.add_row(row["experiment"], labels, *tests, result, "the same" if same else "another")
    if as_json:
        return show_json(compared)
    show(table)


def plot(
    name: ExperimentName,
    results: Annotated[Path, Option("--results", "--out", help="Folder of the results.")] = Path("results"),
    as_json: AsJson = False,
):
    """Draw the figure of an experiment as PNG, SVG and CSV; with all, also write the report of the verdicts.

    Example: keras-hypernet plot rotation_depth
    """
    from keras_hypernet.experiments.drawing import NoResultsError, draw
    from keras_hypernet.experiments.report import write_report

    paths = []
    for each in _experiments(name):
        try:
            drawn, warnings = draw(each, results)
        except NoResultsError as error:
            if name != "all":
                raise
            drawn, warnings = [], [str(error)]
        paths += drawn
        for sentence in warnings:
            console().warn(sentence)
    if not paths:
        raise NoResultsError(f"There are no results of any experiment in {results}. Run one, or give its --results.")
    if name == "all":
        paths.append(write_report(results))
    if as_json:
        return show_json([str(path) for path in paths])
    for path in paths:
        show(str(path))


def _values(text):
    """Returns the list of values that an option stands for; None for None."""
    values = parse_range("--depths, or --values,", text, lambda word: int(word) if word.isdecimal() else float(word))
    if not isinstance(values, tuple):
        return values
    first, last = values
    if not (isinstance(first, int) and isinstance(last, int) and last - first < _MOST_VALUES):
        raise ValueError(f"A range is of at most {_MOST_VALUES:,} integers. Received: {text!r}")
    return list(range(first, last + 1))


def _experiments(name):
    from keras_hypernet import experiments

    return [experiments.get_experiment(each) for each in (experiments.NAMES if name == "all" else [name])]


def _check_all(chosen, out, values, panels, resume):
    """Refuses options that suit one experiment only, and, before any run, to add to results without --resume."""
    if values is not None or panels is not None:
        raise ValueError(
            "--depths, --values and --panels differ from experiment to experiment: name the experiment. "
            f"Received: all, with {values or panels}"
        )
    paths = [out / f"{each.name}.jsonl" for each in chosen]
    paths = [path for path in paths if path.exists() and path.stat().st_size]
    if paths and not resume:
        raise ValueError(
            f"There are results already, {', '.join(map(str, paths))}: add to them (--resume), or choose another "
            "folder (--out)."
        )


def _show_results(chosen, rows):
    import numpy as np

    from keras_hypernet.experiments.rows import group_rows

    for each in chosen:
        own = [row for row in rows if row["experiment"] == each.name]
        metric = next((row["metric"] for row in own if "metric" in row), "")
        table = Table("panel", "method", each.varies, "runs", f"test {metric}", title=each.caption)
        for group, runs in group_rows(own, each.varies).items():
            tests = [row["test"] for row in runs if row["test"] is not None]
            mean = f"{np.mean(tests):.4f}" if tests else ""
            spread = f" ± {np.std(tests, ddof=1):.4f}" if len(tests) > 1 else ""
            lost = f" ({len(runs) - len(tests)} diverged or failed)" if len(tests) < len(runs) else ""
            table.add_row(*map(str, group), str(len(runs)), mean + spread + lost)
        show(table)


def _check_failures(rows, out):
    failed = [row for row in rows if row["status"] == "failed"]
    if failed:
        files = ", ".join(str(out / f"{name}.jsonl") for name in dict.fromkeys(row["experiment"] for row in failed))
        console().warn(
            f"{len(failed)} of {len(rows)} runs failed. To repeat them, remove the lines with the status failed from "
            f"{files}, and add --resume. The first message: {failed[0].get('message', 'none')}"
        )
        raise Exit(1)
