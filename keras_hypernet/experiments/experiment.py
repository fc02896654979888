"""Experiment: a figure of the paper as data, and the execution of one of its runs."""

import dataclasses
import json
import time
from collections.abc import Callable

import keras

from keras_hypernet.common.versions import today, versions
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.runs.machine import machine, peak_memory, reset_peak_memory
from keras_hypernet.tasks import get_task, is_registered
from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model

# What every row has, besides the value that its experiment varies.
FIELDS = (
    *("experiment", "task", "panel", "method", "seed", "status", "test", "validation", "metric", "curve"),
    *("data_sha256", "seconds", "peak_memory_mib", "config", "versions", "machine", "date"),
)
_MOST_RUNS = 100_000
METHOD_LABELS = {
    "hyper": "hypernetwork",
    "embed": "embedding method",
    "network": "network",
    "process": "neural process",
    "linear_x": "linear in x",
    "linear_both": "linear in x and I",
}


def train_and_measure(task, method, recipe):
    """Trains a model and measures it on validation and test data."""
    model = build_model(task, method, recipe)
    history = fit(model, task, recipe, progress=False)
    measured = {split: evaluate(model, task, split)[task.metric] for split in ("validation", "test")}
    return {**measured, "curve": curve(history)}


def curve(history):
    """The history of a training as lists over its epochs, rounded to what matters."""
    names = {"loss": "loss", "val_loss": "validation_loss", "val_accuracy": "validation_error"}
    values = {
        label: [float(f"{1 - epoch[name] if name == 'val_accuracy' else epoch[name]:.6g}") for epoch in history]
        for name, label in names.items()
        if history and name in history[0]
    }
    return values


def _method(row):
    return METHOD_LABELS.get(row["method"], row["method"])


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How rows become a figure.

    Attributes:
        also: Name of another experiment whose rows are drawn for comparison.
        series: Function of a row that returns the name of its line; by default its method.
        curves: If the figure shows curves over the epochs, which curves of a row: a dict to the names of the lines.
        log_x: Whether the horizontal axis is logarithmic.
    """

    also: str | None = None
    series: Callable = _method
    curves: dict = dataclasses.field(default_factory=dict)
    log_x: bool = False


@dataclasses.dataclass(frozen=True)
class Measurement:
    """How a run becomes numbers.

    Attributes:
        function: Function of `(task, method, recipe)` that trains, and returns a dict that JSON can hold: at least
            `test`, `validation` and `curve`.
        also: Names of the further numbers that it returns.
    """

    function: Callable = train_and_measure
    also: tuple = ()

    def __call__(self, task, method, recipe):
        return self.function(task, method, recipe)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A grid of independent runs, and how each is set up and measured.

    Attributes:
        name: Name of the experiment, of its module and of its files.
        figure: Where in the paper it is from; None for an experiment of your own.
        title: What it shows, in a sentence.
        varies: What the figure's horizontal axis varies.
        values: The values of that.
        panels: The parts of the figure, such as the data sets.
        methods: What is compared in each part.
        seeds: How often everything is repeated.
        setup: Function of `(panel, method, value, seed, quick)` that returns the task and the recipe of a run.
        quick_panels, quick_values: The grid that ends in under a minute, with one seed.
        extra_values: Further values in some of the panels: a dict from their names.
        drawing: Its `Drawing`.
        measure: Its `Measurement`.
    """

    name: str
    figure: str | None
    title: str
    varies: str
    values: tuple
    panels: tuple
    seeds: int
    setup: Callable
    quick_panels: tuple
    quick_values: tuple
    methods: tuple = ("hyper", "embed")
    extra_values: dict = dataclasses.field(default_factory=dict)
    drawing: Drawing = Drawing()
    measure: Measurement = Measurement()

    @property
    def caption(self):
        """The title, with the figure of the paper."""
        return f"{self.title} ({self.figure})" if self.figure else self.title

    def runs(self, values=None, seeds=None, quick=False, panels=None):
        """Returns the configurations of the grid's runs, as dicts that JSON can hold.

        Args:
            values: Only these of the values, or others; by default those of the experiment. One that is repeated
                counts once.
            seeds: Number of seeds; by default that of the experiment.
            quick: Whether to return the small grid.
            panels: Only these of the panels; by default all of the grid.

        Raises:
            ValueError: If there are no values, panels or seeds, there is no such panel, there are too many runs, or a
                task is a user's own.
        """
        if values is not None and not values:
            raise ValueError(f"There are no values of {self.varies} to run. Received: an empty range")
        if panels is not None and not panels:
            raise ValueError(f"There are no panels of {self.name} to run. Received: an empty list")
        if seeds is not None and seeds < 1:
            raise ValueError(f"There must be at least one seed. Received: {seeds}")
        possible, default = (self.quick_panels, self.quick_values) if quick else (self.panels, self.values)
        if unknown := [panel for panel in panels or () if panel not in possible]:
            received, which = ", ".join(map(repr, unknown)), f"{self.name}{', with `quick`,' * quick}"
            more = f". Without `quick` they are {', '.join(self.panels)}" * quick
            raise ValueError(f"The panels of {which} are {', '.join(possible)}. Received: {received}{more}")
        panels = tuple(dict.fromkeys(possible if panels is None else panels))
        extra = {} if quick or values else self.extra_values
        seeds = seeds or (1 if quick else self.seeds)
        points = [(value, panel) for value in dict.fromkeys(values or default) for panel in panels]
        points += [(value, panel) for panel in extra if panel in panels for value in extra[panel]]
        number = seeds * len(points) * len(self.methods)
        if number > _MOST_RUNS:
            raise ValueError(
                f"A call takes at most {_MOST_RUNS:,} runs: ask for fewer values or seeds. Received: {number:,} runs"
            )
        # Seed by seed: if not all can be run, there are fewer repetitions, but no holes.
        return [
            self._run(panel, method, value, seed, quick)
            for seed in range(seeds)
            for value, panel in points
            for method in self.methods
        ]

    def owns(self, row, quick=False):
        """Whether a row is of a run as this experiment, or its quick grid, sets it up; not by another recipe.

        A finished run whose row lacks what is measured is not.
        """
        try:
            config = self._run(row["panel"], row["method"], row[self.varies], row["seed"], quick)
        except (KeyError, ValueError, TypeError):  # no such panel, or a value that is out of range
            return False
        measured = [row["test"], *(row.get(name) for name in self.measure.also)]
        complete = all(map(is_measured, measured)) and all(map(row["curve"].get, self.drawing.curves))
        return (
            row["method"] in self.methods
            and run_key(config) == run_key(row["config"])
            and (complete or row["status"] != "finished")
        )

    def _run(self, panel, method, value, seed, quick):
        task, recipe = self.setup(panel, method, value, seed, quick)
        if not is_registered(task):
            raise ValueError(
                f"The runs of an experiment find their task by its name, and {task.name!r} is a task of your own. "
                f"Received: the experiment {self.name!r}. Train each run by `keras_hypernet.fit`, or choose the depth "
                "by `keras_hypernet.tuning.search`, which take it."
            )
        return {
            "experiment": self.name,
            "panel": panel,
            "method": method,
            self.varies: value,
            "seed": seed,
            "task": task.config(),
            "recipe": recipe.to_dict(),
        }


