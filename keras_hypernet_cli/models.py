"""Commands about models of the zoo: list, info, demo, evaluate."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated

from rich.table import Column, Table
from rich.text import Text
from typer import Option

from keras_hypernet_cli.options import SOURCES, AsJson, Entry, Source
from keras_hypernet_cli.printing import console, readable, show, show_facts, show_json

# The commands that the demo suggests at its end.
_NEXT = {
    "keras-hypernet list": "all pretrained models",
    "keras-hypernet experiment rotation_depth --quick": "a figure of the paper in a minute",
    "keras-hypernet export rotation_mnist_hyper": "a SavedModel for TensorFlow Serving",
}


def list_(
    as_json: AsJson = False,
    markdown: Annotated[bool, Option("--markdown", help="Print the table of the README.")] = False,
):
    """List the pretrained models.

    Example: keras-hypernet list
    """
    from keras_hypernet.zoo.store import list_entries

    cards = list_entries()
    if markdown:
        return print(zoo_table(cards))
    if as_json:
        return show_json([dataclasses.asdict(card) for card in cards])
    table = Table(Column("name", no_wrap=True), "trained on", "test", "parameters", title="Pretrained models")
    for card in cards:
        table.add_row(card.name, card.data["name"], _result(card), _parameters(card))
    show(table)


def info(name: Entry, as_json: AsJson = False):
    """Show the card of a model: data, recipe, results, limits.

    Example: keras-hypernet info rotation_mnist_hyper
    """
    from keras_hypernet.zoo.card import Card
    from keras_hypernet.zoo.store import find_entry

    card = Card.read(find_entry(name))
    fields = dataclasses.asdict(card)
    if as_json:
        return show_json(fields)
    show_facts(card.name, {**fields, "best trivial predictor": _trivial(card) or None})


def demo(
    to: Annotated[Path | None, Option(help="Folder to export to; by default a temporary one.")] = None,
    as_json: AsJson = False,
):
    """Show the main uses on data that ships with the installation: evaluate, fine-tune, specialize, export, query.

    Example: keras-hypernet demo --to /tmp/saved_models
    """
    from keras_hypernet.serving.demo import run

    with tempfile.TemporaryDirectory() as temporary:
        steps = {}
        for number, (title, facts) in enumerate(run(to or temporary), start=1):
            steps[title] = facts
            if not as_json:
                show(Text(f"\n{number}. {title}", "bold"))
                for name, value in facts.items():
                    note = " (deleted at the end; --to keeps it)" if name == "folder" and to is None else ""
                    text = ", ".join(map(readable, value)) if isinstance(value, list) else readable(value)
                    show(f"   {name}: {text}{note}")
        if as_json:
            show_json(steps)
        else:
            show(Text("\nWhat to do next", "bold"))
            for command, purpose in _NEXT.items():
                show(f"   {command:<50}{purpose}")


def evaluate(
    name: Entry,
    data: Annotated[str | None, Option(help=f"{SOURCES}; by default the model's training data.")] = None,
    split: Annotated[str, Option(help="train, validation or test.")] = "test",
    save: Annotated[Path | None, Option(help="File to draw the first predictions to.")] = None,
    source: Source = None,
    as_json: AsJson = False,
):
    """Evaluate a model on a data set.

    Examples: keras-hypernet evaluate rotation_mnist_hyper --data digits --save predictions.png
    """
    from keras_hypernet.common.figures import figure_class
    from keras_hypernet.runs.sources import load_source
    from keras_hypernet.training import loop
    from keras_hypernet.zoo.card import Card
    from keras_hypernet.zoo.figures import save_predictions
    from keras_hypernet.zoo.store import find_entry, load

    if source is not None:
        load_source(str(source))
    card = Card.read(find_entry(name))
    task = _task(card, data)
    if save is not None:
        if task.name != "rotation":
            raise ValueError(f"Only predictions of rotations are drawn. Received: {card.name}, a model of {task.name}")
        figure_class()  # before the evaluation, which takes longer
    data = data or card.data["name"]
    with console().status(f"Evaluating {card.name} on {data}"):
        model = load(name)
        metrics = {"name": card.name, "data": data, "split": split, **loop.evaluate(model, task, split)}
        if save is not None:
            save_predictions(model, task, save, split)
    if as_json:
        return show_json(metrics)
    show(f"{card.name} on the {split} split of {data}, {metrics['num_examples']:,} examples:")
    show(", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items() if isinstance(value, float)))
    if save is not None:
        show(f"Predictions drawn to {save}")


def _task(card, data):
    """Returns the task of a card, on other data unless `data` is None."""
    from keras_hypernet.tasks import get_task

    trained_on = get_task(**card.task)
    if data is None:
        return trained_on
    if "data" not in card.task:
        raise ValueError(f"{card.name} was not trained on images, so there is no other --data. Received: {data}")
    task = get_task(**{**card.task, "data": data})
    for word, field in {"shape": "x_shape", "type": "x_dtype"}.items():
        wanted, given = (getattr(each, field) for each in (trained_on, task))
        if given != wanted:
            raise ValueError(f"{card.name} takes images of {word} {wanted}. Received: {task.data}, of {word} {given}")
    return task


def zoo_table(cards):
    """Returns the table of the README: cards as rows, in Markdown."""
    from keras_hypernet.common.markdown import table
    from keras_hypernet.tasks import get_task

    def errors(runs):
        return ", ".join("diverged" if run["diverged"] else f"{run['test']:.3g}" for run in runs)

    names = ("entry", "trained on", "test", "best trivial predictor", "its seeds", "the paper's recipe", "parameters")
    rows = []
    for card in cards:
        same = "the same" * (get_task(**card.task).paper_recipe is not None)
        paper = errors(card.other_runs["runs"]) if card.other_runs else same
        results = (f"**{_result(card)}**", _trivial(card, "**"), errors(card.seeds), paper)
        rows.append((f"`{card.name}`", card.data["name"], *results, _parameters(card)))
    return "\n".join(table(names, rows))


def _trivial(card, bold=""):
    """The best trivial predictor of a card's task, and whether the model does not beat it, between marks `bold`."""
    if not card.baseline:
        return ""
    name, error = min(card.baseline.items(), key=lambda item: item[1])
    metrics = card.metrics["test"]
    beaten = metrics[next(iter(metrics))] < error
    return f"{name} {error:.3g}{'' if beaten else f', {bold}not beaten{bold}'}"


def _result(card):
    metrics = card.metrics["test"]
    if "error" in metrics:
        return f"error {metrics['error']:.4f}"
    metric = next(iter(metrics))
    return f"{metric.replace('mse', 'MSE')} {metrics[metric]:.3g}"


def _parameters(card):
    return ", ".join(f"{part} {count:,}" for part, count in card.num_parameters.items())
