"""HyperDense: a Dense layer whose kernel, bias or both are generated from a condition."""

import functools

import keras
from keras import ops

from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.layers.base import HyperLayer, align, match_batch
from keras_hypernet.layers.contraction import check_contraction, check_shapes, plan

SOURCES = ("generated", "trained")


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperDense(HyperLayer):
    """`activation(x . K(condition) + b(condition))`, with weights that are linear in the condition.

    `K(z) = K_0 + sum_r z_r T_r`, and `b(z)` likewise. Each example of a batch has its own weights. The factorised
    route never builds these weights: see `layers/contraction.py`. A network whose first layer has
    `kernel="trained"` and `bias="generated"` is the embedding method. `Model.quantize` skips this layer, but quantizes
    the Dense layer that `specialize` returns.

    Call arguments:
        x: Tensor `[B, i]`, or `[B, P, i]` for P points under each condition.
        condition: Tensor `[B, R]`, or `[1, R]` for one condition shared by the whole batch.

    Returns:
        A tensor `[B, units]` or `[B, P, units]` of the compute dtype.

    Args:
        units: Output dimension, a positive integer.
        activation: As in `keras.layers.Dense`.
        use_bias: Whether there is a bias. `use_bias=False` and `bias=None` mean the same.
        kernel: `"generated"` from the condition, or `"trained"`, an ordinary weight `[i, units]`; kept as the attribute
            `kernel_source`.
        bias: `"generated"`, `"trained"` or None; kept as the attribute `bias_source`.
        contraction: `"factorised"`, `"materialised"`, or `"auto"` for the cheaper of the two.
        kernel_initializer: For the basis `[i, R + 1, units]` of a generated kernel, by default
            `HyperfanIn()`, which gives generated kernels the variance 1 / i if the entries of the
            condition have a second moment of one; for a trained kernel, by default `"glorot_uniform"`.
        bias_initializer: For the basis `[R + 1, units]` of the bias, or the trained bias.
        kernel_regularizer, bias_regularizer: Applied to the variable: the basis of a generated weight.
        kernel_constraint, bias_constraint: Likewise.
        **kwargs: `name`, `dtype`, `trainable`, `activity_regularizer`: as in every Keras layer.

    Raises:
        ValueError: If no weight is generated, an argument is not one of its choices, or shapes do not fit.

    Example:

    >>> x, condition = keras.ops.ones((8, 16)), keras.ops.ones((8, 4))
    >>> layer = HyperDense(3, activation="relu")
    >>> layer(x, condition).shape
    TensorShape([8, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(condition).items()}
    {'kernel': (8, 16, 3), 'bias': (8, 3)}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Secs. 2 and 4.2.
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel="generated",
        bias="generated",
        contraction="auto",
        kernel_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        activity_regularizer=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if not isinstance(units, int) or isinstance(units, bool) or units < 1:
            raise ValueError(f"`units` must be a positive integer. Received: {units!r}")
        if kernel not in SOURCES:
            raise ValueError(f"`kernel` must be one of {SOURCES}. Received: {kernel!r}")
        if bias not in (*SOURCES, None):
            raise ValueError(f"`bias` must be one of {(*SOURCES, None)}. Received: {bias!r}")
        check_contraction(contraction)
        use_bias = use_bias and bias is not None
        if kernel != "generated" and not (use_bias and bias == "generated"):
            raise ValueError(
                "At least one of kernel and bias must be generated; for neither, use `keras.layers.Dense`. "
                f"Received: kernel={kernel!r}, bias={bias!r}, use_bias={use_bias}"
            )
        if kernel_initializer is None:
            kernel_initializer = HyperfanIn() if kernel == "generated" else "glorot_uniform"
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_source = kernel
        self.bias_source = bias
        self.contraction = contraction
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, x_shape, condition_shape=None):
        check_shapes(x_shape, condition_shape)
        self.input_dim, self.rank = x_shape[-1], condition_shape[-1]
        kernel = (self.input_dim, self.units), self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint
        bias = (self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint
        self._kernel = self._add("kernel", self.kernel_source, *kernel)
        self._bias = self._add("bias", self.bias_source, *bias) if self.use_bias else None

    def _add(self, name, source, shape, initializer, regularizer, constraint):
        if source == "generated":
            return self.add_basis(name, shape, self.rank, initializer, regularizer, constraint)
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, regularizer=regularizer, constraint=constraint
        )

    def call(self, x, condition=None):  # TimeDistributed passes x alone
        self._check_features(x.shape, getattr(condition, "shape", None))
        contraction = plan(x.shape, condition.shape, self.units, self.contraction)
        x = ops.cast(x, self.compute_dtype)
        extended = self._extend(match_batch(x, condition))
        if self.kernel_source == "trained":
            y = ops.matmul(x, ops.cast(self._kernel, self.compute_dtype))
        elif contraction.route == "factorised" and self.input_dim > 0:  # -1 in a reshape needs data
            y = self._factorised(x, extended)
        else:
            y = _matmul(x, self._contract(extended, self._kernel), contraction.shared)
        return self._with_bias(y, lambda: self._contract(extended, self._bias))

    def _factorised(self, x, extended):
        basis = ops.cast(self._kernel, self.compute_dtype)
        # One plain GEMM for any number of points. The layout of the basis makes this reshape free of copies.
        products = ops.matmul(ops.reshape(x, (-1, self.input_dim)), ops.reshape(basis, (self.input_dim, -1)))
        products = ops.reshape(products, (*ops.shape(x)[:-1], self.rank + 1, self.units))
        return ops.squeeze(ops.matmul(align(extended, len(x.shape) + 1), products), axis=-2)

    def _with_bias(self, y, generated):
        """`activation(y + bias)`, where `generated()` returns a generated bias."""
        if self.use_bias:
            bias = self._bias if self.bias_source == "trained" else align(generated(), len(y.shape))
            y = y + ops.cast(bias, self.compute_dtype)
        return self.activation(y)

    def apply(self, x, weights):
        """The output on x under weights that `generate` returned earlier.

        Args:
            x: As in the call.
            weights: Dict of tensors `[B, *shape]`, or `[1, *shape]` for one set of weights shared by all x.

        Returns:
            A tensor, as in the call.
        """
        x = ops.cast(x, self.compute_dtype)
        weights = {name: match_batch(x, weight, f"{self.name}/{name}") for name, weight in weights.items()}
        if self.kernel_source == "trained":
            y = ops.matmul(x, ops.cast(self._kernel, self.compute_dtype))
        else:
            kernels = ops.cast(weights["kernel"], self.compute_dtype)
            own, shared = (functools.partial(_matmul, x, kernels, shared) for shared in (False, True))
            if kernels.shape[0] is None:  # known at run time only
                y = ops.cond(ops.shape(kernels)[0] == 1, shared, own)
            else:
                y = shared() if kernels.shape[0] == 1 else own()
        return self._with_bias(y, lambda: weights["bias"])

    def _check_features(self, x_shape, condition_shape):
        check_shapes(x_shape, condition_shape)
        if x_shape[-1] != self.input_dim or condition_shape[-1] != self.rank:
            raise ValueError(
                f"Layer {self.name!r} was built for {self.input_dim} features of x and a condition of dimension "
                f"{self.rank}. Received: x of shape {tuple(x_shape)}, condition of shape {tuple(condition_shape)}"
            )

    def compute_output_shape(self, x_shape, condition_shape):
        (self._check_features if self.built else check_shapes)(x_shape, condition_shape)
        return (*x_shape[:-1], self.units)

    def specialize(self, condition):
        """Returns the `keras.layers.Dense` that equals this layer under one condition, and its weights.

        Args:
            condition: Array `[1, R]`.

        Returns:
            A pair: the layer, not yet built, and the list of its weights as NumPy arrays.
        """
        generated = self.generate(condition)
        weights = [generated["kernel"][0] if "kernel" in generated else self._kernel]
        if self.use_bias:
            weights.append(generated["bias"][0] if "bias" in generated else self._bias)
        dense = keras.layers.Dense(
            self.units, activation=self.activation, use_bias=self.use_bias, name=self.name, dtype=self.dtype_policy
        )
        return dense, [ops.convert_to_numpy(weight) for weight in weights]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel": self.kernel_source,
            "bias": self.bias_source,
            "contraction": self.contraction,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
        }


def _matmul(x, kernels, shared):
    """x `[B, i]` or `[B, P, i]` times kernels `[B, i, o]`, or `[1, i, o]` if they are shared by all x."""
    if shared:
        return ops.matmul(x, kernels[0])
    if len(x.shape) == 3:
        return ops.matmul(x, kernels)
    return ops.squeeze(ops.matmul(ops.expand_dims(x, axis=-2), kernels), axis=-2)
