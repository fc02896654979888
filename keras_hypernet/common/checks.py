"""Checks of arguments: choices, integers, positive numbers, NumPy's scalars."""

import math
import numbers

import numpy as np

# The longest wait: from about 7e9 seconds on, gRPC and threads overflow.
MOST_SECONDS = 1e9


def check_choice(name, value, choices):
    """Raises ValueError if the value of the argument `name` is not one of the choices."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {choices}. Received: {value!r}")


def integer(name, value, least=1, most=math.inf):
    """Returns the value as an int, or raises ValueError unless the value is an integer from `least` to `most`."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or not least <= value <= most:
        where = "consist of integers" if name in ("sizes", "image_shape") else "be an integer"
        bound = f"at most {most}" if is_integer and value > most else f"at least {least}"
        raise ValueError(f"`{name}` must {where} of {bound}. Received: {value!r}")
    return int(value)


def finite(name, value, least, most=math.inf):
    """Returns the value as a float, or raises ValueError unless it is a finite number from `least` to `most`."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # an integer beyond the largest float
        number = math.inf
    if not math.isfinite(number) or not least <= number <= most:
        bounds = [f"at least {least:g}"] + [f"at most {most:g}"] * math.isfinite(most)
        raise ValueError(f"`{name}` must be a finite number of {' and '.join(bounds)}. Received: {value!r}")
    return number


def plain(value):
    """Returns a NumPy scalar as a Python number, bool or text, and any other value unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def positive(name, value):
    """Returns the value as a float64 array, or raises ValueError unless all numbers are positive."""
    array = np.asarray(value, "float64")
    if not (array > 0).all():
        raise ValueError(f"`{name}` must be positive. Received: {value!r}")
    return array
