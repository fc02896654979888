"""Experiment: a grid of runs as data, such as a figure of the paper, and the rows of its runs."""

import dataclasses
import json
import re
from collections.abc import Callable

import numpy as np

from keras_hypernet.common.checks import integer, plain
from keras_hypernet.common.versions import today, versions
from keras_hypernet.tasks import TASKS, get_task, is_registered
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe
from keras_hypernet.zoo.architectures import build_model

# Fields of every row, besides the varied quantity.
FIELDS = (
    *("experiment", "task", "panel", "method", "seed", "status", "test", "validation", "metric", "curve"),
    *("data_sha256", "seconds", "peak_memory_mib", "config", "versions", "machine", "date"),
)
_MOST_RUNS = 100_000
# Constants that several experiments share.
DEPTHS = {"varies": "depth", "values": tuple(range(2, 10))}
INDICES = {"varies": "index", "values": tuple(range(1, 9)), "quick_values": (1, 2)}
APPENDIX = {"figure": "appendix", "seeds": 3}
SENSITIVITY = {"varies": "depth", "values": (3, 6), "seeds": 3, "quick_values": (3,)}
METHOD_LABELS = {
    "hyper": "hypernetwork",
    "embed": "embedding method",
    "network": "network",
    "process": "neural process",
    "linear_x": "linear in x",
    "linear_both": "linear in x and I",
    "trivial": "trivial predictor",
    "of_x": "x alone",
    "of_condition": "I alone",
    "of_both": "interaction",
}


def train(task, method, recipe):
    """Trains a model; returns the model and its history."""
    model = build_model(task, method, recipe)
    return model, fit(model, task, recipe, progress=False)


def measure_splits(model, task):
    """The results of a model on validation and test data, by split."""
    return {split: evaluate(model, task, split)[task.metric] for split in ("validation", "test")}


def train_and_measure(task, method, recipe):
    """Trains a model and measures it on validation and test data."""
    model, history = train(task, method, recipe)
    return {**measure_splits(model, task), "curve": curve(history)}


def rounded(value):
    """A number rounded to six significant digits, as in rows."""
    return float(f"{value:.6g}")


def curve(history):
    """The history of a training as lists over its epochs, to six significant digits."""
    names = {"loss": "loss", "val_loss": "validation_loss", "val_accuracy": "validation_error"}
    return {
        label: [rounded(1 - epoch[name] if name == "val_accuracy" else epoch[name]) for epoch in history]
        for name, label in names.items()
        if history and name in history[0]
    }


