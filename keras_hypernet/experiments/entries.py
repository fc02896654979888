"""How the entries of the zoo are made: which run of which experiment a name stands for, and its training."""

import contextlib
import dataclasses
import json
import math
import pathlib

from keras_hypernet.common.files import locked_folder, write_json
from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.common.versions import today, versions
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.assumption_1 import approximators
from keras_hypernet.experiments.rows import ResultsFile
from keras_hypernet.runs.machine import set_threads
from keras_hypernet.tasks import get_task
from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.training.retracing import expected_retracing
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.card import read_other_runs
from keras_hypernet.zoo.descriptions import describe
from keras_hypernet.zoo.store import save_entry


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """What the name of an entry stands for: a run of an experiment, whatever its seed.

    Attributes:
        name: Name of the entry.
        experiment: Name of the experiment.
        panel: Part of the experiment, such as the data set.
        method: `"hyper"`, `"embed"` or `"network"`; or `"target"`, the network that a task is about.
        value: Value of what the experiment varies.
        changes: Fields of the recipe that are to differ from the experiment's.
        second: Whether the entry is the second of the two networks that the experiment trains.

    Raises:
        ValueError: If a change is of a field that means nothing to the method.
    """

    name: str
    experiment: str
    panel: str
    method: str
    value: float
    changes: dict = dataclasses.field(default_factory=dict)
    second: bool = False

    def __post_init__(self):
        if self.method == "target" and self.changes:
            raise ValueError(f"{self.name} is drawn, not trained. Leave out {', '.join(self.changes)}.")
        if self.method == "network" and (unused := {"depth", "rank", "embedding_dim"} & set(self.changes)):
            raise ValueError(f"{self.name} is one network, without f or e. Leave out {', '.join(sorted(unused))}.")

    @property
    def follows_f1(self):
        """Whether the seed is chosen by another network's results: f1, f2 and their target belong together."""
        return self.second or self.method == "target"

    def setup(self, seed):
        """Returns the task and the recipe for a seed."""
        task, recipe = get_experiment(self.experiment).setup(self.panel, self.method, self.value, seed, False)
        recipe = approximators(recipe)[1] if self.second else recipe
        return task, dataclasses.replace(recipe, **self.changes)


def _blueprints():
    methods = ("hyper", "embed")
    data = {"mnist": "mnist", "cifar": "cifar10", "digits": "digits", "patches": "patches"}
    for method in methods:
        for short, panel in data.items():
            yield Blueprint(f"rotation_{short}_{method}", "rotation_depth", panel, method, 4)
        for family in ("inner", "hadamard", "concat"):
            yield Blueprint(f"synthetic_{family}_{method}", "synthetic_depth", family, method, 4)
        for short in ("cifar", "patches"):
            yield Blueprint(f"colorization_{short}_{method}", "colorization_depth", data[short], method, 4)
    # The index that validation prefers, if its file is under 8 MB, otherwise the largest whose file is.
    yield Blueprint("synthetic_width_hyper", "synthetic_embedding_dim", "inner", "hyper", 1)
    yield Blueprint("synthetic_width_embed", "synthetic_embedding_dim", "inner", "embed", 1)
    yield Blueprint("rotation_mnist_width_hyper", "rotation_embedding_dim", "mnist", "hyper", 2)
    yield Blueprint("rotation_mnist_width_embed", "rotation_embedding_dim", "mnist", "embed", 2)
    for short, panel in {"cifar": "cifar10", "mnist": "mnist", "uniform": "uniform", "digits": "digits"}.items():
        for part in ("f1", "f2", "target"):
            method = "target" if part == "target" else "network"
            yield Blueprint(f"assumption1_{short}_{part}", "assumption_1", panel, method, 50, second=part == "f2")
    for short in ("mnist", "cifar", "digits"):
        yield Blueprint(f"assumption2_{short}", "assumption_2", data[short], "network", 29)


BLUEPRINTS = {blueprint.name: blueprint for blueprint in _blueprints()}


