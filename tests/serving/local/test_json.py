"""Tensors in JSON, without a server."""

import numpy as np
import pytest

from keras_hypernet.serving.errors import ServingError
from keras_hypernet.serving.local.json_messages import decode_tensor
from keras_hypernet.serving.local.servable import TensorInfo

NUMBERS = [0, -1, 255, 256, 300, -129, 2047, 2048, -2049, 65505, 2**24 - 1, -(2**24), 2**24 + 1, 2**31, 2**53 + 1]

NUMBERS += [2**63, -(2**63) - 1, 2**64, 10**400, 0.5, -2.0, 2049.0, 65504.0, 65505.0, 1e38, 3.5e38, -1e39, 1e308]

NUMBERS += [float("inf"), float("-inf"), float("nan")]


@pytest.mark.regression
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "uint64"])
def test_the_check_of_a_value_does_not_depend_on_its_neighbours(dtype):
    info = TensorInfo(np.dtype(dtype), 0, (None,))

    def verdict(values):
        try:
            return decode_tensor(values, info, "x")[0]
        except ServingError as error:
            return error.message

    alone = [verdict([number]) for number in NUMBERS]
    accepted = [number for number, result in zip(NUMBERS, alone, strict=True) if not isinstance(result, str)]
    for number, result in zip(NUMBERS, alone, strict=True):
        if info.dtype.kind != "f":
            right = isinstance(number, int) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
        elif isinstance(number, int):
            right = abs(number) < 2 ** (np.finfo(dtype).nmant + 1)
        else:
            right = not np.isfinite(number) or abs(number) <= float(np.finfo(dtype).max)
        assert isinstance(result, str) != right, (number, result)
        assert not right or result.dtype == dtype
        for neighbour in accepted:
            np.testing.assert_array_equal(verdict([number, neighbour]), result)
