"""How the entries of the zoo are made: which model a name stands for, and the training that makes it."""

import dataclasses
import difflib
import json
import pathlib

from keras_hypernet.architectures import HIDDEN_UNITS, build_model
from keras_hypernet.data import get_source
from keras_hypernet.files import write_json
from keras_hypernet.recipe import Recipe, paper_recipe
from keras_hypernet.tasks import RotationTask
from keras_hypernet.training import TrainingDivergedError, evaluate, fit
from keras_hypernet.zoo import save_entry

_DATA = {"mnist": "mnist", "cifar": "cifar10", "digits": "digits", "patches": "patches"}


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """What the name of an entry stands for.

    Attributes:
        name: Name of the entry, `rotation_<data>_<method>`.
        task: The task.
        method: `"hyper"` or `"embed"`.
        recipe: The paper's recipe, to be varied with `dataclasses.replace`.
    """

    name: str
    task: RotationTask
    method: str
    recipe: Recipe


BLUEPRINTS = {
    name: Blueprint(name, task, method, paper_recipe(task))
    for short, data in _DATA.items()
    for task in [RotationTask(data)]
    for method in ("hyper", "embed")
    for name in [f"rotation_{short}_{method}"]
}


def get_blueprint(name):
    """Returns the `Blueprint` of this name.

    Raises:
        ValueError: If there is none; the closest names are offered.

    Example:

    >>> get_blueprint("rotation_cifar_embed").task
    RotationTask(data='cifar10')
    """
    if name not in BLUEPRINTS:
        closest = difflib.get_close_matches(name, BLUEPRINTS, cutoff=0.5) or list(BLUEPRINTS)
        raise ValueError(f"There is no model {name!r} to train; did you mean {' or '.join(closest)}?")
    return BLUEPRINTS[name]


