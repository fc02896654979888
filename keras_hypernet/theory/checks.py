"""What the arguments of this package have in common: integers and positive numbers, or an error."""

import numbers

import numpy as np


def integer(name, value, least=1):
    """Returns an integer of at least `least`, or raises ValueError, which names the argument."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        where = "consist of integers" if name in ("sizes", "image_shape") else "be an integer"
        raise ValueError(f"`{name}` must {where} of at least {least}. Received: {value!r}")
    return int(value)


def positive(name, value):
    """Returns positive numbers as a float64 array, or raises ValueError, which names the argument."""
    array = np.asarray(value, "float64")
    if not (array > 0).all():
        raise ValueError(f"`{name}` must be positive. Received: {value!r}")
    return array
