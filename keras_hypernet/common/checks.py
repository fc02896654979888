"""Checks of arguments: integers and positive numbers."""

import numbers

import numpy as np


def integer(name, value, least=1):
    """Returns the value as an int, or raises ValueError unless the value is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        where = "consist of integers" if name in ("sizes", "image_shape") else "be an integer"
        raise ValueError(f"`{name}` must {where} of at least {least}. Received: {value!r}")
    return int(value)


def positive(name, value):
    """Returns the value as a float64 array, or raises ValueError unless all numbers are positive."""
    array = np.asarray(value, "float64")
    if not (array > 0).all():
        raise ValueError(f"`{name}` must be positive. Received: {value!r}")
    return array
