"""The command about the search for the depth: tune."""

import pathlib
from typing import Annotated

import typer
from rich.table import Table

from keras_hypernet import tuning
from keras_hypernet.cli.common import AsJson, app, command_line, console, print_json, readable, resumable, warn
from keras_hypernet.common.files import check_writable, write_json
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.tuning.agreement import check_grid, write_agreement
from keras_hypernet.tuning.drawing import check_alike, figure_class
from keras_hypernet.tuning.strategy import get_strategy

_RANGE = "a range, 25:400, choices, 25,50,100, or search, for the usual ones"
# Options that do not affect the model of --retrain.
_OF_THIS_CALL = {"--resume", "--overwrite", "--debug", "--json", "--plot"}
_WITH_A_VALUE = {"--plot-with", "--out", "--compare", "--workers", "--engine", "--address"}


@app.command()
def tune(
    name: Annotated[str, typer.Argument(help="rotation_mnist, synthetic_inner, colorization_cifar and the like.")],
    method: Annotated[str, typer.Option(help="hyper, embed, or both, as a part of the search.")] = "hyper",
    oracle: Annotated[str, typer.Option(help="grid, random, bayesian or hyperband.")] = "grid",
    trials: Annotated[
        int | None, typer.Option(help="Largest number of trials; by default the whole grid, or as the oracle has it.")
    ] = None,
    depths: Annotated[str, typer.Option("--depths", help="Linear layers of f or e: 2:9 (both ends) or 2,4,8.")] = "2:9",
    width: Annotated[str | None, typer.Option(help=f"Units of the hidden layers: {_RANGE}.")] = None,
    learning_rate: Annotated[str | None, typer.Option(help="Step size: 0.001:0.1 (logarithmic), or as above.")] = None,
    initialization: Annotated[str | None, typer.Option(help="Choices, or search: see train.")] = None,
    embedding_dim: Annotated[str | None, typer.Option(help="Output dimension of e: as above.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split; by default the paper's.")] = None,
    gradient_clipnorm: Annotated[
        float | None, typer.Option(help="Scale larger gradients down to this norm; by default they are left alone.")
    ] = None,
    executions_per_trial: Annotated[int, typer.Option(help="Seeds of each trial, whose mean counts.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the search, and the first of its trainings.")] = 0,
    objective: Annotated[str | None, typer.Option(help="validation_error, validation_loss or validation_mse.")] = None,
    factor: Annotated[int, typer.Option(help="Hyperband: how many times more epochs, and fewer trials, a round.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Small data that need no network, and a few epochs.")] = False,
    directory: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of the search; by default runs/tuning/NAME_METHOD_ORACLE.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier call stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete a search that stands there.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw depth.png and parallel.png.")] = False,
    plot_with: Annotated[
        list[pathlib.Path] | None, typer.Option(help="Folder of another search to draw too, as of the other method.")
    ] = None,
    out: Annotated[
        pathlib.Path | None, typer.Option(help="Folder of table and figures; by default that of the search.")
    ] = None,
    compare: Annotated[
        pathlib.Path | None,
        typer.Option(help="Folder of the experiments' results: say beside --out how the best compares."),
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the best on training and validation data, as a zoo entry.")
    ] = False,
    data_note: Annotated[str | None, typer.Option(help="What its card is to say about your copy of the data.")] = None,
    strategy: Annotated[str | None, typer.Option(help="mirrored: each trial on all GPUs of this machine.")] = None,
    workers: Annotated[int, typer.Option(help="Trials at a time; several run in processes of their own.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Address of the Ray cluster.")] = None,
    as_json: AsJson = False,
):
    """Search for the best depth of f or of e with keras-tuner, by the error on validation data.

    Example: keras-hypernet tune rotation_mnist --method both --oracle hyperband --trials 20
    """
    task = tuning.get_search_task(name, seed, quick)
    directory = directory or pathlib.Path("runs/tuning") / f"{name}_{method}_{oracle}{'_quick' if quick else ''}"
    _check_outputs(task, out, compare, plot, plot_with)
    _check_directory(directory, resume, overwrite)
    others = _read_others(plot_with, task, objective)
    _check_devices(strategy)
    with resumable(directory):
        found = tuning.search(
            task,
            _methods(task, method),
            oracle,
            trials,
            _quick_epochs(oracle, factor) if quick and epochs is None else epochs,
            executions_per_trial,
            directory,
            seed,
            overwrite,
            resume=resume,
            depth=parse_range("depth", depths),
            width=parse_range("width", width),
            initialization=parse_range("initialization", initialization, str),
            learning_rate=parse_range("learning_rate", learning_rate, float),
            embedding_dim=parse_range("embedding_dim", embedding_dim),
            recipe=paper_recipe(task, gradient_clipnorm=gradient_clipnorm),
            objective=objective,
            factor=factor,
            strategy=strategy,
            workers=workers,
            engine=engine,
            address=address,
        )
    if trials is not None and len(found.trials) < trials:
        warn(f"{oracle} has no more than {len(found.trials)} trials here. Asked for: --trials {trials}")
    paths = _write(found, others, directory, out, compare, plot)
    card = None
    if retrain and _finished(found):
        command = command_line(_OF_THIS_CALL, _WITH_A_VALUE)
        card = found.retrain(directory / "entry", command=command, data_note=data_note)
    entry = None if card is None else directory / "entry"
    if as_json:
        best = found.best.to_dict() if _finished(found) else None
        files = {"files": [*map(str, paths)], "entry": entry and str(entry)}
        return print_json({"config": found.config, "trials": found.trials, "best": best, **files})
    console.print(_table(found))
    if not _finished(found):
        warn(f"None of {len(found.trials)} trials is finished. The first says: {found.trials[0]['message']}")
        raise typer.Exit(1)
    _report(found, card, entry, paths)


