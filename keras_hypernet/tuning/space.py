"""The search space: the hyperparameters of a search and their ranges."""

import numpy as np

from keras_hypernet.common.checks import plain
from keras_hypernet.training.recipe import Recipe

# The method of models that a user's own function builds.
OWN = "own"
# The meaning of True; `DepthSearch` adds the recipe's embedding dimension.
USUAL = {
    "depth": (2, 9),
    "width": [25, 50, 100, 200, 400],
    "initialization": ["fan_in_uniform", "hyperfan_in"],
    "learning_rate": (1e-3, 1e-1),
    "embedding_dim": [16, 64, 256, 1024, 4096],
}


def make_space(methods, **fields):
    """Returns a search space for JSON: for each field of `DepthSearch` a dict of low and high, a list, or None.

    A field may also be that of another search space; a range of Python or an array holds choices. Raises ValueError if
    a field is not valid.

    >>> make_space(("hyper",), depth=(2, 9), width=[50, 100, 50], learning_rate=None)
    {'depth': {'low': 2, 'high': 9}, 'width': [50, 100], 'learning_rate': None}
    """
    space = {name: _checked(name, field) for name, field in fields.items()}
    if space["depth"] is None:
        raise ValueError("`depth` must be searched: give a range such as (2, 9), or a list of choices.")
    if space.get("embedding_dim") is not None and set(methods) == {"hyper"}:
        raise ValueError(
            "`embedding_dim` is the output dimension of e, and hypernetworks have none: search it with the method "
            f"'embed'. Received: {fields['embedding_dim']} with the method 'hyper'"
        )
    return space


def searched(methods, space):
    """Returns the names of the searched hyperparameters."""
    return ["method"] * (len(methods) > 1) + [name for name, field in space.items() if field is not None]


def choose(hp, name, field, default):
    """Registers a hyperparameter and returns its value; a default out of range becomes the first value."""
    if isinstance(field, list):
        return hp.Choice(name, field, default=default if default in field else field[0])
    low, high = field.values()
    default = default if default is not None and low <= default <= high else low
    if name == "learning_rate":
        return hp.Float(name, low, high, sampling="log", default=default)
    return hp.Int(name, low, high, default=default)


def _checked(name, field):
    if field is None or field is False:
        return None
    field = list(field) if isinstance(field, (range, np.ndarray)) else plain(field)
    field = USUAL[name] if field is True else [field] if isinstance(field, (int, float, str)) else field
    values, kinds = list(map(plain, field.values() if isinstance(field, dict) else field)), (int, float)
    is_range = not isinstance(field, list)
    if name == "initialization":
        kinds, is_range = str, False
    valid = values and all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)
    if not valid or (is_range and (len(values) != 2 or values[0] > values[1])):
        expected = "a list of choices, or a range (low, high) of numbers with low <= high"
        raise ValueError(f"`{name}` must be {expected}. Received: {field!r}")
    values = list(dict.fromkeys(map(float, values) if name == "learning_rate" else values))
    for value in values:
        Recipe(**{"width": 1, name: value})  # raises ValueError if the value is out of range
    return {"low": values[0], "high": values[1]} if is_range and len(values) == 2 else values
