"""Space: which hyperparameters are searched, and in which ranges."""

import dataclasses
import itertools

from keras_hypernet.training.recipe import INITIALIZATIONS

# The method of models of a user's own function.
OWN = "own"
# What True stands for; `DepthSearch` adds the recipe's embedding dimension.
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
    """What is searched: for each field a range `(low, high)`, both ends included, a list of choices, True or None.

    True stands for usual choices. None means that the field is not searched, and has the value of the recipe.

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

    >>> Space(("hyper",), depth=(2, 9), width=True).names()
    ['depth', 'width']
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
        """Values of the fields with a single choice, except for the depth."""
        values = {name: getattr(self, name) for name in USUAL if name != "depth"}
        return {name: value[0] for name, value in values.items() if isinstance(value, list) and len(value) == 1}

    def choose(self, hp, recipe):
        """Registers what is searched with `hp`, with the values of a recipe as defaults.

        Returns the method, and a dict of the fields of the recipe that change.
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


def configurations(space, values_of=None, chosen=()):
    """Yields a dict of values for each configuration: a grid, in which the last hyperparameter changes fastest.

    Args:
        space: List of keras-tuner's hyperparameters.
        values_of: Function of a hyperparameter that returns its values; by default those of a grid.
        chosen: Values of the hyperparameters before these.

    Example:

    >>> import keras_tuner
    >>> hp = keras_tuner.HyperParameters()
    >>> if hp.Choice("loss", ["mse", "huber"]) and hp.Int("depth", 2, 3, default=3):
    ...     with hp.conditional_scope("loss", ["huber"]):
    ...         delta = hp.Choice("delta", [0.1, 1.0])
    >>> [tuple(values.values()) for values in configurations(hp.space)]
    [('mse', 3), ('mse', 2), ('huber', 3, 0.1), ('huber', 3, 1.0), ('huber', 2, 0.1), ('huber', 2, 1.0)]
    """
    chosen = dict(chosen)
    if not space:
        yield chosen
        return
    first, *others = space
    if not all(condition.is_active(chosen) for condition in first.conditions):
        yield from configurations(others, values_of, chosen)
        return
    for value in (values_of or _grid_values)(first):
        yield from configurations(others, values_of, {**chosen, first.name: value})


def count_configurations(space, most):
    """Returns the number of configurations of keras-tuner's hyperparameters, or `most` if there are more."""
    return sum(1 for _ in itertools.islice(configurations(space, _all_values), most))


def _grid_values(hyperparameter):
    """The default, and keras-tuner's values for a grid, in which some integers are floats."""
    default = hyperparameter.default
    kind = type(default) if isinstance(default, int) else lambda value: value
    return dict.fromkeys([default, *map(kind, hyperparameter.values)])


def _all_values(hyperparameter):
    """The values that can be drawn, where a grid has ten of a range without steps."""
    config = hyperparameter.get_config()
    if config.get("step", 1) is not None or "min_value" not in config:
        return hyperparameter.values
    if isinstance(config["min_value"], int):
        return range(config["min_value"], config["max_value"] + 1)
    return itertools.count()  # of real numbers


def _choose(hp, name, value, default):
    """Registers a hyperparameter, whose default is that of the recipe if it is in the range, and returns its value."""
    if isinstance(value, list):
        return hp.Choice(name, value, default=default if default in value else value[0])
    low, high = value
    default = default if default is not None and low <= default <= high else low
    if name == "learning_rate":
        return hp.Float(name, low, high, sampling="log", default=default)
    return hp.Int(name, low, high, default=default)


def _checked(name, value):
    """Returns a range as a tuple, choices as a list without repetitions, or None; raises ValueError for all else."""
    if value is None:
        return None
    if name == "initialization":
        names = list(value)
        if not names or not set(names) <= set(INITIALIZATIONS):
            raise ValueError(f"`initialization` must be names of {INITIALIZATIONS}. Received: {names!r}")
        return list(dict.fromkeys(names))
    kind, least = (float, None) if name == "learning_rate" else (int, _LEAST[name])
    numbers = isinstance(value, (tuple, list)) and len(value) > 0 and all(_is(kind, number) for number in value)
    large_enough = numbers and (min(value) > 0 if least is None else min(value) >= least)
    if isinstance(value, tuple):
        if not (large_enough and len(value) == 2 and value[0] <= value[1]):
            bound = "numbers with 0 < low" if least is None else f"integers with {least} <= low"
            raise ValueError(f"`{name}` must be a range (low, high) of {bound} <= high. Received: {value!r}")
        return tuple(map(kind, value)) if value[0] < value[1] else [kind(value[0])]
    if not large_enough:
        bound = "positive numbers" if least is None else f"integers of at least {least}"
        raise ValueError(f"`{name}` must be a list of {bound}, or a range (low, high). Received: {value!r}")
    return list(dict.fromkeys(map(kind, value)))


def _is(kind, value):
    return isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
