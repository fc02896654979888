"""The commands that train models of the zoo: train and entry."""

import dataclasses
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from keras_hypernet_cli.options import INITIALIZATIONS, AsJson, Clipnorm, Epochs, Resume, Source
from keras_hypernet_cli.printing import command_line, resumable, show, show_json


def train(
    name: Annotated[str, Argument(help="Name of a zoo entry, or of a variant: rotation_digits_hyper.")],
    depth: Annotated[int | None, Option(help="Linear layers of f or e; by default the entry's.")] = None,
    seed: Annotated[int, Option(help="Seed of the run, or the first of several seeds.")] = 0,
    seeds: Annotated[int, Option(help="Number of seeds; the seed of median validation error is kept.")] = 1,
    epochs: Epochs = None,
    learning_rate: Annotated[float | None, Option(help="Step size; by default the paper's.")] = None,
    gradient_clipnorm: Clipnorm = None,
    initialization: Annotated[str | None, Option(help=f"One of {INITIALIZATIONS}.")] = None,
    out: Annotated[Path | None, Option(help="Folder of the runs and the entry; by default runs/NAME.")] = None,
    resume: Resume = False,
    results: Annotated[
        Path | None, Option("--from", help="Folder of results: choose the seed by their rows, and train it alone.")
    ] = None,
    compare: Annotated[Path | None, Option(help="An earlier --out, whose runs are listed on the card too.")] = None,
    data_note: Annotated[str | None, Option(help="Note on the card about your copy of the data.")] = None,
    threads: Annotated[
        int | None, Option(help="Threads to compute with; by default one a processor. The number affects rounding.")
    ] = None,
    csv: Annotated[bool, Option("--csv", help="Write history.csv for each run.")] = False,
    tensorboard: Annotated[bool, Option("--tensorboard", help="Write TensorBoard logs for each run.")] = False,
    as_json: AsJson = False,
):
    """Train a model of the zoo by the paper's recipe, or with changes, and make it an entry.

    Example: keras-hypernet train rotation_digits_hyper --depth 3 --seeds 5 --out runs/depth3
    """
    from keras_hypernet.experiments import entries
    from keras_hypernet.runs.machine import set_threads

    if results is not None and (seed, seeds, threads) != (0, 1, None):
        raise ValueError(
            "--from chooses a seed of the rows and its number of threads: leave out --seed, --seeds and --threads, "
            "or --from."
        )
    if threads is not None:
        set_threads(threads)
    changes = {"depth": depth, "epochs": epochs, "learning_rate": learning_rate}
    changes |= {"gradient_clipnorm": gradient_clipnorm, "initialization": initialization}
    changes = {option: value for option, value in changes.items() if value is not None}
    blueprint = dataclasses.replace(entries.get_blueprint(name), changes=changes)
    out = out or Path("runs") / name
    seeds, records = range(seed, seed + seeds), {"data_note": data_note, "csv_log": csv, "tensorboard": tensorboard}
    choice = {"resume": resume, "results": results, "compare": compare}
    with resumable(out):
        card = entries.train_entry(blueprint, out, seeds, command_line(), **choice, **records)
    _report(card, out / "entry", as_json)


def entry(
    directory: Annotated[Path, Argument(help="Folder of a training: the `directory` of `keras_hypernet.fit`.")],
    name: Annotated[str | None, Option(help="Name of the entry; by default the folder's.")] = None,
    description: Annotated[str | None, Option(help="What the model does; by default what the task says.")] = None,
    command: Annotated[str | None, Option(help="The command that repeats the training; by default this one.")] = None,
    to: Annotated[Path | None, Option(help="Folder of the entry; by default DIRECTORY/entry.")] = None,
    source: Source = None,
    data_note: Annotated[str | None, Option(help="Note on the card about your copy of the data.")] = None,
    as_json: AsJson = False,
):
    """Turn the folder of a training into an entry, for evaluate, info, export and serve.

    Example: keras-hypernet entry runs/mine --name mine
    """
    from keras_hypernet.runs.sources import load_source
    from keras_hypernet.zoo.store import save_training

    if source is not None:
        load_source(str(source))
    facts = {"name": name, "description": description, "command": command or command_line(), "data_note": data_note}
    facts = {field: value for field, value in facts.items() if value is not None}
    card = save_training(directory, to, **facts)
    _report(card, to or directory / "entry", as_json)


def _report(card, folder, as_json):
    if as_json:
        return show_json(dataclasses.asdict(card))
    for run in card.seeds:
        measured = {split: run[split] for split in ("validation", "test") if run[split] is not None}
        result = run["diverged"] or ", ".join(f"{split} {value:.4f}" for split, value in measured.items())
        show(f"seed {run['seed']}: {result}")
    show(f"The entry is the run of seed {card.seed}; `keras_hypernet.load` takes its folder:")
    show(str(folder.resolve()))
