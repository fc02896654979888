"""Recipe: everything that determines how a model of the zoo is built and trained."""

import dataclasses

INITIALIZATIONS = ("fan_in_uniform", "hyperfan_in")
METHODS = ("hyper", "embed")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is built and trained; with a task and a method it determines the result.

    Args:
        width: Units of each hidden layer of f or e.
        activation: Activation of the hidden layer of g or q.
        depth: Number of linear layers of f or e, hence `depth - 1` hidden ones.
        initialization: `"fan_in_uniform"` (the authors') or `"hyperfan_in"` (He in f, hyperfan-in in g).
        optimizer: Name of a Keras optimizer, used with its default settings but for the following two.
        learning_rate: Step size of the optimizer.
        gradient_clipnorm: Norm to which the gradient of all weights together is scaled down where it is larger,
            or None.
        batch_size: Examples in a step.
        epochs: Passes over the training split.
        seed: Determines the initial weights, the order of the examples and their angles.

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
    initialization: str = "fan_in_uniform"
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    gradient_clipnorm: float | None = None
    batch_size: int = 64
    epochs: int = 10
    seed: int = 0

    def __post_init__(self):
        for name, least in {"width": 1, "depth": 2, "batch_size": 1, "epochs": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"`learning_rate` must be positive. Received: {self.learning_rate!r}")
        if self.gradient_clipnorm is not None and not self.gradient_clipnorm > 0:
            raise ValueError(f"`gradient_clipnorm` must be positive or None. Received: {self.gradient_clipnorm!r}")
        if self.initialization not in INITIALIZATIONS:
            raise ValueError(f"`initialization` must be one of {INITIALIZATIONS}. Received: {self.initialization!r}")

    def to_dict(self):
        """Returns the recipe as a dict that JSON can hold; `Recipe(**d)` is its inverse."""
        return dataclasses.asdict(self)


def paper_recipe(data, **changes):
    """Returns the recipe of the paper's rotation experiment (Sec. 5, Fig. 3) for a data source.

    Args:
        data: `"mnist"` or `"cifar10"`; the offline sources `"digits"` and `"patches"` are treated as the
            one whose images they resemble.
        **changes: Fields of the recipe to set otherwise.

    Example:

    >>> paper_recipe("cifar10", seed=3).width
    100
    """
    colour = data in ("cifar10", "patches")
    return Recipe(**{"width": 100 if colour else 50, "activation": "elu" if colour else "relu", **changes})
