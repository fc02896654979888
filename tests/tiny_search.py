"""A search whose trials take a second or two, and what the tests of searches need to run and compare it."""

import functools

from keras_hypernet import paper_recipe, tuning
from keras_hypernet.tasks import SyntheticTask

TASK = SyntheticTask("inner", dim=4, num_train=64, num_validation=16, num_test=16)
RECIPE = paper_recipe(TASK, width=4, epochs=3)

# Searches the tiny task; what is not said is a grid over the depths 2 to 4.
tiny_search = functools.partial(tuning.search, TASK, depth=(2, 4), recipe=RECIPE, progress=False)


def plain(rows):
    """Rows without what depends on the moment and the process."""
    varying = ("seconds", "worker", "epochs", "steps")
    return [{name: value for name, value in row.items() if name not in varying} for row in rows]


def column(found, name):
    """A column of the table of a search."""
    return [row[name] for row in found.trials]
