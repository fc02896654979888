"""ModelOfTwoInputs: a Keras model of `x` and `condition` that explains errors in its inputs."""

import collections.abc

import keras
from keras import ops

from keras_hypernet.models.conditions import check_arrays, check_condition, declared_inputs
from keras_hypernet.models.shapes import split_inputs


class ModelOfTwoInputs(keras.Model):
    """Abstract: a model called on a dict of `x` and `condition`, or on a pair of both.

    `optional_inputs` lists further keys of the dict, whose values may be lists of numbers. `fit`, `evaluate` and
    `predict` also take one condition for all x.
    """

    optional_inputs: tuple[str, ...] = ()

    def __call__(self, inputs, *args, **kwargs):
        return super().__call__(self._checked(inputs), *args, **kwargs)

    def fit(self, x=None, *args, **kwargs):
        """As in every Keras model. One condition for all x, `[1, ...]`, is repeated for each x."""
        if isinstance(kwargs.get("validation_data"), (tuple, list)):
            inputs, *targets = kwargs["validation_data"]
            kwargs["validation_data"] = (self._one_for_each(inputs), *targets)
        return super().fit(self._one_for_each(x), *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As in every Keras model; a condition as in `fit`."""
        return super().evaluate(self._one_for_each(x), *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As in every Keras model; a condition as in `fit`."""
        return super().predict(self._one_for_each(x), *args, **kwargs)

    def _checked(self, inputs):
        """The inputs, with optional inputs as arrays. Keras's error for lists is less clear."""
        x, condition, options = split_inputs(inputs, self.optional_inputs)
        check_arrays("x", x)
        if self.built:  # not in `call`: on JAX, an error within `predict` deletes the values of a Keras model
            self.check_x(x)
            check_condition(condition, self.condition_shape)
        else:
            check_arrays("condition", condition)
            declared_inputs(self.encoder, condition)
        for name, value in options.items():
            if isinstance(value, (list, tuple)):
                inputs = {**inputs, name: ops.convert_to_tensor(value)}
        return inputs

    def _one_for_each(self, data):
        """The data, with a single condition repeated for each x, because Keras splits both into batches."""
        if not (isinstance(data, collections.abc.Mapping) or (isinstance(data, (tuple, list)) and len(data) == 2)):
            return data
        x, condition, options = split_inputs(self._checked(data), self.optional_inputs)
        others, rows = {"condition": condition, **options}, keras.tree.flatten(x)[0].shape[0]
        if rows != 1 and all(part.shape[0] == 1 for part in keras.tree.flatten(others)):
            others = keras.tree.map_structure(lambda part: ops.broadcast_to(part, (rows, *part.shape[1:])), others)
        return {"x": x, **others}
