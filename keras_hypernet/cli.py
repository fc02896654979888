"""The command line, `keras-hypernet`: arguments and printing only."""

import dataclasses
import json
import pathlib
import shlex
import sys
import tempfile
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from keras_hypernet import demo as demonstration
from keras_hypernet import experiments
from keras_hypernet.card import Card
from keras_hypernet.data import SOURCES, DataUnavailableError
from keras_hypernet.entries import get_blueprint, train_entry
from keras_hypernet.experiments.drawing import NoResultsError, draw
from keras_hypernet.experiments.report import write_report
from keras_hypernet.experiments.rows import group_rows
from keras_hypernet.experiments.runner import run as run_experiment
from keras_hypernet.figures import save_predictions
from keras_hypernet.serving import export as export_model
from keras_hypernet.tasks import get_task
from keras_hypernet.training import TrainingDivergedError
from keras_hypernet.training import evaluate as evaluate_model
from keras_hypernet.zoo import find_entry, list_entries, load

# What a user can cause and mend. Anything else is a fault of this package, and shows its traceback.
_USER_ERRORS = (ValueError, TypeError, ImportError, OSError, DataUnavailableError, TrainingDivergedError)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
console = Console()

Name = Annotated[str, typer.Argument(help="Name of a zoo entry, or path to the folder of one (./my_entry).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback()
def keras_hypernet(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
):
    """Hypernetworks for Keras: pretrained models, from a look at them to a SavedModel.

    Start with [bold]keras-hypernet demo[/bold], which needs no network.
    """


@app.command("list")
def list_command(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the README.")] = False,
):
    """List the pretrained models.

    Example: keras-hypernet list
    """
    cards = list_entries()
    if markdown:
        return print(zoo_table(cards))
    if as_json:
        return _print_json([dataclasses.asdict(card) for card in cards])
    table = Table(title="Pretrained models")
    table.add_column("name", no_wrap=True)
    for column in ("trained on", "test", "parameters"):
        table.add_column(column)
    for card in cards:
        table.add_row(card.name, card.data["name"], _result(card), _parameters(card))
    console.print(table)


@app.command()
def info(name: Name, as_json: AsJson = False):
    """Show the card of a model: data, recipe, results, limits.

    Example: keras-hypernet info rotation_mnist_hyper
    """
    card = dataclasses.asdict(Card.read(find_entry(name)))
    if as_json:
        return _print_json(card)
    table = Table(show_header=False, title=card["name"])
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field, value in card.items():
        if value is not None:
            table.add_row(field, _readable(value))
    console.print(table)


@app.command()
def demo(
    to: Annotated[pathlib.Path | None, typer.Option(help="Folder to export to; by default a temporary one.")] = None,
    as_json: AsJson = False,
):
    """Do the main job on data that ships with the installation: evaluate, fine-tune, specialize, export, query.

    Example: keras-hypernet demo --to /tmp/saved_models
    """
    with tempfile.TemporaryDirectory() as temporary:
        steps = {}
        for number, (title, facts) in enumerate(demonstration.run(to or temporary), start=1):
            steps[title] = facts
            if not as_json:
                console.print(f"\n[bold]{number}. {title}[/bold]")
                for name, value in facts.items():
                    console.print(f"   {name}: {_readable(value)}", highlight=False)
        if as_json:
            _print_json(steps)


@app.command()
def evaluate(
    name: Name,
    data: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(SOURCES)}; by default what it was trained on.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    save: Annotated[pathlib.Path | None, typer.Option(help="Draw the first predictions to this file.")] = None,
    as_json: AsJson = False,
):
    """Measure a model on a data set.

    Examples: keras-hypernet evaluate rotation_mnist_hyper --data digits --save predictions.png
    """
    card = Card.read(find_entry(name))
    task = trained_on = get_task(**card.task)
    if data is not None:
        if "data" not in card.task:
            raise ValueError(f"{card.name} was not trained on images, so there is no other --data. Received: {data}")
        task = get_task(**{**card.task, "data": data})
        if task.x_shape != trained_on.x_shape:
            raise ValueError(
                f"{card.name} takes images of shape {trained_on.x_shape}. Received: {task.data}, of {task.x_shape}"
            )
        if task.x_dtype != trained_on.x_dtype:
            raise ValueError(
                f"{card.name} takes images of type {trained_on.x_dtype}. Received: {task.data}, of type {task.x_dtype}"
            )
    if save is not None and task.name != "rotation":
        raise ValueError(f"Only predictions of rotations are drawn. Received: {card.name}, a model of {task.name}")
    on = data or card.data["name"]
    with Console(stderr=True).status(f"Evaluating {card.name} on {on}"):
        model = load(name)
        metrics = {"name": card.name, "data": on, "split": split, **evaluate_model(model, task, split)}
        if save is not None:
            save_predictions(model, task, save, split)
    if as_json:
        return _print_json(metrics)
    console.print(f"{card.name} on the {split} split of {on}, {metrics['num_examples']:,} examples:")
    console.print(
        ", ".join(f"{metric} {metrics[metric]:.4f}" for metric in ("error", "loss", "mse") if metric in metrics)
    )
    if save is not None:
        console.print(f"Predictions drawn to {save}")


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="Name of a zoo entry, or one of its kind: rotation_digits_hyper.")],
    depth: Annotated[int | None, typer.Option(help="Linear layers of f or e; by default the entry's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the run, or the first of the seeds.")] = 0,
    seeds: Annotated[int, typer.Option(help="Number of seeds; the entry is the one of median validation error.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split; by default the paper's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Step size; by default the paper's.")] = None,
    gradient_clipnorm: Annotated[
        float | None, typer.Option(help="Scale larger gradients down to this norm; by default they are left alone.")
    ] = None,
    initialization: Annotated[str | None, typer.Option(help="fan_in_uniform (the authors') or hyperfan_in.")] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="Folder for runs and entry; by default runs/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier call stopped.")] = False,
    results: Annotated[
        pathlib.Path | None,
        typer.Option("--from", help="Choose by the rows in this folder of results, and train the chosen seed alone."),
    ] = None,
    compare: Annotated[
        pathlib.Path | None, typer.Option(help="List the runs of this earlier --out on the card too.")
    ] = None,
    data_note: Annotated[str | None, typer.Option(help="What the card is to say about your copy of the data.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write history.csv for each run.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard logs for each run.")] = False,
    as_json: AsJson = False,
):
    """Train a model of the zoo by the paper's recipe, or with changes, and make an entry of it.

    Example: keras-hypernet train rotation_digits_hyper --depth 3 --seeds 5 --out runs/depth3
    """
    options = {
        "depth": depth,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "gradient_clipnorm": gradient_clipnorm,
        "initialization": initialization,
    }
    changes = {option: value for option, value in options.items() if value is not None}
    blueprint = dataclasses.replace(get_blueprint(name), changes=changes)
    out = out or pathlib.Path("runs") / name
    of_this_call = {"--resume", "--debug"}  # and not of what it makes
    command = shlex.join(["keras-hypernet", *(argument for argument in sys.argv[1:] if argument not in of_this_call)])
    card = train_entry(
        blueprint,
        out,
        range(seed, seed + seeds),
        command,
        resume=resume,
        results=results,
        compare=compare,
        data_note=data_note,
        csv_log=csv,
        tensorboard=tensorboard,
    )
    if as_json:
        return _print_json(dataclasses.asdict(card))
    for run in card.seeds:
        result = run["diverged"] or f"validation {run['validation']:.4f}, test {run['test']:.4f}"
        console.print(f"seed {run['seed']}: {result}")
    console.print(f"The entry is that of seed {card.seed}; it is a folder that `keras_hypernet.load` takes:")
    console.print(str((out / "entry").resolve()), soft_wrap=True)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of a zoo entry, path to one (./my_entry), or all.")],
    to: Annotated[pathlib.Path, typer.Option(help="Folder of all exported models.")] = pathlib.Path("saved_models"),
    as_json: AsJson = False,
):
    """Write a model as a SavedModel, as its next version, for TensorFlow Serving.

    Example: keras-hypernet export rotation_mnist_hyper --to saved_models
    """
    names = [card.name for card in list_entries()] if name == "all" else [name]
    with Console(stderr=True).status("Exporting"):
        paths = [str(export_model(name, to)) for name in names]
    if as_json:
        return _print_json(paths)
    for path in paths:
        console.print(path, soft_wrap=True)


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help=f"{', '.join(experiments.NAMES)}, or all.")],
    quick: Annotated[bool, typer.Option("--quick", help="A small grid, on images that need no network.")] = False,
    values: Annotated[
        str | None,
        typer.Option("--depths", "--values", help="Values of what the experiment varies: 2:9 (both ends) or 2,4,8."),
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
        _check_all(chosen, out, values, resume)
    rows = []
    for one in chosen:
        rows += run_experiment(one, out, parse_values(values), seeds, quick, workers, engine, address, resume)
    if as_json:
        _print_json(rows)
    else:
        for one in chosen:
            console.print(_results_table(one, [row for row in rows if row["experiment"] == one.name]))
        console.print(f"The rows are in {out}; draw them with keras-hypernet plot.", soft_wrap=True)
    failed = [row for row in rows if row["status"] == "failed"]
    if failed:
        files = ", ".join(str(out / f"{name}.jsonl") for name in dict.fromkeys(row["experiment"] for row in failed))
        _warn(
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
        _warn(sentence)
    if as_json:
        return _print_json([str(path) for path in paths])
    for path in paths:
        console.print(str(path), soft_wrap=True)


def parse_values(text):
    """The values that `2:9` (both ends) or `2,4,8` stand for; None for None.

    >>> parse_values("2:5"), parse_values("0.01,0.1")
    ([2, 3, 4, 5], [0.01, 0.1])
    """
    if text is None:
        return None
    try:
        if ":" in text:
            first, last = (int(number) for number in text.split(":"))
            return list(range(first, last + 1))
        return [int(number) if number.strip().isdecimal() else float(number) for number in text.split(",")]
    except ValueError as error:
        raise ValueError(f"Values are given as 2:9 (both ends) or 2,4,8. Received: {text!r}") from error


def _check_all(chosen, out, values, resume):
    """Refuses what only one experiment can be told, and finds results that are there before anything is run."""
    if values is not None:
        raise ValueError(
            "--depths and --values are of what one experiment varies, and each varies something else: name the "
            f"experiment. Received: all, with {values}"
        )
    there = [path for path in (out / f"{one.name}.jsonl" for one in chosen) if path.exists() and path.stat().st_size]
    if there and not resume:
        raise ValueError(
            f"There are results already, {', '.join(map(str, there))}: go on with them (--resume), or choose another "
            "folder (--out)."
        )


def _results_table(one, rows):
    metric = next((row["metric"] for row in rows if "metric" in row), "")
    table = Table("panel", "method", one.varies, "runs", f"test {metric}", title=f"{one.title} ({one.figure})")
    for group, found in group_rows(rows, one.varies).items():
        tests = [row["test"] for row in found if row["test"] is not None]
        spread = f" ± {np.std(tests, ddof=1):.4f}" if len(tests) > 1 else ""
        lost = f" ({len(found) - len(tests)} diverged or failed)" if len(tests) < len(found) else ""
        table.add_row(*map(str, group), str(len(found)), (f"{np.mean(tests):.4f}{spread}" if tests else "") + lost)
    return table


def main():
    """Runs the command line; an error of the user is one line and the exit code 2."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        # An option of every command: accepted wherever it stands.
        app([argument for argument in arguments if argument != "--debug"], prog_name="keras-hypernet")
    except _USER_ERRORS as error:
        if debug:
            raise
        Console(stderr=True).print(f"[bold red]Error:[/bold red] {_one_line(error)}", soft_wrap=True, highlight=False)
        raise SystemExit(2) from None


def _warn(sentence):
    Console(stderr=True).print(f"[yellow]Warning:[/yellow] {_one_line(sentence)}", soft_wrap=True, highlight=False)


def _one_line(error):
    from rich.markup import escape

    return escape(" ".join(str(error).split()))


def _print_json(content):
    print(json.dumps(content, indent=2))


def zoo_table(cards):
    """Returns a table of cards in Markdown, as it stands in the README."""

    def errors(runs):
        return ", ".join("diverged" if run["diverged"] else f"{run['test']:.3g}" for run in runs)

    lines = ["| entry | trained on | test | its seeds | the paper's recipe | parameters |", "|---|---|---|---|---|---|"]
    for card in cards:
        paper = errors(card.other_runs["runs"]) if card.other_runs else "the same"
        cells = [f"`{card.name}`", card.data["name"], f"**{_result(card)}**", errors(card.seeds), paper]
        lines.append(f"| {' | '.join([*cells, _parameters(card)])} |")
    return "\n".join(lines)


def _result(card):
    """The test metric, as tables show it."""
    metrics = card.metrics["test"]
    return f"error {metrics['error']:.4f}" if "error" in metrics else f"MSE {metrics['mse']:.3g}"


def _parameters(card):
    return ", ".join(f"{part} {count:,}" for part, count in card.num_parameters.items())


def _readable(value):
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list):
        return "\n".join(_readable(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
