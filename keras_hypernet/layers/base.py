"""The base classes of layers that take a condition, and the letters of their shapes.

B  batch: number of conditions           P  points: number of x for each condition
R  rank: dimension of the condition      i  input features          o  output features (units)

A generated weight of shape S is linear in the condition z: `W(z) = sum_r z_r T_r + T_R`. Its *basis* T is one
variable, of shape S with an axis of size R + 1 inserted before the last axis; the last of the R + 1 slices is the
constant term.
"""

import math

import keras
from keras import ops

from keras_hypernet.layers.contraction import check_batch, check_shapes


class ConditionedLayer(keras.Layer):
    """Abstract: a layer called as `layer(x, condition)`.

    The models of this package pass the condition to layers of this class only.
    """

    def __call__(self, x, condition=None, **kwargs):
        if condition is None:
            received = f"one {type(x).__name__}" if isinstance(x, (list, tuple, dict)) else "x alone"
            raise TypeError(
                f"Layer {self.name!r} is called with two arguments, as `layer(x, condition)`. Received: {received}"
            )
        return super().__call__(x, condition, **kwargs)

    def build(self, x_shape, condition_shape=None):
        check_shapes(x_shape, condition_shape)


def match_batch(x, value, name="condition"):
    """Holds a value `[1, ...]` or `[B, ...]` to the batch rule of `contraction.may_match` for x `[B, ...]`.

    Returns the value. A traced function that does not know both sizes reshapes the value to one row if it has one, else
    to B rows. The reshape moves no data, and fails for any other number of rows.

    Raises ValueError, which calls the value `name`, if the sizes are known and do not match.
    """
    check_batch(x.shape, value.shape, name)
    if value.shape[0] == 1 or None not in (x.shape[0], value.shape[0]):
        return value
    (batch, *_), (rows, *shape) = ops.shape(x), ops.shape(value)
    with keras.name_scope("check_that_there_is_one_condition_for_all_x_or_one_for_each"):
        # Through another rank: TensorFlow removes a reshape that seems to change nothing.
        matched = ops.squeeze(ops.reshape(value, (1, ops.where(ops.equal(rows, 1), 1, batch), *shape)), axis=0)
        # After a reshape to computed sizes, OpenVINO knows no size of the tensor.
        return matched if matched.shape[1:] == value.shape[1:] else ops.reshape(matched, (-1, *value.shape[1:]))


class KeepMask(keras.Layer):
    """The layer behind `keep_mask`: Keras passes the mask of its input on."""

    def __init__(self):
        super().__init__(autocast=False)
        self.supports_masking = True
        self.built = True

    def call(self, x, function):
        return function(x)


_KEEP_MASK = KeepMask()  # one layer for all calls: PyTorch cannot compile a function that makes a layer


def keep_mask(x, function):
    """Returns `function(x)` with the mask of x, as if the function were a layer that supports masking."""
    return _KEEP_MASK(x, function=function)


def align(tensor, ndim):
    """Inserts axes after the batch until the tensor has `ndim` axes: `[B, c]` -> `[B, 1, ..., c]`."""
    for _ in range(ndim - len(tensor.shape)):
        tensor = ops.expand_dims(tensor, axis=1)
    return tensor


class HyperLayer(ConditionedLayer):
    """Abstract: a layer whose weights are generated from the condition.

    A subclass calls `add_basis` in `build`, once for each generated weight, and implements:

    - `call(x, condition)`: the output under the weights that `generate(condition)` returns, or a cheaper computation
      with the same result.
    - `apply(x, weights)`: the output under weights that `generate` returned earlier.
    - `specialize(condition)`: the built-in layer, not yet built, that this layer is under one condition `[1, R]`, and
      the list of its weights as arrays.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self._generated_names = ()

    def add_basis(self, name, shape, rank, initializer, regularizer=None, constraint=None):
        """Adds the variable from which the weight `name` is generated.

        Args:
            name: Name of the generated weight.
            shape: Shape of the generated weight, without the batch.
            rank: R, the dimension of the condition.
            initializer, regularizer, constraint: Applied to the basis, not to the generated weight.

        Returns:
            The basis, a variable of shape `[*shape[:-1], rank + 1, shape[-1]]`; also the attribute `<name>_basis`.
        """
        basis = self.add_weight(
            name=f"{name}_basis",
            shape=(*shape[:-1], rank + 1, shape[-1]),
            initializer=initializer,
            regularizer=regularizer,
            constraint=constraint,
        )
        setattr(self, f"{name}_basis", basis)  # `tf.train.Checkpoint` saves attributes, but not the values of a dict
        self._generated_names = (*self._generated_names, name)
        return basis

    @property
    def _bases(self):
        return {name: getattr(self, f"{name}_basis") for name in self._generated_names}

    @property
    def generated_shapes(self):
        """The shape of each weight that this layer generates, without the batch, by name."""
        return {name: (*basis.shape[:-2], basis.shape[-1]) for name, basis in self._bases.items()}

    @property
    def num_generated(self):
        """Number of weights that this layer generates for one condition."""
        return sum(math.prod(shape) for shape in self.generated_shapes.values())

    @property
    def num_basis_parameters(self):
        """Number of trained parameters in the bases; the layer's other parameters are its own weights."""
        return sum(math.prod(basis.shape) for basis in self._bases.values())

    def generate(self, condition):
        """Writes this layer's weights.

        Args:
            condition: Tensor `[B, R]`.

        Returns:
            A dict from the name of each generated weight to a tensor `[B, *shape]` of the compute dtype.

        Raises:
            ValueError: If the layer has not been built, or was built for conditions of another shape.
        """
        if not self.built:
            raise ValueError(f"Layer {self.name!r} has no weights yet: call it on x and a condition before `generate`.")
        ranks = {basis.shape[-2] - 1 for basis in self._bases.values()}
        if len(condition.shape) != 2 or ranks != {condition.shape[1]}:
            raise ValueError(
                f"Layer {self.name!r} was built for conditions of shape [batch, {ranks.pop()}]. "
                f"Received: shape {tuple(condition.shape)}"
            )
        extended = self._extend(condition)
        return {name: self._contract(extended, basis) for name, basis in self._bases.items()}

    def _extend(self, condition):
        """Appends a one, the factor of the constant term: `[B, R]` -> `[B, R + 1]`."""
        condition = ops.cast(condition, self.compute_dtype)
        return ops.concatenate([condition, ops.ones_like(condition[:, :1])], axis=-1)

    def _contract(self, extended, basis):
        # An explicit cast, because Keras autocasts variables only in `__call__`, and `generate` is called outside.
        basis = ops.cast(basis, self.compute_dtype)
        return ops.tensordot(extended, basis, axes=[[1], [len(basis.shape) - 2]])