def is_measured(value):
    """Whether a value is that of an error or a time: a number of at least 0, which a float can hold."""
    return isinstance(value, (int, float)) and 0 <= value < 1e300


def run_key(config):
    """What makes a run the same as another: all of its configuration, as text.

    Options that have been added since a row was written count with their default.
    """
    complete = {"task": get_task(**config["task"]).config(), "recipe": Recipe(**config["recipe"]).to_dict()}
    return json.dumps({**config, **complete}, sort_keys=True)


def execute(config, experiment=None):
    """Executes one run, whatever comes of it, as long as this machine has what it needs.

    Args:
        config: One of `Experiment.runs()`.
        experiment: The `Experiment`, if it has a function `measure`.

    Returns:
        The row of the results, of `make_row`.

    Raises:
        DataUnavailableError: If the run's data are not to be had here: that says nothing of the run.
        ImportError: If a package that it needs is not there.
    """
    keras.backend.clear_session()
    reset_peak_memory()
    started = time.perf_counter()
    task, recipe = get_task(**config["task"]), Recipe(**config["recipe"])
    try:
        measure = experiment.measure if experiment else Measurement()
        measured = measure(task, config["method"], recipe)
        measured["data_sha256"] = task.fingerprint()
        not_finite = []  # takes the place of each such number, and leaves None
        result = json.loads(json.dumps(measured), parse_constant=not_finite.append)
        if not_finite:
            message = f"Training ended with finite losses, but what was measured holds {not_finite[0]}."
            result |= {"status": "diverged", "message": message, "test": None, "validation": None}
    except TrainingDivergedError as error:
        result = {"status": "diverged", "message": str(error), "curve": curve(error.history)}
    except (DataUnavailableError, ImportError):
        raise
    except Exception as error:
        # Whatever went wrong is a row of the results, and not the end of all other runs.
        result = {"status": "failed", "message": f"{type(error).__name__}: {error}"}
    return make_row(config, result, time.perf_counter() - started, peak_memory(), machine())


def make_row(config, result, seconds=None, peak_memory_mib=None, machine=None):
    """The row of a run: a dict that JSON can hold, with the same fields (`FIELDS`) whatever came of the run.

    Args:
        config: The run's configuration, one of `Experiment.runs()`.
        result: Dict of what came of it. Its `status` is `"finished"`, which it is by default, `"diverged"` or
            `"failed"`, and the latter two are explained by a `message`.
        seconds, peak_memory_mib, machine: What it took, as far as that is known. The memory is that of the process,
            with what earlier runs have left in it.
    """
    labels = {name: value for name, value in config.items() if name not in ("task", "recipe")}
    return {
        **labels,
        "task": config["task"]["name"],
        "status": "finished",
        "test": None,
        "validation": None,
        "metric": get_task(**config["task"]).metric,
        "curve": {},
        "data_sha256": None,
        **result,
        "seconds": None if seconds is None else round(seconds, 2),
        "peak_memory_mib": peak_memory_mib,
        "config": config,
        "versions": versions(),
        "machine": machine,
        "date": today(),
    }
