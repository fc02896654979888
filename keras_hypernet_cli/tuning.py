"""The command that searches for the depth: tune."""

from pathlib import Path
from typing import Annotated

from rich.table import Table
from typer import Argument, Exit, Option

from keras_hypernet_cli.options import Address, AsJson, Clipnorm, Engine, Epochs, Resume, parse_range
from keras_hypernet_cli.printing import command_line, console, readable, resumable, show, show_json

_RANGE = "a range, 25:400, choices, 25,50,100, or search, for the usual values"
# Besides those of every command, these options do not affect the model of --retrain.
_FLAGS_WITHOUT_EFFECT = {"--plot"}
_OPTIONS_WITHOUT_EFFECT = {"--plot-with", "--out", "--compare", "--workers", "--engine", "--address"}


def tune(
    name: Annotated[str, Argument(help="Name of a task: rotation_mnist, synthetic_inner, colorization_cifar, ...")],
    method: Annotated[str, Option(help="hyper, embed, or both, which searches for the method too.")] = "hyper",
    oracle: Annotated[str, Option(help="grid, random, bayesian or hyperband.")] = "grid",
    trials: Annotated[int | None, Option(help="Largest number of trials; by default the oracle's, or all.")] = None,
    depths: Annotated[str, Option("--depths", help="Linear layers of f or e: 2:9 (both ends) or 2,4,8.")] = "2:9",
    width: Annotated[str | None, Option(help=f"Units of the hidden layers: {_RANGE}.")] = None,
    learning_rate: Annotated[str | None, Option(help="Step size: 0.001:0.1 (logarithmic), or as --width.")] = None,
    initialization: Annotated[str | None, Option(help="Choices of train's --initialization, or search.")] = None,
    embedding_dim: Annotated[str | None, Option(help="Output dimension of e: as --width.")] = None,
    epochs: Epochs = None,
    gradient_clipnorm: Clipnorm = None,
    executions_per_trial: Annotated[int, Option(help="Seeds of each trial; their mean counts.")] = 1,
    seed: Annotated[int, Option(help="Seed of the search, and the first seed of its trainings.")] = 0,
    objective: Annotated[str | None, Option(help="validation_error, validation_loss or validation_mse.")] = None,
    factor: Annotated[int, Option(help="Hyperband: factor from round to round, of epochs and of fewer trials.")] = 3,
    quick: Annotated[bool, Option("--quick", help="Use small data that need no network, and a few epochs.")] = False,
    directory: Annotated[Path | None, Option(help="Folder; by default runs/tuning/NAME_METHOD_ORACLE.")] = None,
    resume: Resume = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Delete the search that the folder holds.")] = False,
    plot: Annotated[bool, Option("--plot", help="Draw depth.png and parallel.png.")] = False,
    plot_with: Annotated[list[Path] | None, Option(help="Folder of another search to draw too.")] = None,
    out: Annotated[Path | None, Option(help="Folder of table and figures; by default the search's folder.")] = None,
    compare: Annotated[
        Path | None, Option(help="Folder of experiments: compare with it in README.md by --out.")
    ] = None,
    retrain: Annotated[bool, Option("--retrain", help="Train the best on training and validation data.")] = False,
    data_note: Annotated[str | None, Option(help="Note on its card about your copy of the data.")] = None,
    strategy: Annotated[str | None, Option(help="mirrored: each trial on all GPUs of this machine.")] = None,
    workers: Annotated[int, Option(help="Trials at a time; several run in processes of their own.")] = 1,
    engine: Engine = "local",
    address: Address = None,
    as_json: AsJson = False,
):
    """Search for the best depth of f or of e with keras-tuner, by the error on validation data.

    Example: keras-hypernet tune rotation_mnist --method both --oracle hyperband --trials 20
    """
    from keras_hypernet import paper_recipe, tuning

    task = tuning.get_search_task(name, seed, quick)
    directory = directory or Path("runs/tuning") / f"{name}_{method}_{oracle}{'_quick' if quick else ''}"
    _check_outputs(task, out, compare, plot, plot_with)
    _check_directory(directory, resume, overwrite)
    others = _read_searches(plot_with, task, objective)
    _check_devices(strategy)
    space = _ranges(depth=depths, width=width, learning_rate=learning_rate, initialization=initialization)
    space |= _ranges(embedding_dim=embedding_dim)
    if quick and epochs is None:  # with fewer epochs, Hyperband has no two rounds
        epochs = max(2, factor) if oracle == "hyperband" else 2
    budget = {"trials": trials, "epochs": epochs, "executions_per_trial": executions_per_trial, "factor": factor}
    devices = {"strategy": strategy, "workers": workers, "engine": engine, "address": address}
    options = {"directory": directory, "seed": seed, "overwrite": overwrite, "resume": resume, "objective": objective}
    options["recipe"] = paper_recipe(task, gradient_clipnorm=gradient_clipnorm)
    with resumable(directory):
        result = tuning.search(task, _methods(task, method), oracle, **space, **budget, **devices, **options)
    if trials is not None and len(result.trials) < trials:
        console().warn(f"{oracle} has no more than {len(result.trials)} trials here. Asked for: --trials {trials}")
    paths = _write(result, others, directory, out, compare, plot)
    card = None
    if retrain and result.finished:
        command = command_line(_FLAGS_WITHOUT_EFFECT, _OPTIONS_WITHOUT_EFFECT)
        card = result.retrain(directory / "entry", command=command, data_note=data_note)
    _report(result, card, directory / "entry", paths, as_json)


