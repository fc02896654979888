"""run: all runs of an experiment, into the file of its results."""

import contextlib
import pathlib

from keras_hypernet.experiments.engines import ENGINES, run_locally, run_on_ray
from keras_hypernet.experiments.experiment import run_key
from keras_hypernet.experiments.rows import ResultsFile


def run(
    experiment,
    out,
    values=None,
    seeds=None,
    quick=False,
    workers=1,
    engine="local",
    address=None,
    resume=False,
    progress=True,
):
    """Runs what is not in the results yet, and adds a row for each run as it ends.

    Args:
        experiment: An `Experiment`.
        out: Folder of the results, `<experiment>.jsonl`.
        values: Values of what the experiment varies; by default its own.
        seeds: Number of seeds; by default the experiment's own.
        quick: Whether to run the small grid that ends in under a minute.
        workers: Number of processes on this machine.
        engine: `"local"` or `"ray"`.
        address: Address of the Ray cluster.
        resume: Whether to go on with results that are there already. Runs with a row are not repeated.
        progress: Whether to show the progress on standard error.

    Returns:
        The rows of the runs that were asked for, those of earlier calls included, in the order of the grid.

    Raises:
        ValueError: If there are results already and `resume` is False, or an argument is not valid.
        OSError: If a row cannot be written.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {ENGINES}. Received: {engine!r}")
    if workers < 1:
        raise ValueError(f"There must be at least one worker. Received: {workers}")
    configs = experiment.runs(values, seeds, quick)
    results = ResultsFile(pathlib.Path(out) / f"{experiment.name}.jsonl")
    with results.locked():
        rows, broken = results.read()
        if rows and not resume:
            raise ValueError(
                f"{results.path} holds results already: go on with them (--resume), or choose another folder (--out)."
            )
        done = {run_key(row["config"]): row for row in rows}
        missing = [config for config in configs if run_key(config) not in done]
        with _progress(experiment, configs, done, broken, progress) as report:
            ended = run_on_ray(missing, address) if engine == "ray" else run_locally(missing, workers)
            with contextlib.closing(ended):
                for row in ended:
                    results.append(row)
                    done[run_key(row["config"])] = row
                    report(row)
    return [done[run_key(config)] for config in configs]


@contextlib.contextmanager
def _progress(experiment, configs, done, broken, visible):
    """Shows rows that are finished, the best of each method so far, and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    for sentence in broken:
        console.print(f"[yellow]Warning:[/yellow] {sentence}", soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not visible) as bar:
        best = {}

        def describe(row):
            method = row["method"]
            if row.get("test") is not None:
                best[method] = min(best.get(method, row["test"]), row["test"])
            values = ", ".join(f"{name} {value:.4g}" for name, value in best.items())
            return f"{experiment.name}{': best ' if values else ''}{values}"

        text = experiment.name
        rows = [done[run_key(config)] for config in configs if run_key(config) in done]
        for row in rows:
            text = describe(row)
        task = bar.add_task(text, total=len(configs), completed=len(rows))
        yield lambda row: bar.update(task, advance=1, description=describe(row))
