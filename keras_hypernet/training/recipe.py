"""Recipe: the settings that determine how a model is built and trained."""

import dataclasses
import math
from typing import Any

from keras_hypernet.common.checks import check_choice, integer, plain
from keras_hypernet.tasks import Task

INITIALIZATIONS = ("fan_in_uniform", "hyperfan_in", "unit_norm_normal", "unit_norm_uniform")

_INTEGERS = ("width", "depth", "rank", "embedding_dim", "batch_size", "epochs", "seed", "primary_units")
_LEAST = {"depth": 2, "seed": 0}  # for the other fields 1
_MOST = {"depth": 1000, "seed": 2**32 - 1}  # for the other fields 2^31 - 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is built and trained; recipe, task and method determine the result.

    Args:
        width: Units of each hidden layer of f or e, or of the hidden layer of a network without a condition.
        activation: Activation of the hidden layer of g or q, or of a network without a condition.
        depth: Number of linear layers of f or e.
        rank: Units of the last hidden layer of f, from which all weights are generated; None for `width`.
        embedding_dim: Output dimension of e; None for ten times the number of inputs plus ten, which is the number of
            weights of a g with one output and no biases.
        initialization: `"fan_in_uniform"` (the authors'), `"hyperfan_in"` (He in f, hyperfan-in in g), or, for networks
            without a condition, `"unit_norm_normal"` or `"unit_norm_uniform"`: draws from the distribution, scaled to
            unit norm for each unit.
        optimizer: Name of a Keras optimizer; its other settings keep Keras's defaults.
        learning_rate: Step size of the optimizer.
        momentum: Momentum of SGD.
        rho, epsilon: Adadelta's decay of averages and small constant, or None for Keras's defaults.
        gradient_clipnorm: Largest global norm of the gradients, or None.
        batch_size: Examples per step.
        epochs: Passes over the training split.
        seed: Determines initial weights, order of examples and all other draws.
        primary_units: Units of the hidden layer of g or q.

    Raises:
        ValueError: If a value is out of its range.

    Example:

    >>> Recipe(width=50).depth
    4
    >>> Recipe(width=50, depth=1)
    Traceback (most recent call last):
    ...
    ValueError: `depth` must be an integer of at least 2. Received: 1
    """

    width: int
    activation: str = "relu"
    depth: int = 4
    rank: int | None = None
    embedding_dim: int | None = None
    initialization: str = "fan_in_uniform"
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.0
    rho: float | None = None
    epsilon: float | None = None
    gradient_clipnorm: float | None = None
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0
    primary_units: int = 10

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))  # JSON cannot hold NumPy scalars
        for name in _INTEGERS:
            if getattr(self, name) is not None or name not in ("rank", "embedding_dim"):
                integer(name, getattr(self, name), _LEAST.get(name, 1), _MOST.get(name, 2**31 - 1))
        self._require(0 < self.learning_rate < math.inf, "learning_rate", "be positive and finite")
        momentum = 0 <= self.momentum < 1 and (not self.momentum or self.optimizer == "sgd")
        self._require(momentum, "momentum", "be in [0, 1), and 0 except for sgd")
        if self.optimizer != "adadelta" and (self.rho, self.epsilon) != (None, None):
            received = f"{self.rho!r}, {self.epsilon!r} for {self.optimizer!r}"
            raise ValueError(f"`rho` and `epsilon` are settings of adadelta. Received: {received}")
        clipnorm = self.gradient_clipnorm is None or 0 < self.gradient_clipnorm < math.inf
        self._require(clipnorm, "gradient_clipnorm", "be positive and finite, or None")
        check_choice("initialization", self.initialization, INITIALIZATIONS)

    def _require(self, holds, name, what):
        if not holds:
            raise ValueError(f"`{name}` must {what}. Received: {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe as a dict for JSON; `Recipe(**d)` is the inverse.

        The default of `primary_units` is left out, because published rows, cards and states of trainings lack this
        field.
        """
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if (name, value) != ("primary_units", 10)}


def paper_recipe(task: Task, **changes: Any) -> Recipe:
    """Returns the recipe of the paper's experiment with a task.

    Args:
        task: A `Task` of this package. Other grey images count as MNIST, other colour images as CIFAR-10.
        **changes: Fields of the recipe to change.

    Raises:
        ValueError: If the paper has no experiment with the task, or a value is out of its range.

    Example:

    >>> paper_recipe(keras_hypernet.RotationTask("cifar10"), seed=3).width
    100

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5. The main text does not state the
        epochs of the synthetic tasks, and states only the depths of colorization; this project chose the rest.
    """
    fields = task.paper_recipe if isinstance(task, Task) else None
    if fields is None:
        raise ValueError(
            f"The paper has recipes for the tasks of this package. Received: {task!r}. For your own task, pass a "
            "recipe: keras_hypernet.Recipe(width=100, depth=3)."
        )
    return Recipe(**{**fields, **changes})
