"""Space: which hyperparameters are searched, and in which ranges."""

import dataclasses
import math

from keras_hypernet.recipe import INITIALIZATIONS

# In the place of a method: models of a user's own function.
OWN = "own"
# What True stands for; of the embedding dimension, `DepthSearch` adds that of the recipe.
USUAL = {
    "depth": (2, 9),
    "width": [25, 50, 100, 200, 400],
    "initialization": ["fan_in_uniform", "hyperfan_in"],
    "learning_rate": (1e-3, 1e-1),
    "embedding_dim": [16, 64, 256, 1024, 4096],
}
_LEAST = {"depth": 2, "width": 1, "embedding_dim": 1}


@dataclasses.dataclass(frozen=True)
class Space:
    """What is searched. Each is a range `(low, high)`, both ends included, a list of choices, True or None.

    None means that it is not searched, and is what the recipe says; True stands for usual choices.

    Args:
        methods: Tuple of methods; if it has more than one, the method is searched too.
        depth: Linear layers of f or e, integers of at least 2.
        width: Units of the hidden layers of f or e.
        initialization: A list of names, of `Recipe.initialization`.
        learning_rate: A range is searched on a logarithmic scale.
        embedding_dim: Output dimension of e, for methods that have one.

    Raises:
        ValueError: If a range is reversed, empty, or out of bounds; or if the embedding dimension is searched for
            hypernetworks alone, which have none.

    Example:

    >>> Space(("hyper",), depth=(2, 9)).num_configurations()
    8
    >>> Space(("hyper",), depth=(9, 2))
    Traceback (most recent call last):
    ...
    ValueError: `depth` must be a range (low, high) of integers with 2 <= low <= high. Received: (9, 2)
    """

    methods: tuple
    depth: tuple | list | bool | None = True
    width: tuple | list | bool | None = None
    initialization: list | bool | None = None
    learning_rate: tuple | list | bool | None = None
    embedding_dim: tuple | list | bool | None = None

    def __post_init__(self):
        for name, usual in USUAL.items():
            value = getattr(self, name)
            if value is True:
                value = usual
            elif isinstance(value, (int, float, str)):  # False too
                value = None if value is False else [value]
            object.__setattr__(self, name, _checked(name, value))
        if self.depth is None:
            raise ValueError("`depth` must be searched: give a range such as (2, 9), or a list of choices.")
        if self.embedding_dim is not None and not any(map(has_embedding, self.methods)):
            raise ValueError(
                "`embedding_dim` is the output dimension of e, and hypernetworks have none: search it with the method "
                f"'embed'. Received: {self.embedding_dim} with the method 'hyper'"
            )

    def names(self):
        """Names of what is searched."""
        searched = [name for name in USUAL if getattr(self, name) is not None]
        return (["method"] if len(self.methods) > 1 else []) + searched

    def fixed(self):
        """Values of what there is no choice in, but for the depth."""
        values = {name: getattr(self, name) for name in USUAL if name != "depth"}
        return {name: value[0] for name, value in values.items() if isinstance(value, list) and len(value) == 1}

    def num_configurations(self):
        """The number of configurations, which may be infinite; of a user's own models, it is not known beforehand."""
        if self.methods == (OWN,):
            return math.inf
        shared = math.prod(_size(getattr(self, name)) for name in USUAL if name != "embedding_dim")
        return shared * sum(_size(self.embedding_dim) if has_embedding(method) else 1 for method in self.methods)

    def choose(self, hp, recipe):
        """Registers what is searched with keras-tuner, and reads its values.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            recipe: A `Recipe`, whose values are the defaults, where they are in the range.

        Returns:
            A pair: the method, and a dict with the fields of the recipe that are to change.
        """
        method, changes = self.methods[0], {}
        if len(self.methods) > 1:
            method = hp.Choice("method", list(self.methods))
        for name in USUAL:
            value = getattr(self, name)
            if value is None:
                continue
            if name == "embedding_dim" and len(self.methods) > 1:
                embedding = [one for one in self.methods if has_embedding(one)]
                with hp.conditional_scope("method", embedding):
                    chosen = _choose(hp, name, value, recipe.embedding_dim)
                if not has_embedding(method):
                    continue
            else:
                chosen = _choose(hp, name, value, getattr(recipe, name))
            changes[name] = chosen
        return method, changes

    def to_dict(self):
        """Returns the space as a dict that JSON can hold, and tell ranges from choices in."""
        return {
            name: {"low": value[0], "high": value[1]} if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if name != "methods"
        }


