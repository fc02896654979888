"""Checks of arguments: integers, positive numbers, NumPy's scalars."""

import numbers

import numpy as np


def integer(name, value, least=1):
    """Returns the value as an int, or raises ValueError unless the value is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        where = "consist of integers" if name in ("sizes", "image_shape") else "be an integer"
        raise ValueError(f"`{name}` must {where} of at least {least}. Received: {value!r}")
    return int(value)


def plain(value):
    """Returns the Python number, bool or text that a NumPy scalar holds; any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def positive(name, value):
    """Returns the value as a float64 array, or raises ValueError unless all numbers are positive."""
    array = np.asarray(value, "float64")
    if not (array > 0).all():
        raise ValueError(f"`{name}` must be positive. Received: {value!r}")
    return array
