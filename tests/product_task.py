"""A task of a user in a file of its own, as other processes import it."""

import dataclasses

import numpy as np

import keras_hypernet as kh


@kh.tasks.register
@dataclasses.dataclass(frozen=True)
class Product(kh.Task):
    """Approximate the product of x and the condition."""

    number: int = 24
    name = "product"
    metric = "mse"
    x_shape = condition_shape = (1,)
    num_outputs = 1

    def load(self, split):
        """Numbers in float64, as NumPy draws them."""
        x, condition = np.random.default_rng(len(split)).uniform(-1, 1, (2, self.number, 1))
        return {"x": x, "condition": condition, "y": x * condition}