def train_entry(blueprint, directory, seeds, command, resume=False, compare=None, data_note=None, **options):
    """Trains a model with several seeds and makes an entry of the one with the median validation error.

    Args:
        blueprint: A `Blueprint`.
        directory: Receives a folder `seed-<seed>` for each run, `runs.json` with the results of all, and
            `entry`, the zoo entry.
        seeds: The seeds, integers. A run that diverges counts as the worst; of an even number of runs,
            the better one of the middle two is taken.
        command: The command line that does this, for the card.
        resume: Whether to go on where an earlier call was interrupted.
        compare: Directory of an earlier call with another recipe, whose runs the card is to list too.
        data_note: What the card is to say of the copy of the data set, if that is not the usual one.
        **options: Passed on to `fit`: `progress`, `csv_log`, `tensorboard`, `callbacks`.

    Returns:
        The `Card` of the entry.

    Raises:
        TrainingDivergedError: If so many runs diverge that the median one did.
        DataUnavailableError: If the images are not to be had.
    """
    if not seeds:
        raise ValueError("There must be at least one seed. Received: none")
    directory = pathlib.Path(directory)
    other_runs = None if compare is None else _read_runs(compare)
    runs = [_run(blueprint, directory, seed, resume, options) for seed in seeds]
    write_json(directory / "runs.json", {"command": command, "runs": runs})
    ranked = sorted(runs, key=lambda run: 1.0 if run["diverged"] else run["validation_error"])
    chosen = ranked[(len(runs) - 1) // 2]
    if chosen["diverged"]:
        failed = sum(run["diverged"] is not None for run in runs)
        raise TrainingDivergedError(f"{failed} of {len(runs)} runs diverged, the median one too: {chosen['diverged']}")
    model, recipe, _ = _train(blueprint, directory, chosen["seed"], True, {})
    state = json.loads((directory / f"seed-{chosen['seed']}" / "state.json").read_text(encoding="utf-8"))
    facts = {
        **_describe(blueprint, recipe),
        "deviations": _deviations(blueprint, recipe, other_runs),
        "data": _describe_data(get_source(blueprint.task.data), data_note),
        "command": command,
        "seed": recipe.seed,
        "metrics": {split: evaluate(model, blueprint.task, split) for split in ("validation", "test")},
        "seeds": runs,
        "other_runs": other_runs,
        "selection": f"the median validation error of {len(runs)}" if len(runs) > 1 else "the only seed trained",
        "versions": state["versions"],
        "date": state["date"],
    }
    return save_entry(model, facts, directory / "entry")


def _read_runs(directory):
    path = pathlib.Path(directory) / "runs.json"
    if not path.is_file():
        raise ValueError(
            f"There are no runs to compare with in {str(directory)!r}: give the --out of an earlier training."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _train(blueprint, directory, seed, resume, options):
    recipe = dataclasses.replace(blueprint.recipe, seed=seed)
    model = build_model(blueprint.task, blueprint.method, recipe)
    history = fit(model, blueprint.task, recipe, directory / f"seed-{seed}", resume, **options)
    return model, recipe, history


def _run(blueprint, directory, seed, resume, options):
    errors, seconds, diverged = {"validation": None, "test": None}, None, None
    try:
        model, _, history = _train(blueprint, directory, seed, resume, options)
        seconds = round(sum(epoch["seconds"] for epoch in history), 1)
        errors = {split: evaluate(model, blueprint.task, split)["error"] for split in errors}
    except TrainingDivergedError as error:
        diverged = str(error)
    return {
        "seed": seed,
        "learning_rate": blueprint.recipe.learning_rate,
        "gradient_clipnorm": blueprint.recipe.gradient_clipnorm,
        "validation_error": errors["validation"],
        "test_error": errors["test"],
        "seconds": seconds,
        "diverged": diverged,
    }


def _describe(blueprint, recipe):
    source = get_source(blueprint.task.data)
    height, width, channels = source.image_shape
    pixels = height * width * channels
    hidden = " -> ".join([str(pixels)] + [str(recipe.width)] * (recipe.depth - 1))
    classes = blueprint.task.num_outputs
    if blueprint.method == "hyper":
        primary = f"{pixels} -> {HIDDEN_UNITS} ({recipe.activation}) -> {classes}, no biases, all weights generated"
        architecture = {"generator": f"{hidden} (relu), then linear to the weights of g", "primary": primary}
    else:
        embedding_dim = HIDDEN_UNITS * pixels + HIDDEN_UNITS
        primary = f"{pixels + embedding_dim} -> {HIDDEN_UNITS} ({recipe.activation}) -> {classes}, with biases"
        architecture = {"embedding": f"{hidden} (relu) -> {embedding_dim}", "primary": primary}
    by = "a hypernetwork" if blueprint.method == "hyper" else "the embedding method"
    return {
        "name": blueprint.name,
        "description": f"Tells by which multiple of 30 degrees an image was rotated, given the image: {by}.",
        "task": blueprint.task.name,
        "method": blueprint.method,
        "architecture": architecture,
        "recipe": recipe.to_dict(),
        "provenance": _PROVENANCE,
        "limits": [
            f"Rotation of {height} x {width} images like those of {source.name} about their centre; nothing else.",
            "Angles from 345 to 360 degrees are class 11 and not class 0, as the paper defines the labels.",
        ],
    }


def _describe_data(source, note):
    return {
        "name": source.name,
        "origin": source.origin,
        "license": source.license,
        "note": note or source.note,
        "test_sha256": source.fingerprint(),
    }


_PROVENANCE = {
    "text": [
        "Widths of f, e, g and q; SGD with learning rate 0.01, batch size 64, 10 epochs, no regularization.",
        "Twelve classes, the closest of 30 i degrees by |angle - 30 i|, which does not wrap around.",
    ],
    "code": [
        "Nearest-neighbour rotation with zeros outside; pixels scaled as (v / 255 - 0.1307) / 0.3081 on any data.",
        "No biases in g, biases in q; ReLU in g and q on MNIST, ELU on CIFAR-10.",
        "Initialization uniform with variance 1 / (3 fan_in).",
    ],
    "ours": [
        "The last 5,000 training examples are held out for validation (the paper has no validation split).",
    ],
}


def _deviations(blueprint, recipe, other_runs):
    deviations = ["Trained on 5,000 images fewer than the paper, which are the validation split."]
    paper = dataclasses.replace(paper_recipe(blueprint.task), seed=recipe.seed, depth=recipe.depth)
    for name, value in recipe.to_dict().items():
        expected = getattr(paper, name)
        if value != expected:
            deviations.append(f"{name} is {value}; the paper's is {expected}.")
    if blueprint.task.data not in ("mnist", "cifar10"):
        deviations[0] = f"The data set {blueprint.task.data} is not one of the paper's."
    if other_runs:
        diverged = sum(run["diverged"] is not None for run in other_runs["runs"])
        deviations.append(
            f"Of {len(other_runs['runs'])} runs by the recipe of other_runs, for comparison, {diverged} diverged."
        )
    return deviations
