"""The base classes of layers that take a condition, and the letters of their shapes.

B  batch: number of conditions           P  points: number of x for each condition
R  rank: dimension of the condition      i  input features          o  output features (units)

A basis defines how a weight is generated from the condition z (`bases/base.py`); a layer defines how the weight is
used.
"""

import contextlib
import contextvars
import math
import re
import typing
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_hypernet import bases
from keras_hypernet.bases.sharing import shared_bases
from keras_hypernet.layers.contraction import FIXED_AXES, check_batch, check_shapes

# The arguments of each weight with `use_options`.
KINDS = {"initializer": keras.initializers, "regularizer": keras.regularizers, "constraint": keras.constraints}
_WRITTEN = contextvars.ContextVar("written weights by the name of a layer", default=None)


@contextlib.contextmanager
def under_weights(weights):
    """A context in which layers, by name, use written weights, a dict for each layer, instead of the condition."""
    token = _WRITTEN.set(weights)
    try:
        yield
    finally:
        _WRITTEN.reset(token)


class ConditionedLayer(keras.Layer):
    """Abstract: a layer called as `layer(x, condition)`.

    The models of this package pass the condition only to layers of this class. A subclass declares the shapes of x:
    `axes` names the axes after the batch and the points, and `most_points` is the largest number of axes of points. The
    sizes of axes called `features` or `channels` are fixed when the layer is built; all others may change.
    """

    axes: tuple[str, ...] = ("features",)
    most_points = 1

    def __call__(self, x, condition=None, **kwargs):
        if condition is None:
            received = f"one {type(x).__name__}" if isinstance(x, (list, tuple, dict)) else "x alone"
            raise TypeError(
                f"Layer {self.name!r} is called with two arguments, as `layer(x, condition)`. Received: {received}"
            )
        return super().__call__(x, (_WRITTEN.get() or {}).get(self.name, condition), **kwargs)

    def build(self, x_shape, condition_shape=None):
        self.check_shapes(x_shape, condition_shape)

    def check_shapes(self, x_shape, condition_shape):
        """Raises an error unless x and the condition have shapes that this layer takes."""
        check_shapes(x_shape, condition_shape, self.axes, self.most_points)


def match_batch(x, value, name="condition"):
    """Checks a value `[1, ...]` or `[B, ...]` by the batch rule of `contraction.may_match` for x `[B, ...]`.

    Returns the value. If a traced function does not know both sizes, it reshapes the value to one row if the value has
    one row, otherwise to B rows. The reshape moves no data, and fails for any other number of rows.

    Raises ValueError, with the name `name` of the value, if the sizes are known and do not match.
    """
    check_batch(x.shape, value.shape, name)
    if value.shape[0] == 1 or None not in (x.shape[0], value.shape[0]):
        return value
    (batch, *_), (rows, *shape) = ops.shape(x), ops.shape(value)
    with keras.name_scope("check_that_there_is_one_condition_for_all_x_or_one_for_each"):
        # Through another rank, because TensorFlow removes a reshape to the same static shape.
        matched = ops.squeeze(ops.reshape(value, (1, ops.where(ops.equal(rows, 1), 1, batch), *shape)), axis=0)
        # After a reshape to computed sizes, no size of the tensor is known on OpenVINO.
        return matched if matched.shape[1:] == value.shape[1:] else ops.reshape(matched, (-1, *value.shape[1:]))


class KeepMask(keras.Layer):
    """The layer of `keep_mask`: Keras passes the mask of its input on."""

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


class GeneratedWeight(typing.NamedTuple):
    """A weight that a layer generates: its name, its shape without the batch, and how it is generated."""

    name: str
    shape: tuple
    basis: bases.Basis