def parse_range(name, text, kind=int):
    """The range or the choices that `2:9` (both ends) or `2,4,8` stand for; None for None.

    Raises:
        ValueError: If it is neither.

    Example:

    >>> parse_range("depth", "2:9"), parse_range("learning_rate", "0.001:0.1", float), parse_range("depth", "2,4")
    ((2, 9), (0.001, 0.1), [2, 4])
    """
    if text is None:
        return None
    if text == "search":
        return True
    try:
        if ":" in text:
            low, high = text.split(":")
            return kind(low), kind(high)
        return [kind(one.strip()) for one in text.split(",")]
    except ValueError as error:
        raise ValueError(
            f"`{name}` is given as a range, 2:9 (both ends), as choices, 2,4,8, or as search, for the usual ones. "
            f"Received: {text!r}"
        ) from error


def _check_outputs(task, out, compare, plot, plot_with):
    """Refuses before the search what would fail after it."""
    if compare is not None:
        if out is None:
            raise ValueError(f"--compare writes a README.md beside the folder of --out: give one. Received: {compare}")
        check_grid(task)
    if plot_with and not plot:
        raise ValueError("--plot-with draws another search in the figures of --plot: add --plot.")
    if plot:
        figure_class()
    if out is not None:
        check_writable(out)


def _check_directory(directory, resume, overwrite):
    if resume and overwrite:
        raise ValueError("--resume goes on with a search, and --overwrite deletes it: give one of them.")
    if resume and not (directory / "search.json").exists():
        warn(f"{directory} holds no search to go on with, so it begins.")
    entry = directory / "entry"
    if overwrite and entry.exists():
        warn(f"{entry}, a model of the search that --overwrite deletes, stays until --retrain replaces it.")


def _read_others(folders, task, objective):
    """The searches that are drawn too."""
    others = [tuning.SearchResult.read(folder) for folder in folders or []]
    if others:
        from keras_hypernet.tuning.metrics import metrics_of  # of an extra

        asked = (task.config(), objective or metrics_of(task)[0])
        check_alike(asked, *((other.config["task"], other.objective) for other in others))
    return others


def _check_devices(strategy):
    devices = get_strategy(strategy).extended.worker_devices if strategy is not None else ()
    if len(devices) == 1:
        device = devices[0].rpartition("device:")[2]
        warn(f"--strategy {strategy} has found one device only, {device}, so nothing is mirrored.")


def _write(found, others, directory, out, compare, plot):
    """Writes the table, and the figures and the comparison that are asked for; returns the paths."""
    paths = [found.to_csv((out or directory) / "trials.csv")]
    if out is not None:
        write_json(out / "search.json", found.config)
    if plot and any(map(_finished, [found, *others])):
        paths += tuning.draw_searches([found, *others], out or directory)
    if compare is not None and _finished(found):
        paths.append(write_agreement(out.parent, compare))
    return paths


def _report(found, card, entry, paths):
    row, objective = found.best_trial, found.objective
    console.print(f"The best is trial {row['trial']}, {found.best_method}, depth {row['depth']}: {objective} ", end="")
    console.print(f"{row[objective]:.4f}; {sum(one['seconds'] for one in found.trials):.0f} seconds in all.")
    if card is not None:
        metric = found.task.metric
        result = readable(card.metrics["test"][metric])
        console.print(f"Trained on training and validation data, its test {metric} is {result}; its entry:")
        console.print(str(entry.resolve()), soft_wrap=True)
    for path in paths:
        console.print(str(path), soft_wrap=True)


def _methods(task, method):
    """The methods that an option stands for; of sets there is but one."""
    if method == "hyper" and len(task.condition_shape) == 4:
        return "process"
    return tuple(method.split(",")) if "," in method else method


def _quick_epochs(oracle, factor):
    """Two, or as few as Hyperband has two rounds with."""
    return max(2, factor) if oracle == "hyperband" else 2


def _finished(found):
    return any(row["status"] == "finished" for row in found.trials)


def _table(found):
    names = [name for name in found.space if name != "method"]
    columns = ["trial", "method", *names, "epochs", found.objective, "seconds"]
    table = Table(*columns, title=f"{found.config['oracle']} search: {found.task}")
    for row in found.trials:
        value = row["status"] if row[found.objective] is None else f"{row[found.objective]:.4f}"
        cells = [readable(row[name]) if row[name] is not None else "" for name in names]
        table.add_row(
            str(row["trial"]), row["method"], *cells, str(row["total_epochs"]), value, f"{row['seconds']:.1f}"
        )
    return table
