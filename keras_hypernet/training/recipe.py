"""Recipe: everything that determines how a model of the zoo is built and trained."""

import dataclasses
import math

INITIALIZATIONS = ("fan_in_uniform", "hyperfan_in", "unit_norm_normal", "unit_norm_uniform")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is built and trained; with a task and a method it determines the result.

    Args:
        width: Units of each hidden layer of f or e; or of the only one of a network without a condition.
        activation: Activation of the hidden layer of g or q; or of a network without a condition.
        depth: Number of linear layers of f or e, hence `depth - 1` hidden ones.
        rank: Units of the last hidden layer of f, from which all weights are generated; None for `width`.
        embedding_dim: Output dimension of e; None for as many as g has weights without its biases, if its output
            had one dimension only: ten for each input and ten more.
        initialization: `"fan_in_uniform"` (the authors'), `"hyperfan_in"` (He in f, hyperfan-in in g), or, for
            networks without a condition, `"unit_norm_normal"` or `"unit_norm_uniform"`: the weights of each unit
            drawn from one of these distributions and scaled to unit norm.
        optimizer: Name of a Keras optimizer, used with its default settings but for those that follow.
        learning_rate: Step size of the optimizer.
        momentum: Momentum of SGD.
        rho: Decay of Adadelta's averages, or None for Keras's default.
        epsilon: Small constant of Adadelta, or None for Keras's default.
        gradient_clipnorm: Norm to which the gradient of all weights together is scaled down where it is larger,
            or None.
        batch_size: Examples in a step.
        epochs: Passes over the training split.
        seed: Determines the initial weights, the order of the examples and all else that is drawn.

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

    def __post_init__(self):
        least = {"width": 1, "depth": 2, "rank": 1, "embedding_dim": 1, "batch_size": 1, "epochs": 1, "seed": 0}
        most = {"depth": 1000, "seed": 2**32 - 1}
        for name, bound in least.items():
            value, high = getattr(self, name), most.get(name, 2**31 - 1)
            if value is None and name in ("rank", "embedding_dim"):
                continue
            if not isinstance(value, int) or value < bound:
                raise ValueError(f"`{name}` must be an integer of at least {bound}. Received: {value!r}")
            if value > high:
                raise ValueError(f"`{name}` must be an integer of at most {high}. Received: {value!r}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"`learning_rate` must be positive and finite. Received: {self.learning_rate!r}")
        if not 0 <= self.momentum < 1 or (self.momentum and self.optimizer != "sgd"):
            raise ValueError(f"`momentum` must be in [0, 1), and 0 but for sgd. Received: {self.momentum!r}")
        if self.optimizer != "adadelta" and (self.rho, self.epsilon) != (None, None):
            raise ValueError(
                f"`rho` and `epsilon` are settings of adadelta. Received: {self.rho!r}, {self.epsilon!r} for "
                f"{self.optimizer!r}"
            )
        if self.gradient_clipnorm is not None and not 0 < self.gradient_clipnorm < math.inf:
            raise ValueError(
                f"`gradient_clipnorm` must be positive and finite, or None. Received: {self.gradient_clipnorm!r}"
            )
        if self.initialization not in INITIALIZATIONS:
            raise ValueError(f"`initialization` must be one of {INITIALIZATIONS}. Received: {self.initialization!r}")

    def to_dict(self):
        """Returns the recipe as a dict that JSON can hold; `Recipe(**d)` is its inverse."""
        return dataclasses.asdict(self)


def paper_recipe(task, **changes):
    """Returns the recipe of the paper's experiment with a task.

    Args:
        task: A `Task`. Image sources other than MNIST and CIFAR-10 are treated as the one they resemble: grey
            images as MNIST, images in colour as CIFAR-10.
        **changes: Fields of the recipe to set otherwise.

    Raises:
        ValueError: If the paper has no experiment with the task, or a value is out of its range.

    Example:

    >>> paper_recipe(keras_hypernet.RotationTask("cifar10"), seed=3).width
    100

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 5. What its main text leaves open
    (for the synthetic tasks: the epochs; for colorization: all but the depths) is this project's choice.
    """
    name = getattr(task, "name", None)
    if name not in _PAPER:
        raise ValueError(
            f"The paper has recipes for the tasks {', '.join(_PAPER)}. Received: {task!r}. For a task of your own, say "
            "how to train: keras_hypernet.Recipe(width=100, depth=3)."
        )
    return Recipe(**{**_PAPER[name](task), **changes})


def _rotation(task):
    colour = task.x_shape[-1] == 3
    return {"width": 100 if colour else 50, "activation": "elu" if colour else "relu"}


def _synthetic(task):
    return {"width": 100, "depth": 3, "embedding_dim": 10 * task.dim, "batch_size": 200, "epochs": 30}


_PAPER = {
    "rotation": _rotation,
    "rotation_set": _rotation,
    # As many as g has weights, the biases included: with so few inputs, they count.
    "colorization": lambda task: {"width": 100, "activation": "elu", "embedding_dim": 63},
    "synthetic": _synthetic,
    "approximation": lambda task: {"width": 100, "depth": 2, "momentum": 0.5, "epochs": 50},
    "classification": lambda task: {
        "width": 29,
        "depth": 2,
        "activation": "elu",
        "optimizer": "adadelta",
        "learning_rate": 1.0,
        # The defaults of the framework that the authors' code is written in.
        "rho": 0.9,
        "epsilon": 1e-6,
        "epochs": 5,
    },
}