class HyperLayer(ConditionedLayer):
    """Abstract: a layer whose weights are generated from the condition.

    A subclass calls `add_basis` in `build`, once for each generated weight, and implements:

    - `run(x, weights)`: the output with weights `[B, *shape]`, or `[1, *shape]` for all x, of the compute dtype.
    - `specialize(condition)`, unless `keras_layer` is set: the class of a Keras layer that has the same arguments, and
    the generated weights in the same order.

    `compiled_by_xla` is whether XLA compiles the calls; a compiled model sets it, otherwise it is None.

    If there is a cheaper computation than `run` with written weights, a subclass overrides `compute`.

    Args:
        vector_basis: How a bias, a scale or an offset is generated; `Full()` by default.
        **kwargs: As in every Keras layer.
    """

    keras_layer = None
    compiled_by_xla = None

    def __init__(self, vector_basis: bases.Basis | dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vector_basis = None if vector_basis is None else bases.get(vector_basis)
        self.supports_masking = True
        self._generated = ()
        self._with_options = ()  # the names of weights
        self._built_for = ()  # the fixed axes of x and their sizes

    def build(self, x_shape, condition_shape=None):
        super().build(x_shape, condition_shape)
        self.rank = condition_shape[-1]
        self._built_for = self._fixed_sizes(x_shape)

    def _fixed_sizes(self, x_shape):
        sizes = zip(self.axes, x_shape[len(x_shape) - len(self.axes) :], strict=True)
        return tuple((axis, size) for axis, size in sizes if axis in FIXED_AXES)

    def check_shapes(self, x_shape, condition_shape):
        super().check_shapes(x_shape, condition_shape)
        if self.built and (self.rank, self._built_for) != (condition_shape[-1], self._fixed_sizes(x_shape)):
            sizes = [f"{size} {axis} of x" for axis, size in self._built_for]
            raise ValueError(
                f"Layer {self.name!r} was built for {' and '.join([*sizes, f'a condition of dimension {self.rank}'])}. "
                f"Received: x of shape {tuple(x_shape)}, condition of shape {tuple(condition_shape)}"
            )

    def use_basis(self, basis):
        """Sets the attribute `basis` from the argument `basis`."""
        self.basis = bases.get(basis)
        self.basis.users.add(self)

    def use_options(self, name, initializer, regularizer, constraint):
        """Sets attributes such as `<name>_initializer` of a weight from the arguments; they are in `get_config`."""
        for kind, value in zip(KINDS, (initializer, regularizer, constraint), strict=True):
            setattr(self, f"{name}_{kind}", KINDS[kind].get(value))
        self._with_options = (*self._with_options, name)

    def options_of(self, name):
        """The initializer, the regularizer and the constraint of a weight, as arguments of `add_basis`."""
        return {kind: getattr(self, f"{name}_{kind}") for kind in KINDS}

    def add_basis(self, name, shape, rank, initializer, regularizer=None, constraint=None, basis=None, fans=None):
        """Adds the variables from which the weight `name` is generated.

        Args:
            name: Name of the generated weight.
            shape: Shape of the generated weight, without the batch.
            rank: R, the dimension of the condition.
            initializer: An initializer of generated weights, such as `HyperfanIn`; for `Full` also any initializer of
                Keras, which then initializes the variable.
            regularizer, constraint: Applied to the variables, not to the generated weight.
            basis: How the weight is generated; the `vector_basis` of the layer by default.
            fans: The `Fans` of the weight, if they do not follow from its shape.
        """
        basis = bases.get(self.vector_basis if basis is None else basis)
        initializer = keras.initializers.get(initializer)
        self.rank = rank
        basis.build(self, name, tuple(shape), rank, initializer, regularizer, constraint, fans)
        self._generated = (*self._generated, GeneratedWeight(name, tuple(shape), basis))

    def attribute(self, name, variable):
        """The name of the attribute that holds a variable of the basis of the weight `name`."""
        return f"{name}_{variable}"

    def generated_weights(self):
        """For each generated weight: its name, the layer that has its variables, and its `GeneratedWeight` there."""
        return [(weight.name, self, weight) for weight in self._generated]

    @property
    def generated_shapes(self):
        """The shape of each weight that this layer generates, without the batch, by name."""
        return {name: weight.shape for name, _, weight in self.generated_weights()}

    @property
    def num_generated(self):
        """Number of weights that this layer generates for one condition."""
        return sum(map(math.prod, self.generated_shapes.values()))

    @property
    def basis_variables(self):
        """The variables of the bases, without the layer's ordinary weights."""
        return [
            variable
            for _, layer, (name, shape, basis) in self.generated_weights()
            for variable in basis.owned_variables(layer, name, shape)
        ]

    def generate(self, condition: Any) -> dict[str, Any]:
        """Writes this layer's weights.

        Args:
            condition: Tensor `[B, R]`, or `[B, P, R]` for a condition for each point.

        Returns:
            A dict from the name of each generated weight to a tensor `[B, *shape]`, or `[B, P, *shape]`, of the compute
            dtype.

        Raises:
            ValueError: If the layer has not been built, or was built for conditions of another shape.
        """
        if not self.built:
            raise ValueError(f"Layer {self.name!r} has no weights yet: call it on x and a condition before `generate`.")
        if len(condition.shape) not in (2, 3) or condition.shape[-1] != self.rank:
            raise ValueError(
                f"Layer {self.name!r} was built for conditions of shape [batch, {self.rank}]. "
                f"Received: shape {tuple(condition.shape)}"
            )
        if len(condition.shape) == 3:
            generated = self.generate(_fold(condition))
            return {name: _unfold(weight, condition) for name, weight in generated.items()}
        z = ops.cast(condition, self.compute_dtype)
        return {name: layer.write(weight, z) for name, layer, weight in self.generated_weights()}

    def write(self, weight, z):
        """Writes a `GeneratedWeight`: `[B, *shape]`."""
        return weight.basis.write(self.variables_of(weight), ops.cast(z, self.compute_dtype))

    def variables_of(self, weight):
        """The tensors that the basis of a `GeneratedWeight` reads."""
        return weight.basis.variables(self, weight.name, weight.shape)

    def call(self, x, condition=None):  # TimeDistributed passes x alone
        return self.under(x, condition)

    def under(self, x, condition, **with_x):
        """The output for x and a condition; `with_x` are further tensors `[B, ...]`, such as the mask of x, or None.

        A layer that takes such tensors overrides `call` and passes them to this method, which passes them to `run`. A
        dict of written weights may replace the condition.
        """
        if isinstance(condition, dict):
            return self.apply(x, condition, **with_x)
        self.check_shapes(x.shape, getattr(condition, "shape", None))
        condition = match_batch(x, condition)
        if len(condition.shape) == 2:
            return self.compute(x, condition, **with_x)
        each = ops.broadcast_to(condition, (*ops.shape(x)[:2], self.rank))
        return _unfold(self.compute(_fold(x), _fold(each), **_fold_all(with_x)), x)

    def compute(self, x, condition, **with_x):
        """The output for x `[B, ...]` and conditions `[B, R]` or `[1, R]`."""
        return self.run(x, self.generate(condition), **with_x)

    def apply(self, x: Any, weights: Mapping[str, Any], **with_x: Any) -> Any:
        """The output for x with weights that `generate` returned.

        Args:
            x: As in the call.
            weights: Dict of tensors `[B, *shape]`; `[1, *shape]` for one set of weights for all x; or
                `[B, P, *shape]` for one set for each point.
            **with_x: Further tensors that the layer takes, such as `x_mask`.

        Returns:
            A tensor, as in the call.
        """
        shapes = self.generated_shapes
        if any(len(weight.shape) == len(shapes[name]) + 2 for name, weight in weights.items()):
            return _unfold(self.run(_fold(x), _fold_all(weights), **_fold_all(with_x)), x)
        weights = {name: match_batch(x, weight, f"{self.name}/{name}") for name, weight in weights.items()}
        return self.run(x, {name: ops.cast(weight, self.compute_dtype) for name, weight in weights.items()}, **with_x)

    def adopt(self, layer):
        """Copies the weights of an ordinary layer to K0, except to a K0 of zeros."""
        self.assign([ops.convert_to_numpy(weight) for weight in layer.weights])

    def assign(self, values):
        """Assigns arrays to K0, in the order of the weights of the ordinary layer; see `adopt`."""
        for (_, layer, weight), value in zip(self.generated_weights(), values, strict=True):
            if weight.basis.starts_at_zero:
                weight.basis.assign_constant(layer, weight.name, value)

    def specialize(self, condition: Any) -> Any:
        """Returns a layer of x alone that equals this layer for one condition, and the weights of that layer.

        Args:
            condition: Array `[1, R]`.

        Returns:
            A pair: the unbuilt layer, and the list of its weights as NumPy arrays.
        """
        if self.keras_layer is None:
            raise ValueError(f"No layer of x alone is known for {self.name!r} of class {type(self).__name__}.")
        return self.ordinary(), [ops.convert_to_numpy(weight[0]) for weight in self.generate(condition).values()]

    def ordinary(self):
        """The layer of x alone, with the same arguments except those about generated weights."""
        with shared_bases([]):  # of the configuration of a shared basis, which is not used
            config = self.get_config()
        left_out = r"(basis|vector_basis|contraction|kernel|bias|trainable|.+_(initializer|regularizer|constraint))"
        return self.keras_layer.from_config(
            {name: value for name, value in config.items() if not re.fullmatch(left_out, name)}
        )

    def get_config(self):
        config = super().get_config()
        config["activity_regularizer"] = keras.regularizers.serialize(self.activity_regularizer)
        for name in self._with_options:
            for kind, value in self.options_of(name).items():
                config[f"{name}_{kind}"] = KINDS[kind].serialize(value)
        return config if self.vector_basis is None else {**config, "vector_basis": bases.serialize(self.vector_basis)}


def _fold(tensor):
    """`[B, P, ...]` -> `[B * P, ...]`."""
    return ops.reshape(tensor, (-1, *ops.shape(tensor)[2:]))


def _fold_all(tensors):
    return {name: None if tensor is None else _fold(tensor) for name, tensor in tensors.items()}


def _unfold(tensor, like):
    """`[B * P, ...]` -> `[B, P, ...]`, the first sizes of another tensor."""
    return ops.reshape(tensor, (*ops.shape(like)[:2], *ops.shape(tensor)[1:]))