def _ranges(**options):
    """Returns the arguments of `search` for options such as 2:9, 2,4,8 or search."""
    kinds = {"learning_rate": float, "initialization": str}
    return {
        name: True if text == "search" else parse_range(f"`{name}`", text, kinds.get(name, int))
        for name, text in options.items()
    }


def _methods(task, method):
    """Returns the argument `method` of `search` for an option; a task of sets has one method only."""
    if method == "hyper" and task.condition_is_set:
        return "process"
    return tuple(method.split(",")) if "," in method else method


def _check_outputs(task, out, compare, plot, plot_with):
    """Raises errors before the search that would otherwise follow after it."""
    from keras_hypernet.common.figures import figure_class
    from keras_hypernet.common.files import check_writable
    from keras_hypernet.tuning.compare import check_grid

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
        raise ValueError("--resume continues a search, and --overwrite deletes it: give one of them.")
    if resume and not (directory / "search.json").exists():
        console().warn(f"{directory} holds no search to continue, so a new search starts.")
    entry = directory / "entry"
    if overwrite and entry.exists():
        console().warn(f"{entry}, a model of the search that --overwrite deletes, stays until --retrain replaces it.")


def _read_searches(folders, task, objective):
    from keras_hypernet import tuning
    from keras_hypernet.tuning.drawing import check_alike
    from keras_hypernet.tuning.names import metrics_of

    searches = [tuning.SearchResult.read(folder) for folder in folders or []]
    if searches:
        own = (task.config(), objective or metrics_of(task)[0])
        check_alike(own, *((search.config["task"], search.objective) for search in searches))
    return searches


def _check_devices(strategy):
    from keras_hypernet import tuning

    devices = tuning.get_strategy(strategy).extended.worker_devices if strategy is not None else ()
    if len(devices) == 1:
        device = devices[0].rpartition("device:")[2]
        console().warn(f"--strategy {strategy} has found only one device, {device}, so nothing is mirrored.")


def _write(result, others, directory, out, compare, plot):
    """Writes the table, and the figures and the comparison if they are asked for; returns the paths."""
    from keras_hypernet import tuning
    from keras_hypernet.common.files import write_json
    from keras_hypernet.tuning.compare import write_comparison

    paths = [result.to_csv((out or directory) / "trials.csv")]
    if out is not None:
        write_json(out / "search.json", result.config)
    if plot and any(each.finished for each in [result, *others]):
        paths += tuning.draw_searches([result, *others], out or directory)
    if compare is not None and result.finished:
        paths.append(write_comparison(out.parent, compare))
    return paths


def _report(result, card, entry, paths, as_json):
    """Prints JSON, or the table, the best trial and the paths; the exit code is 1 if no trial is finished."""
    if as_json:
        best = result.best.to_dict() if result.finished else None
        files = {"files": [*map(str, paths)], "entry": None if card is None else str(entry)}
        show_json({"config": result.config, "trials": result.trials, "best": best, **files})
    else:
        show(_table(result))
    if not result.finished:
        console().warn(
            f"None of {len(result.trials)} trials is finished. The first says: {result.trials[0]['message']}"
        )
        raise Exit(1)
    if not as_json:
        _show_best(result, card, entry)
        for path in paths:
            show(str(path))


def _show_best(result, card, entry):
    row, objective = result.best_trial, result.objective
    seconds = sum(trial["seconds"] for trial in result.trials)
    show(
        f"The best is trial {row['trial']}, {result.best_method}, depth {row['depth']}: {objective} "
        f"{row[objective]:.4f}; {seconds:.0f} seconds in all."
    )
    if card is not None:
        metric = result.task.metric
        test = readable(card.metrics["test"][metric])
        show(f"Trained on training and validation data, its test {metric} is {test}; its entry:")
        show(str(entry.resolve()))


def _table(result):
    names = [name for name in result.space if name != "method"]
    columns = ["trial", "method", *names, "epochs", result.objective, "seconds"]
    table = Table(*columns, title=f"{result.config['oracle']} search: {result.task}")
    for row in result.trials:
        value = row["status"] if row[result.objective] is None else f"{row[result.objective]:.4f}"
        cells = [readable(row[name]) if row[name] is not None else "" for name in names]
        cells += [str(row["total_epochs"]), value, f"{row['seconds']:.1f}"]
        table.add_row(str(row["trial"]), row["method"], *cells)
    return table
