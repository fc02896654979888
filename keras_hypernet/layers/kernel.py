"""KernelLayer: the base of the layers `activation(op(x, K(condition)) + b(condition))`."""

import math
from typing import Any

import keras
from keras import ops

from keras_hypernet import bases
from keras_hypernet.bases.base import Sizes, align
from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.common.backends import device
from keras_hypernet.common.checks import check_choice
from keras_hypernet.layers.base import HyperLayer
from keras_hypernet.layers.contraction import CHOICES, plan

SOURCES = ("generated", "trained", "frozen")


class KernelLayer(HyperLayer):
    """Abstract: a layer with a kernel and a bias, one of them generated, or both.

    A subclass declares `axes`, and implements:

    - `kernel_shape(x_shape)`: the shape of the kernel, whose last axis is the last axis of the output;
    - `op(x, kernel)`: the product of all x with one kernel, linear in the kernel, for any size of its last axis;
    - `each(x, kernels)`: the product of x `[B, ...]` with kernels `[B, *shape]`, or `[1, *shape]` for a batch whose
      size is unknown;
    - `keras_layer`, the class of the Keras layer that has these weights;
    - `compute_output_shape(x_shape, condition_shape)`, which also calls `check_shapes`.

    If they do not follow from the shape of the kernel, a subclass also implements `fans` (the `Fans` of the kernel),
    `positions` (the number of products with the kernel for each x) and `bias_shape`. A layer whose `op` depends on the
    number of outputs, such as a grouped convolution, sets `contracts` to False.

    Args:
        activation, use_bias, activity_regularizer: As in the Keras layer of the same name. `use_bias=False` and
            `bias=None` mean the same.
        kernel: `"generated"` from the condition, or an ordinary weight, `"trained"` or `"frozen"`. The attribute is
            `kernel_source`.
        bias: `"generated"`, `"trained"`, `"frozen"` or None. The attribute is `bias_source`.
        basis: How the kernel is generated, a basis of `keras_hypernet.bases`; `Full()` by default. A generated bias is
            always `Full`.
        contraction: `"factorised"` (the kernel is not written), `"materialised"` (the kernel is written), or `"auto"`
            for the cheaper route.
        kernel_initializer: For a generated kernel, `HyperfanIn()` by default, which gives the kernel the variance 1 /
            fan-in if the entries of the condition have a second moment of one. With `Full`, any other initializer
            initializes the variable of the basis. For a trained kernel, `"glorot_uniform"` by default.
        bias_initializer: Initializer of the basis `[R + 1, *shape]` of the bias, or of the trained bias.
        kernel_regularizer, bias_regularizer: Applied to the variables; for a generated weight, to those of the basis.
        kernel_constraint, bias_constraint: Likewise.
        **kwargs: `name`, `dtype`, `trainable`: as in every Keras layer.

    Raises:
        ValueError: If no weight is generated, an argument is not one of its choices, or shapes do not fit.
    """

    contracts = True
    written_routes: tuple[str, ...] = ()  # names of the ways to compute `each` that `contraction` may select

    def __init__(
        self,
        activation: Any = None,
        use_bias: bool = True,
        kernel: str = "generated",
        bias: str = "generated",
        contraction: str = "auto",
        kernel_initializer: Any = None,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        basis: bases.Basis | dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("kernel", kernel, SOURCES)
        check_choice("bias", bias, (*SOURCES, None))
        check_choice("contraction", contraction, (*CHOICES, *self.written_routes))
        use_bias = use_bias and bias is not None
        if kernel != "generated" and not (use_bias and bias == "generated"):
            ordinary = (self.keras_layer or keras.Layer).__name__
            raise ValueError(
                f"At least one of kernel and bias must be generated; otherwise use `keras.layers.{ordinary}`. "
                f"Received: kernel={kernel!r}, bias={bias!r}, use_bias={use_bias}"
            )
        if kernel_initializer is None:
            kernel_initializer = HyperfanIn() if kernel == "generated" else "glorot_uniform"
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_source = kernel
        self.bias_source = bias
        self.contraction = contraction
        self.use_basis(basis)
        self.use_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.use_options("bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, x_shape, condition_shape=None):
        super().build(x_shape, condition_shape)
        shape = tuple(self.kernel_shape(x_shape))
        self._add("kernel", self.kernel_source, shape, basis=self.basis, fans=self.fans(shape))
        if self.use_bias:
            self._add("bias", self.bias_source, self.bias_shape(shape))

    def _add(self, name, source, shape, **generation):
        options = self.options_of(name)
        if source == "generated":
            self.add_basis(name, shape, self.rank, **options, **generation)
        else:
            weight = self.add_weight(name=name, shape=shape, trainable=source == "trained", **options)
            setattr(self, f"trained_{name}", weight)

    def bias_shape(self, kernel_shape):
        """The shape of the bias."""
        return kernel_shape[-1:]

    def fans(self, kernel_shape):
        """The `Fans` of the kernel; None if they follow from its shape."""

    def positions(self, x_shape):
        """Number of products with the kernel for each x of a shape."""
        return 1

    def matrix(self, kernel_shape):
        """The numbers of inputs and outputs of a product with the kernel, from which `plan` estimates the costs."""
        *leading, outputs = kernel_shape
        return math.prod(leading), outputs

    def costs(self, sizes):
        """The `Cost` of each route of the basis."""
        return self.basis.costs(sizes)

    def each_written(self, x, kernel, z):
        """The product of each x with the written kernel of its condition; `kernel` is the `GeneratedWeight`."""
        return self.each(x, self.write(kernel, z))

    def contract(self, x, variables, z):
        """The product of x with the kernels of conditions z, without writing the kernels."""
        return self.basis.contract(self.op, x, variables, z)

    def plan(self, x_shape, condition_shape):
        """The `Contraction` of a call on these shapes."""
        shape, positions = self.generated_shapes["kernel"], self.positions(x_shape)
        contraction = "materialised" if self.contraction in self.written_routes else self.contraction

        def costs(rows, conditions):
            sizes = Sizes(rows * positions, conditions, *self.matrix(shape), self.rank)
            routes = self.costs(sizes)
            return routes if self.contracts else {"materialised": routes["materialised"]}

        rows = x_shape[: len(x_shape) - len(self.axes)]
        return plan(rows, condition_shape[0], costs, contraction, device(), self.compute_dtype)

    def compute(self, x, condition):
        z = ops.cast(condition, self.compute_dtype)
        weights = {weight.name: weight for weight in self._generated}

        def product(prepared):
            kernel = weights["kernel"]
            chosen = self.plan(x.shape, condition.shape)
            if chosen.route == "factorised" and 0 not in kernel.shape:  # -1 in a reshape needs data
                return self.contract(prepared, self.variables_of(kernel), z)
            if chosen.shared:
                return self.op(prepared, self.write(kernel, z)[0])
            return self.each_written(prepared, kernel, z)

        return self._output(x, product, lambda: self.write(weights["bias"], z))

    def run(self, x, weights):
        def product(prepared):
            kernels = weights["kernel"]
            if kernels.shape[0] == 1:
                return self.op(prepared, kernels[0])
            if kernels.shape[0] is not None:
                return self.each(prepared, kernels)
            shared = ops.shape(kernels)[0] == 1  # known at run time only
            return ops.cond(shared, lambda: self.op(prepared, kernels[0]), lambda: self.each(prepared, kernels))

        return self._output(x, product, lambda: weights["bias"])

    def prepare(self, x):
        """x as `op` and `each` take it."""
        return ops.cast(x, self.compute_dtype)

    def restore(self, y):
        """The result of `op` or `each` with its bias, as the layer returns it."""
        return y

    def _output(self, x, product, generated_bias):
        """`activation(product + bias)`, from functions of a product with a generated kernel and of a generated bias."""
        x = self.prepare(x)
        if self.kernel_source == "generated":
            y = product(x)
        else:
            y = self.op(x, ops.cast(self.trained_kernel, self.compute_dtype))
        if self.use_bias:
            bias = self.trained_bias if self.bias_source != "generated" else align(generated_bias(), len(y.shape))
            y = y + ops.cast(bias, self.compute_dtype)
        return self.activation(self.restore(y))

    def assign(self, values):
        values = dict(zip(("kernel", "bias"), values, strict=self.use_bias))
        super().assign(values[weight.name] for weight in self._generated)
        for name, source in (("kernel", self.kernel_source), ("bias", self.bias_source)):
            if name in values and source != "generated":
                getattr(self, f"trained_{name}").assign(values[name])

    def specialize(self, condition: Any) -> Any:
        generated = self.generate(condition)
        names = ["kernel", "bias"] if self.use_bias else ["kernel"]
        weights = [generated[name][0] if name in generated else getattr(self, f"trained_{name}") for name in names]
        return self.ordinary(), [ops.convert_to_numpy(weight) for weight in weights]

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel": self.kernel_source,
            "bias": self.bias_source,
            "contraction": self.contraction,
            "basis": bases.serialize(self.basis),
        }
