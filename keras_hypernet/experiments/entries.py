"""The entries of the zoo: the run of an experiment for each name, and its training."""

import contextlib
import dataclasses
import json
import math
import pathlib
import statistics

from keras_hypernet.common.files import locked_folder, write_json
from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.common.versions import today, versions
from keras_hypernet.experiments import get_experiment
from keras_hypernet.experiments.assumptions import approximators
from keras_hypernet.experiments.baseline import PREDICTORS, REFERENCES, by_target, target_of
from keras_hypernet.experiments.rows import own_rows, results_of
from keras_hypernet.runs.machine import set_threads
from keras_hypernet.tasks import get_task
from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.loop import evaluate, expected_retracing, fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model
from keras_hypernet.zoo.card import Card, read_other_runs
from keras_hypernet.zoo.descriptions import describe, run_of_card
from keras_hypernet.zoo.store import save_entry


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """The run of an experiment, without its seed, from which an entry is made.

    `panel`, `method` and `value` are those of the experiment's run; the method `"target"` stands for the network that a
    task approximates. `changes` are fields of the recipe that differ from the experiment's; ValueError if the method
    does not use one. `second` is True for the second of the two networks that an experiment trains.
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

    def setup(self, seed):
        task, recipe = get_experiment(self.experiment).setup(self.panel, self.method, self.value, seed, False)
        recipe = approximators(recipe)[1] if self.second else recipe
        return task, dataclasses.replace(recipe, **self.changes)


def _blueprints():
    def panel(short):
        return {"cifar": "cifar10", "hadamard": "hadamard_d20", "concat": "concat_d20"}.get(short, short)

    # The width entries are at the index of lowest validation error whose file is under 8 MB.
    grids = (
        ("rotation_{}", "rotation_depth", ("mnist", "cifar", "digits", "patches"), 4),
        ("synthetic_{}", "synthetic_depth", ("inner",), 4),
        ("synthetic_{}", "modularity_depth", ("hadamard", "concat"), 4),
        ("colorization_{}", "colorization_depth", ("cifar", "patches"), 4),
        ("synthetic_width", "synthetic_embedding_dim", ("inner",), 1),
        ("rotation_{}_width", "rotation_embedding_dim", ("mnist",), 2),
    )
    for name, experiment, panels, value in grids:
        for short in panels:
            for method in ("hyper", "embed"):
                yield Blueprint(f"{name.format(short)}_{method}", experiment, panel(short), method, value)
    for method, depth in {"hyper": 4, "embed": 2}.items():  # of lowest validation error
        yield Blueprint(f"modularity_{method}", "modularity_depth", "d100_h10", method, depth)
    for short in ("cifar", "mnist", "uniform", "digits"):
        for part, method in {"f1": "network", "f2": "network", "target": "target"}.items():
            name = f"assumption1_{short}_{part}"
            yield Blueprint(name, "assumption_1", panel(short), method, 50, second=part == "f2")
    for short in ("mnist", "cifar", "digits"):
        yield Blueprint(f"assumption2_{short}", "assumption_2", panel(short), "network", 29)
    yield Blueprint("pareto_sphere", "pareto_toy", "sphere", "linear", 100)
    yield Blueprint("pareto_concave", "pareto_toy", "concave", "chebyshev", 100)
    for method in ("hyper", "process"):
        yield Blueprint(f"gaussian_process_{method}", "gaussian_process", "rbf", method, 10)
    for method in ("hyper", "network"):
        yield Blueprint(f"static_kernel_mnist_{method}", "hypernetworks_static", "mnist", method, 4)
    yield Blueprint("continual_split_mnist_hyper", "continual_digits", "split", "hyper", 5000)
    yield Blueprint("continual_polynomials_hyper", "continual_polynomials", "polynomials", "hyper", 4000)
    for kind in ("linear", "hidden"):
        yield Blueprint(f"response_mnist_{kind}", "hyperparameter_response", f"mnist_{kind}", "hyper", -5)


BLUEPRINTS = {blueprint.name: blueprint for blueprint in _blueprints()}


def get_blueprint(name):
    """Returns the `Blueprint` of this name; ValueError, with the closest names, if there is none.

    >>> get_blueprint("rotation_cifar_embed").setup(seed=0)[0]
    RotationTask(data='cifar10')
    """
    if name not in BLUEPRINTS:
        raise ValueError(f"There is no model {name!r} to train; {suggestion(name, BLUEPRINTS)}")
    return BLUEPRINTS[name]


def train_entry(
    blueprint, directory, seeds, command, resume=False, results=None, compare=None, data_note=None, **options
):
    """Trains a model with several seeds, and makes an entry of the median validation result; returns its `Card`.

    Args:
        blueprint: A `Blueprint`.
        directory: Receives a folder `seed-<seed>` for each run, `runs.json` with the results of all runs, and the zoo
            entry, `entry`.
        seeds: The seeds, integers. A diverged run counts as the worst. If the number of runs is even, the better of the
            two middle runs is chosen.
        command: The command line of this call, for the card.
        resume: Whether to continue an interrupted call.
        results: Folder of the results of the blueprint's experiment, or None. Its runs replace `seeds`, and only the
            chosen run is trained again, with the threads of its row if TensorFlow has not computed anything yet.
        compare: Directory of an earlier call with another recipe, whose runs the card lists, too.
        data_note: The card's note on an unusual copy of the data set.
        **options: Passed on to `fit`: `progress`, `csv_log`, `tensorboard`, `callbacks`.

    Raises the errors of `fit`; TrainingDivergedError if the median run diverged, ValueError without seeds or results.
    """
    directory = pathlib.Path(directory)
    other_runs = None if compare is None else read_other_runs(compare)
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
    if results is not None:  # another number of threads rounds sums differently, which training amplifies
        (row,) = [row for row in _rows_of(blueprint, results) if row["seed"] == chosen["seed"]]
        if row["machine"] and row["machine"]["threads"]:
            with contextlib.suppress(RuntimeError):  # TensorFlow is already initialized
                set_threads(row["machine"]["threads"])
    model, state = _train(blueprint, directory, chosen["seed"], True if results is None else resume, options)
    task, recipe = blueprint.setup(chosen["seed"])
    selection = f"the median validation {task.metric} of {len(runs)}" if len(runs) > 1 else "the only seed trained"
    if (blueprint.second or blueprint.method == "target") and results is not None:
        selection = f"the seed of f1: {selection}"  # f1, f2 and their target belong together
    metrics = {split: evaluate(model, task, split) for split in ("validation", "test")}
    if blueprint.method == "target":
        runs = [{**chosen, **{split: metrics[split][task.metric] for split in metrics}, "seconds": None}]
    elif blueprint.second and results is not None:
        runs = [{**run, "validation": None} for run in runs]  # the rows hold f1's
    test = metrics["test"][task.metric]
    if results is not None and blueprint.method != "target" and not math.isclose(chosen["test"], test, rel_tol=1e-4):
        raise ValueError(
            f"Trained again, seed {chosen['seed']} of {blueprint.name} gives {test:.6g} instead of "
            f"{chosen['test']:.6g}, as in its row in {results}: another machine, other versions or threads. Train all "
            "seeds here: --seeds."
        )
    facts = {
        **describe(blueprint.name, blueprint.method, task, recipe, blueprint.changes, data_note, other_runs),
        "command": command,
        "seed": chosen["seed"],
        "metrics": metrics,
        "seeds": runs,
        "other_runs": other_runs,
        "selection": selection,
        "baseline": None if results is None else trivial_predictors(blueprint.name, task, results),
        "versions": state["versions"],
        "date": state["date"],
    }
    return save_entry(model, directory / "entry", **facts)


def trivial_predictors(name, task, results):
    """Test errors of the trivial predictors of an entry and its task, from the rows in `results`: `Card.baseline`.

    The errors are medians over the rows of `baseline`, or else of the trivial methods of the entry's own experiment;
    None without rows. A seed draws another target for some tasks; for these, only the rows of the same seed count.
    """
    rows, _ = results_of("baseline", results).read()
    if hasattr(task, "seed"):
        rows = [row for row in rows if get_task(**row["config"]["task"]) == task]
    errors = by_target(rows).get(target_of(task.config()), {})
    errors = {PREDICTORS[name]: error for name, error in errors.items() if name not in REFERENCES}
    if errors or name not in BLUEPRINTS:
        return errors or None
    blueprint = BLUEPRINTS[name]
    experiment = get_experiment(blueprint.experiment)
    for method in {"constant", f"constant_{blueprint.method}", "prior"}.intersection(experiment.methods):
        run = {"panel": blueprint.panel, "method": method}
        run[experiment.varies] = experiment.fixed.get(method, blueprint.value)
        mine = [row for row in own_rows(experiment, results)[0] if run.items() <= row.items()]
        if mine:
            return {experiment.drawing.label(mine[0]): statistics.median(row["test"] for row in mine)}
    return None


def update_baselines(zoo, results):
    """Writes the trivial predictors of each task, from the rows in `results`, to the cards of a zoo."""
    for path in sorted(pathlib.Path(zoo).glob("*/card.json")):
        card = Card.read(path.parent)
        errors = trivial_predictors(card.name, get_task(**card.task), results)
        dataclasses.replace(card, baseline=errors).write(path.parent)


def _train(blueprint, directory, seed, resume, options):
    """Returns a trained model, and the state of its training: a dict with `versions`, `date` and `history`."""
    task, recipe = blueprint.setup(seed)
    if blueprint.method == "target":
        model = task.target()
        model.compile("sgd", loss="mse")
        return model, {"versions": versions(), "date": today(), "history": None}
    model = build_model(task, blueprint.method, recipe)
    folder = directory / f"seed-{seed}"
    fit(model, task, recipe, folder, resume, **options)
    return model, json.loads((folder / "state.json").read_text(encoding="utf-8"))


def _run(blueprint, directory, seed, resume, options):
    task, recipe = blueprint.setup(seed)
    measured, seconds, diverged = {"validation": None, "test": None}, None, None
    try:
        model, state = _train(blueprint, directory, seed, resume, options)
        measured = {split: evaluate(model, task, split)[task.metric] for split in measured}
        if state["history"]:
            seconds = round(sum(epoch["seconds"] for epoch in state["history"]), 1)
    except TrainingDivergedError as error:
        diverged = str(error)
    return run_of_card(seed, recipe, **measured, seconds=seconds, diverged=diverged)


def _runs_of(blueprint, results):
    runs = []
    for row in _rows_of(blueprint, results):
        recipe = Recipe(**row["config"]["recipe"])
        task, expected = dataclasses.replace(blueprint, second=False).setup(row["seed"])
        if (get_task(**row["config"]["task"]), recipe) != (task, expected):
            raise ValueError(
                f"The row of seed {row['seed']} in {results} has another recipe than the entry. Omit --from."
            )
        test = row.get("test_f2_y") if blueprint.second else row["test"]
        seconds = row.get("training_seconds", row["seconds"])
        runs.append(run_of_card(row["seed"], recipe, row["validation"], test, seconds, row.get("message")))
    return runs


def _rows_of(blueprint, results):
    """The rows of a blueprint's runs by seed; failed runs count as not run."""
    file = results_of(blueprint.experiment, results)
    varies = get_experiment(blueprint.experiment).varies
    # The rows of the networks that approximate a target choose the target's seed.
    expected = blueprint.panel, "network" if blueprint.method == "target" else blueprint.method, blueprint.value
    rows = [row for row in file.read()[0] if row["status"] != "failed"]
    rows = [row for row in rows if (row["panel"], row["method"], row[varies]) == expected]
    if not rows:
        raise ValueError(
            f"There are no results for {blueprint.name} in {file.path}: run `keras-hypernet experiment "
            f"{blueprint.experiment}`, or leave --from out."
        )
    return sorted(rows, key=lambda row: row["seed"])