@dataclasses.dataclass(frozen=True)
class Drawing:
    """The drawing of rows as a figure.

    Attributes:
        also: Name of another experiment whose rows the figure shows for comparison.
        labels: Labels of methods: a dict from a row's method to the name of its line.
        series: Function of a row that returns the name of its line; by default, the label of its method in `labels`.
        curves: For a figure of curves over the epochs: a dict from the names of a row's curves to the names of lines.
        also_last: For more lines: a dict from the names of a row's curves to the names of lines of their last values.
        measured: Field of the rows that the figure shows.
        log_x, log_y: Whether the horizontal, and the vertical axis is logarithmic.
        vertical: Name of the vertical axis; by default the test metric.
    """

    also: str | None = None
    labels: dict = dataclasses.field(default_factory=METHOD_LABELS.copy)
    series: Callable | None = None
    curves: dict = dataclasses.field(default_factory=dict)
    also_last: dict = dataclasses.field(default_factory=dict)
    measured: str = "test"
    log_x: bool = False
    log_y: bool = False
    vertical: str | None = None

    def label(self, row):
        """The name of a row's line."""
        return self.series(row) if self.series else self.labels.get(row["method"], row["method"])


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The training and evaluation of a run.

    Attributes:
        function: Function of `(task, method, recipe)` that trains, and returns a dict for JSON, with at least `test`,
            `validation` and `curve`.
        also: Names of further numbers in the dict.
        label: Which label of a run the function receives: its `"method"`, or the value of the varied quantity.
    """

    function: Callable = train_and_measure
    also: tuple = ()
    label: str = "method"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A grid of independent runs, and the functions that set up and measure a run.

    Attributes:
        name: Name of the experiment and of its files.
        figure: The figure of the paper; None for an experiment of your own.
        title: Title of the figure, one sentence.
        varies: Name of the varied quantity, the horizontal axis.
        values: Values of the varied quantity, numbers or texts: a tuple, a list, a range or an array.
        panels: The parts of the figure, such as the data sets.
        seeds: Number of seeds; each seed repeats the whole grid.
        setup: Function of `(panel, method, value, seed, quick)` that returns the task and the recipe of a run.
        quick_panels, quick_values: The quick grid, which ends in under a minute, with one seed.
        methods: The methods that each panel compares.
        extra_values: Additional values of some panels: a dict from panels to values.
        fixed: Methods that run at only one value, and are compared with the others at each value: a dict from the
            methods to their values.
        drawing: The `Drawing` of the figure.
        measure: The `Measurement` of a run.
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
    fixed: dict = dataclasses.field(default_factory=dict)
    drawing: Drawing = Drawing()
    measure: Measurement = Measurement()

    def __post_init__(self):
        if not re.fullmatch(r"\w+", self.name):
            raise ValueError(f"`name` must be a word, which names files. Received: {self.name!r}")
        if not str(self.varies).isidentifier() or self.varies in (*FIELDS, "message"):
            raise ValueError(f"`varies` must be a word that is no other field of a row. Received: {self.varies!r}")
        for field in ("values", "panels", "quick_panels", "quick_values", "methods"):
            object.__setattr__(self, field, _entries(field, getattr(self, field)))  # the experiment is frozen
        extra = {panel: _entries("extra_values", values) for panel, values in self.extra_values.items()}
        object.__setattr__(self, "extra_values", extra)
        object.__setattr__(self, "seeds", integer("seeds", self.seeds))
        if not callable(self.setup):
            raise ValueError(f"`setup` must be a function that returns a task and a recipe. Received: {self.setup!r}")

    @property
    def caption(self):
        return f"{self.title} ({self.figure})" if self.figure else self.title

    def runs(self, values=None, seeds=None, quick=False, panels=None):
        """Returns the configurations of the grid's runs, dicts for JSON.

        Args:
            values: Values to run instead of the experiment's own; duplicates count once.
            seeds: Number of seeds; by default the experiment's.
            quick: Whether to return the quick grid.
            panels: Some of the panels; by default all.

        Raises ValueError if there are no values, panels or seeds, no such panel, too many runs, or a user's task has
        the name of another task.
        """
        possible, default = (self.quick_panels, self.quick_values) if quick else (self.panels, self.values)
        if unknown := [panel for panel in panels or () if panel not in possible]:
            received, which = ", ".join(map(repr, unknown)), f"{self.name}{', with `quick`,' * quick}"
            more = f". Without `quick` they are {', '.join(self.panels)}" * quick
            raise ValueError(f"The panels of {which} are {', '.join(possible)}. Received: {received}{more}")
        panels = tuple(dict.fromkeys(possible if panels is None else _entries("panels", panels)))
        extra = self.extra_values if values is None and not quick else {}
        seeds = (1 if quick else self.seeds) if seeds is None else integer("seeds", seeds)
        values = dict.fromkeys(default if values is None else _entries("values", values))
        points = [(value, panel) for value in values for panel in panels]
        points += [(value, panel) for panel in extra if panel in panels for value in extra[panel]]
        number = seeds * len(points) * len(self.methods)
        if number > _MOST_RUNS:
            raise ValueError(
                f"A call takes at most {_MOST_RUNS:,} runs: ask for fewer values or seeds. Received: {number:,} runs"
            )
        # Seed by seed, so that an interrupted grid has fewer seeds, but no missing points.
        return [
            self.config(panel, method, value, seed, quick)
            for seed in range(seeds)
            for value, panel in points
            for method in self.methods_at(value)
        ]

    def methods_at(self, value):
        """The methods that run at a value."""
        return [method for method in self.methods if self.fixed.get(method, value) == value]

    def owns(self, row, quick=False):
        """Whether a row belongs to this experiment or its quick grid, with the same recipe and all measured numbers."""
        if row["panel"] not in (self.quick_panels if quick else self.panels):
            return False
        try:
            config = self.config(row["panel"], row["method"], row[self.varies], row["seed"], quick)
        except (KeyError, ValueError, TypeError):  # no such panel, or a value that is out of range
            return False
        measured = [row["test"], *(row.get(name) for name in self.measure.also)]
        complete = all(map(is_measured, measured)) and all(map(row["curve"].get, self.drawing.curves))
        same = row["method"] in self.methods_at(row[self.varies]) and run_key(config) == run_key(row["config"])
        return same and (complete or row["status"] != "finished")

    def config(self, panel, method, value, seed, quick=False):
        """Returns the configuration of a run; ValueError if its task has the name of another task."""
        task, recipe = self.setup(panel, method, value, seed, quick)
        is_registered(task)
        labels = {"experiment": self.name, "panel": panel, "method": method, self.varies: value, "seed": seed}
        return {**labels, "task": task.config(), "recipe": recipe.to_dict()}


def grid(figure="ours", seeds=5, **fields):
    """Decorator of a `setup`: makes it the `Experiment` of the function's name, by default ours, of five seeds."""
    return lambda setup: Experiment(name=setup.__name__, setup=setup, figure=figure, seeds=seeds, **fields)


def _entries(field, given):
    """Returns a field of a grid as a tuple of Python numbers and texts, for JSON; ValueError for other values."""
    given = given.tolist() if isinstance(given, np.ndarray) else given
    entries = tuple(map(plain, given)) if isinstance(given, (tuple, list, range)) else ()
    if not entries or not all(isinstance(entry, (int, float, str)) for entry in entries):
        raise ValueError(f"`{field}` must be a tuple of at least one number or text. Received: {given!r}")
    return entries


def is_measured(value):
    """Whether a value is a nonnegative number that a float can hold, as errors and times are."""
    return isinstance(value, (int, float)) and 0 <= value < 1e300


def run_key(config):
    """The configuration of a run as text, equal for equal runs. Options that older rows lack have their defaults."""
    task = config["task"]
    if task["name"] in TASKS:
        task = get_task(**task).config()
    return json.dumps({**config, "task": task, "recipe": Recipe(**config["recipe"]).to_dict()}, sort_keys=True)


def make_row(config, result, seconds=None, peak_memory_mib=None, machine=None, task=None):
    """Returns the row of a run, a dict for JSON with `FIELDS` and the varied quantity.

    `result` has the measured fields; its `status` is `"finished"` (the default), or `"diverged"` or `"failed"` with a
    `message`. The peak memory is the process's, and includes memory of earlier runs. By default, the task is
    made from the configuration.
    """
    labels = {name: value for name, value in config.items() if name not in ("task", "recipe")}
    return {
        **labels,
        "task": config["task"]["name"],
        "status": "finished",
        "test": None,
        "validation": None,
        "metric": (task or get_task(**config["task"])).metric,
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
