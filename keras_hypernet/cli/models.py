"""Commands about models of the zoo: list, info, demo, evaluate, train."""

import dataclasses
import pathlib
import tempfile
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from keras_hypernet.cli.common import AsJson, app, command_line, console, print_json, readable, resumable
from keras_hypernet.common.terminal import LiteralConsole
from keras_hypernet.data.sources import SOURCES
from keras_hypernet.experiments.entries import get_blueprint, train_entry
from keras_hypernet.runs.machine import set_threads
from keras_hypernet.serving import demo as demonstration
from keras_hypernet.tasks import get_task
from keras_hypernet.training.loop import evaluate as evaluate_model
from keras_hypernet.training.recipe import INITIALIZATIONS
from keras_hypernet.zoo.card import Card
from keras_hypernet.zoo.figures import check_figure, save_predictions
from keras_hypernet.zoo.store import find_entry, list_entries, load

Name = Annotated[str, typer.Argument(help="Name of a zoo entry, or path to the folder of one (./my_entry).")]


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
        return print_json([dataclasses.asdict(card) for card in cards])
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
        return print_json(card)
    table = Table(show_header=False, title=card["name"])
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field, value in card.items():
        if value is not None:
            table.add_row(field, Text(readable(value)))
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
                console.print(Text(f"\n{number}. {title}", "bold"))
                for name, value in facts.items():
                    gone = " (deleted at the end; --to keeps it)" if name == "folder" and to is None else ""
                    text = ", ".join(map(readable, value)) if isinstance(value, list) else readable(value)
                    console.print(f"   {name}: {text}{gone}")
        if as_json:
            print_json(steps)


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
    if save is not None:
        check_figure(save)  # rather now than when all is evaluated
    on = data or card.data["name"]
    with LiteralConsole(stderr=True).status(f"Evaluating {card.name} on {on}"):
        model = load(name)
        metrics = {"name": card.name, "data": on, "split": split, **evaluate_model(model, task, split)}
        if save is not None:
            save_predictions(model, task, save, split)
    if as_json:
        return print_json(metrics)
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
    initialization: Annotated[str | None, typer.Option(help=f"One of {', '.join(INITIALIZATIONS)}.")] = None,
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
    threads: Annotated[
        int | None,
        typer.Option(help="Threads to compute with; by default one a processor. Another number rounds sums otherwise."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Write history.csv for each run.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard logs for each run.")] = False,
    as_json: AsJson = False,
):
    """Train a model of the zoo by the paper's recipe, or with changes, and make an entry of it.

    Example: keras-hypernet train rotation_digits_hyper --depth 3 --seeds 5 --out runs/depth3
    """
    if results is not None and (seed, seeds, threads) != (0, 1, None):
        raise ValueError(
            "--from chooses among the seeds of the rows, and takes the threads of the chosen one: leave out --seed, "
            "--seeds and --threads, or --from."
        )
    if threads is not None:
        set_threads(threads)
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
    command = command_line({"--resume", "--debug", "--json"})
    with resumable(out):
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
        return print_json(dataclasses.asdict(card))
    for run in card.seeds:
        measured = {split: run[split] for split in ("validation", "test") if run[split] is not None}
        result = run["diverged"] or ", ".join(f"{split} {value:.4f}" for split, value in measured.items())
        console.print(f"seed {run['seed']}: {result}")
    console.print(f"The entry is that of seed {card.seed}; it is a folder that `keras_hypernet.load` takes:")
    console.print(str((out / "entry").resolve()), soft_wrap=True)


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