def get_blueprint(name):
    """Returns the `Blueprint` of this name.

    Raises:
        ValueError: If there is none; the closest names are offered.

    Example:

    >>> get_blueprint("rotation_cifar_embed").setup(seed=0)[0]
    RotationTask(data='cifar10')
    """
    if name not in BLUEPRINTS:
        raise ValueError(f"There is no model {name!r} to train; {suggestion(name, BLUEPRINTS)}")
    return BLUEPRINTS[name]


def train_entry(
    blueprint, directory, seeds, command, resume=False, results=None, compare=None, data_note=None, **options
):
    """Trains a model with several seeds and makes an entry of the one with the median validation result.

    Args:
        blueprint: A `Blueprint`.
        directory: Receives a folder `seed-<seed>` for each run, `runs.json` with the results of all, and
            `entry`, the zoo entry.
        seeds: The seeds, integers. A run that diverges counts as the worst; of an even number of runs,
            the better one of the middle two is taken.
        command: The command line that does this, for the card.
        resume: Whether to go on where an earlier call was interrupted.
        results: Folder of the results of the blueprint's experiment, or None. If it is given, its runs are not
            repeated, but for the one that becomes the entry, with as many threads as its row says if TensorFlow has
            not computed anything yet; then `seeds` is not used.
        compare: Directory of an earlier call with another recipe, whose runs the card is to list too.
        data_note: What the card is to say of the copy of the data set, if that is not the usual one.
        **options: Passed on to `fit`: `progress`, `csv_log`, `tensorboard`, `callbacks`.

    Returns:
        The `Card` of the entry.

    Raises:
        TrainingDivergedError: If so many runs diverge that the median one did.
        ValueError: If there are no seeds, or no results to choose from, or another process trains in the directory, or
            it holds another training.
        NotWritableError: If the directory takes no files, or there is no room for the checkpoints.
        DataUnavailableError: If the images are not to be had.
    """
    directory = pathlib.Path(directory)
    other_runs = None if compare is None else _read_runs(compare)
    with locked_folder(directory, "training in", "another directory (--out)"):
        return _train_entry(blueprint, directory, seeds, command, resume, results, other_runs, data_note, options)