def has_embedding(method):
    """Whether the models of a method, or of a user's function, embed their condition."""
    return method != "hyper"


def count_configurations(hyperparameters, grid=False):
    """The number of configurations of keras-tuner's hyperparameters, which may be infinite.

    Args:
        hyperparameters: List of the hyperparameters, in the order in which they were asked for.
        grid: Whether to count the points of keras-tuner's grid instead, which are finite: of a range without steps it
            has ten values, and the default of each hyperparameter is one of its values.

    Example:

    >>> import keras_tuner
    >>> hp = keras_tuner.HyperParameters()
    >>> if hp.Choice("loss", ["mse", "huber"]) and hp.Int("depth", 2, 9):
    ...     with hp.conditional_scope("loss", ["huber"]):
    ...         delta = hp.Choice("delta", [0.1, 1.0, 10.0])
    >>> count_configurations(hp.space)
    32
    """
    return _count(list(hyperparameters), {}, grid)


def _count(hyperparameters, values, grid):
    """The number of configurations, given the values of those that others depend on."""
    number = 1
    for place, one in enumerate(hyperparameters, start=1):
        if not all(condition.is_active(values) for condition in one.conditions):
            continue
        later = hyperparameters[place:]
        if any(condition.name == one.name for other in later for condition in other.conditions):
            return number * sum(_count(later, {**values, one.name: value}, grid) for value in _grid_values(one))
        number *= len(_grid_values(one)) if grid else _number_of_values(one)
    return number


def _grid_values(hyperparameter):
    # `values` is a generator for some kinds of keras-tuner's hyperparameters.
    return {hyperparameter.default, *hyperparameter.values}


def _number_of_values(hyperparameter):
    config = hyperparameter.get_config()
    if "min_value" not in config or (config["step"] is not None and config["sampling"] != "linear"):
        return len(list(hyperparameter.values))
    length, step = config["max_value"] - config["min_value"], config["step"]
    # Of a range without steps, keras-tuner's own `values` are ten, for a grid.
    return math.inf if step is None and isinstance(length, float) else int(length // (step or 1)) + 1


def _choose(hp, name, value, default):
    if isinstance(value, list):
        return hp.Choice(name, value, default=default if default in value else value[0])
    low, high = value
    default = default if default is not None and low <= default <= high else low
    if name == "learning_rate":
        return hp.Float(name, low, high, sampling="log", default=default)
    return hp.Int(name, low, high, default=default)


def _checked(name, value):
    """A range as a tuple, choices as a list without repetitions, or None."""
    if value is None:
        return None
    if name == "initialization":
        if isinstance(value, tuple):
            value = list(value)
        unknown = [one for one in value if one not in INITIALIZATIONS]
        if unknown or not value:
            raise ValueError(f"`initialization` must be names of {INITIALIZATIONS}. Received: {value!r}")
        return list(dict.fromkeys(value))
    kind = float if name == "learning_rate" else int
    numbers = isinstance(value, (tuple, list)) and value and all(_is(kind, one) for one in value)
    least = _LEAST.get(name)
    if isinstance(value, tuple):
        right = numbers and len(value) == 2 and value[0] <= value[1]
        if not (right and (value[0] > 0 if least is None else value[0] >= least)):
            bound = "numbers with 0 < low" if least is None else f"integers with {least} <= low"
            raise ValueError(f"`{name}` must be a range (low, high) of {bound} <= high. Received: {value!r}")
        return tuple(map(kind, value)) if value[0] < value[1] else [kind(value[0])]
    if not (numbers and (min(value) > 0 if least is None else min(value) >= least)):
        bound = "positive numbers" if least is None else f"integers of at least {least}"
        raise ValueError(f"`{name}` must be a list of {bound}, or a range (low, high). Received: {value!r}")
    return list(dict.fromkeys(map(kind, value)))


def _is(kind, value):
    return isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)


def _size(value):
    if value is None:
        return 1
    if isinstance(value, list):
        return len(value)
    low, high = value
    return math.inf if isinstance(low, float) else high - low + 1