def _train_entry(blueprint, directory, seeds, command, resume, results, other_runs, data_note, options):
    if results is not None:
        runs = _runs_of(blueprint, results)
    elif seeds:
        with expected_retracing():
            runs = [_run(blueprint, directory, seed, resume, options) for seed in seeds]
        write_json(directory / "runs.json", {"command": command, "runs": runs})
    else:
        raise ValueError("There must be at least one seed. Received: none")
    ranked = sorted(runs, key=lambda run: float("inf") if run["diverged"] else run["validation"])
    chosen = ranked[(len(runs) - 1) // 2]
    if chosen["diverged"]:
        failed = sum(run["diverged"] is not None for run in runs)
        raise TrainingDivergedError(f"{failed} of {len(runs)} runs diverged, the median one too: {chosen['diverged']}")
    if results is not None:
        _use_threads_of(chosen, blueprint, results)
    model, state = _train(blueprint, directory, chosen["seed"], True if results is None else resume, options)
    task, recipe = blueprint.setup(chosen["seed"])
    selection = f"the median validation {task.metric} of {len(runs)}" if len(runs) > 1 else "the only seed trained"
    if blueprint.follows_f1 and results is not None:
        selection = f"the seed of f1: {selection}"
    metrics = {split: evaluate(model, task, split) for split in ("validation", "test")}
    if blueprint.method == "target":
        runs = [{**chosen, **{split: metrics[split][task.metric] for split in metrics}, "seconds": None}]
    elif blueprint.second and results is not None:
        runs = [{**run, "validation": None} for run in runs]  # which was f1's
    if results is not None and blueprint.method != "target":
        _check_same(chosen, metrics["test"][task.metric], blueprint, results)
    facts = {
        **describe(blueprint, task, recipe, data_note, other_runs),
        "command": command,
        "seed": chosen["seed"],
        "metrics": metrics,
        "seeds": runs,
        "other_runs": other_runs,
        "selection": selection,
        **state,
    }
    return save_entry(model, facts, directory / "entry")


def _use_threads_of(run, blueprint, results):
    """Sums are rounded otherwise with another number of threads, which trainings amplify."""
    (row,) = [row for row in _rows_of(blueprint, results) if row["seed"] == run["seed"]]
    if row["machine"] and row["machine"]["threads"]:
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun already
            set_threads(row["machine"]["threads"])


def _check_same(run, test, blueprint, results):
    """Raises ValueError unless the training from which an entry is made has the result of its row."""
    if not math.isclose(run["test"], test, rel_tol=1e-4):
        raise ValueError(
            f"Trained again, seed {run['seed']} of {blueprint.name} gives {test:.6g}, and not the {run['test']:.6g} of "
            f"its row in {results}: on another machine, with other versions or other threads. Train all seeds here: "
            "--seeds."
        )


def _read_runs(directory):
    path = pathlib.Path(directory) / "runs.json"
    if not path.is_file():
        raise ValueError(
            f"There are no runs to compare with in {str(directory)!r}: give the --out of an earlier training."
        )
    return read_other_runs(path)


def _train(blueprint, directory, seed, resume, options):
    """Returns a trained model, and the versions and the date of its training."""
    task, recipe = blueprint.setup(seed)
    if blueprint.method == "target":
        model = task.target()
        model.compile("sgd", loss="mse")
        return model, {"versions": versions(), "date": today()}
    model = build_model(task, blueprint.method, recipe)
    folder = directory / f"seed-{seed}"
    fit(model, task, recipe, folder, resume, **options)
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return model, {name: state[name] for name in ("versions", "date")}


def _run(blueprint, directory, seed, resume, options):
    task, recipe = blueprint.setup(seed)
    measured, seconds, diverged = {"validation": None, "test": None}, None, None
    try:
        model, _ = _train(blueprint, directory, seed, resume, options)
        measured = {split: evaluate(model, task, split)[task.metric] for split in measured}
        state = directory / f"seed-{seed}" / "state.json"
        if state.exists():
            history = json.loads(state.read_text(encoding="utf-8"))["history"]
            seconds = round(sum(epoch["seconds"] for epoch in history), 1)
    except TrainingDivergedError as error:
        diverged = str(error)
    rates = {"learning_rate": recipe.learning_rate, "gradient_clipnorm": recipe.gradient_clipnorm}
    return {"seed": seed, **rates, **measured, "seconds": seconds, "diverged": diverged}


def _runs_of(blueprint, results):
    """The runs that a blueprint stands for, from the rows of its experiment."""
    runs = []
    for row in _rows_of(blueprint, results):
        recipe = Recipe(**row["config"]["recipe"])
        task, expected = dataclasses.replace(blueprint, second=False).setup(row["seed"])
        if (get_task(**row["config"]["task"]), recipe) != (task, expected):
            raise ValueError(
                f"The row of seed {row['seed']} in {results} is of another recipe than the entry's. Leave --from out."
            )
        rates = {"learning_rate": recipe.learning_rate, "gradient_clipnorm": recipe.gradient_clipnorm}
        test = row.get("test_f2_y") if blueprint.second else row["test"]
        measured = {"validation": row["validation"], "test": test, "seconds": row["seconds"]}
        runs.append({"seed": row["seed"], **rates, **measured, "diverged": row.get("message")})
    return runs


def _rows_of(blueprint, results):
    """The rows of these runs by seed, without those that failed: they are as if they had not been run."""
    path = pathlib.Path(results) / f"{blueprint.experiment}.jsonl"
    varies = get_experiment(blueprint.experiment).varies
    # The target of an approximation is chosen with the networks that approximate it.
    expected = blueprint.panel, "network" if blueprint.method == "target" else blueprint.method, blueprint.value
    rows = [row for row in ResultsFile(path).read()[0] if (row["panel"], row["method"], row[varies]) == expected]
    rows = [row for row in rows if row["status"] != "failed"]
    if not rows:
        raise ValueError(
            f"There are no results for {blueprint.name} in {path}: run `keras-hypernet experiment "
            f"{blueprint.experiment}`, or leave --from out."
        )
    return sorted(rows, key=lambda row: row["seed"])
