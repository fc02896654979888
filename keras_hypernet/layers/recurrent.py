"""HyperGRU and HyperLSTM: recurrent layers whose weights are generated from a condition, once per sequence."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypernet import bases
from keras_hypernet.bases.initializers import HyperfanIn
from keras_hypernet.common.checks import integer
from keras_hypernet.layers.base import HyperLayer

# Arguments of the Keras layers that these layers do not support, and the replacement of each.
REFUSED = {
    "dropout": "put a `keras.layers.Dropout` before the layer",
    "recurrent_dropout": "put a `keras.layers.Dropout` before the layer",
    "stateful": "give the layer the whole sequence",
    "return_state": "the last output is the state h; or use `return_sequences=True`",
}


class RecurrentLayer(HyperLayer):
    """Abstract: a recurrent layer that writes its kernel, recurrent kernel and bias once per sequence.

    A subclass sets `gates`, the number of gates, and `states`, the number of states, and implements
    `step(inputs, states, recurrent)`: the next states; the first state is the output. `recurrent` holds the
    recurrent kernel and, where the layer has one, the recurrent bias.

    Call arguments:
        x: Tensor `[B, T, i]`, or `[B, P, T, i]` for P sequences for each condition. T is free.
        condition: Tensor `[B, R]`; `[1, R]` for one condition shared by the whole batch; or `[B, P, R]` for a condition
            for each point.
        x_mask: Boolean tensor `[B, T]`, or `[B, P, T]`; by default the mask that Keras attached to x. A step whose mask
            is False keeps the state.

    Returns:
        A tensor `[B, units]`, or `[B, T, units]` with `return_sequences=True`, of the compute dtype; with points
        `[B, P, ...]`. The state starts at zero.

    Args:
        units: Dimension of the state, a positive integer.
        activation, recurrent_activation, use_bias, return_sequences, go_backwards: As in the Keras layer.
        kernel_initializer, recurrent_initializer: Initializers of the generated kernels; `HyperfanIn()` by default.
        bias_initializer: Initializer of the basis `[..., R + 1, n]` of the bias, which is always `Full`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Applied to the variables of the bases.
        kernel_constraint, recurrent_constraint, bias_constraint: Likewise.
        basis: How the kernel and the recurrent kernel are generated, a basis of `keras_hypernet.bases`; `Full()` by
            default.
        **kwargs: `name`, `dtype`, `trainable` and `activity_regularizer`.

    On TensorFlow, Keras trains a model with this layer without XLA, like a model with the Keras layer.

    Raises:
        ValueError: If an argument is not one of its choices; if it is an argument of the Keras layer that this layer
            lacks (dropout, recurrent_dropout, stateful, return_state); or if shapes do not fit.
    """

    axes = ("time", "features")

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        return_sequences: bool = False,
        go_backwards: bool = False,
        kernel_initializer: Any = None,
        recurrent_initializer: Any = None,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        basis: bases.Basis | dict | None = None,
        **kwargs: Any,
    ) -> None:
        for name, instead in REFUSED.items():
            value = kwargs.pop(name, None)
            if value:
                layer = type(self).__name__
                raise ValueError(f"{layer} has no `{name}`: {instead}. Received: {name}={value!r}")
        super().__init__(**kwargs)
        # XLA cannot differentiate TensorFlow's loop over an unknown number of steps; Keras's layers set the same.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.units = integer("units", units)
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.use_bias, self.return_sequences, self.go_backwards = use_bias, return_sequences, go_backwards
        self.use_basis(basis)
        recurrent = recurrent_initializer or HyperfanIn(), recurrent_regularizer, recurrent_constraint
        self.use_options("kernel", kernel_initializer or HyperfanIn(), kernel_regularizer, kernel_constraint)
        self.use_options("recurrent", *recurrent)
        self.use_options("bias", bias_initializer, bias_regularizer, bias_constraint)

    @property
    def bias_shape(self):
        """The shape of the bias."""
        return (self.gates * self.units,)

    def first_bias(self, shape, dtype=None):
        """The initial values of the basis of the bias, `[..., R + 1, n]`."""
        return self.bias_initializer(shape, dtype)

    def build(self, x_shape, condition_shape=None):
        super().build(x_shape, condition_shape)
        outputs = self.gates * self.units
        kernel, recurrent, bias = (self.options_of(name) for name in ("kernel", "recurrent", "bias"))
        self.add_basis("kernel", (x_shape[-1], outputs), self.rank, **kernel, basis=self.basis)
        self.add_basis("recurrent_kernel", (self.units, outputs), self.rank, **recurrent, basis=self.basis)
        if self.use_bias:
            self.add_basis("bias", self.bias_shape, self.rank, **{**bias, "initializer": self.first_bias})

    def call(self, x, condition=None, x_mask=None):
        return self.under(x, condition, x_mask=x_mask)

    def run(self, x, weights, x_mask=None):
        x = ops.cast(x, self.compute_dtype)
        batch, *shape = ops.shape(x)[:-1]  # [P, T], or [T]
        points = len(shape) == 2
        if points:
            x = ops.reshape(x, (batch, shape[0] * shape[1], x.shape[-1]))
        # With three axes: TensorFlow with oneDNN overwrites memory in [B, 1, T, i] x [1, 1, i, o] on some processors.
        inputs = ops.matmul(x, weights["kernel"])
        inputs = ops.reshape(inputs, (batch, *(shape if points else (1, *shape)), inputs.shape[-1]))
        bias, recurrent_bias = self.biases(weights)
        if bias is not None:
            inputs = inputs + ops.expand_dims(ops.expand_dims(bias, 1), 1)
        time = {"inputs": ops.moveaxis(inputs, 2, 0)}
        if x_mask is not None:
            x_mask = x_mask if points else ops.expand_dims(x_mask, 1)
            time["mask"] = ops.expand_dims(ops.moveaxis(ops.cast(x_mask, "bool"), 2, 0), -1)
        y = self.scan(time, {"kernel": weights["recurrent_kernel"], "bias": recurrent_bias})
        return y if points else ops.squeeze(y, 1)

    def scan(self, time, recurrent):
        """The outputs `[B, P, T, units]`, or the last one `[B, P, units]`, for inputs `[T, B, P, gates * units]`."""
        if self.go_backwards:
            time = {name: ops.flip(value, 0) for name, value in time.items()}
        # A zero computed from the inputs, because a tensor of computed sizes has no static shape.
        zero = ops.zeros_like(time["inputs"][0, :, :, : self.units])

        def step(states, now):
            new = self.step(now["inputs"], states, recurrent)
            if "mask" in now:
                new = tuple(ops.where(now["mask"], *pair) for pair in zip(new, states, strict=True))
            return new, new

        states, outputs = ops.scan(step, (zero,) * self.states, time)
        return ops.moveaxis(outputs[0], 0, 2) if self.return_sequences else states[0]

    def biases(self, weights):
        """The bias of the inputs and the bias of the recurrent product, or None: tensors `[B, n]`."""
        return weights.get("bias"), None

    def compute_output_shape(self, x_shape, condition_shape):
        self.check_shapes(x_shape, condition_shape)
        return (*x_shape[: -1 if self.return_sequences else -2], self.units)

    def compute_mask(self, inputs, previous_mask):
        return previous_mask if self.return_sequences else None

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            "return_sequences": self.return_sequences,
            "go_backwards": self.go_backwards,
            "basis": bases.serialize(self.basis),
        }


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperGRU(RecurrentLayer):
    """A GRU layer whose weights are generated from the condition: kernel `[i, 3u]`, recurrent_kernel `[u, 3u]`, bias.

    Args:
        units: Dimension u of the state, a positive integer.
        reset_after: Whether the reset gate acts after the recurrent product. The bias then has the shape `[2, 3u]`,
            otherwise `[3u]`.
        **kwargs: See `RecurrentLayer`, also for the call.

    Example:

    >>> layer = HyperGRU(3)
    >>> layer(keras.ops.ones((8, 5, 2)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 3])
    >>> {name: tuple(weight.shape) for name, weight in layer.generate(keras.ops.ones((8, 4))).items()}
    {'kernel': (8, 2, 9), 'recurrent_kernel': (8, 3, 9), 'bias': (8, 2, 9)}

    Reference: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.
    """

    gates, states = 3, 1
    keras_layer = keras.layers.GRU

    def __init__(self, units: int, reset_after: bool = True, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.reset_after = reset_after

    @property
    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def biases(self, weights):
        if not (self.use_bias and self.reset_after):
            return super().biases(weights)
        return weights["bias"][:, 0], weights["bias"][:, 1]

    def step(self, inputs, states, recurrent):
        (h,), u = states, self.units
        kernel = recurrent["kernel"]
        of_gates, of_candidate = kernel[..., : 2 * u], kernel[..., 2 * u :]
        product = ops.matmul(h, kernel if self.reset_after else of_gates)
        if recurrent["bias"] is not None:
            product = product + ops.expand_dims(recurrent["bias"], 1)
        gates = self.recurrent_activation(inputs[..., : 2 * u] + product[..., : 2 * u])
        update, reset = gates[..., :u], gates[..., u:]
        product = reset * product[..., 2 * u :] if self.reset_after else ops.matmul(reset * h, of_candidate)
        candidate = self.activation(inputs[..., 2 * u :] + product)
        return (update * h + (1 - update) * candidate,)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class HyperLSTM(RecurrentLayer):
    """An LSTM layer whose weights are generated from the condition: kernel `[i, 4u]`, recurrent_kernel `[u, 4u]`, bias.

    Args:
        units: Dimension u of the state, a positive integer.
        unit_forget_bias: Whether the constant term of the forget gate's bias starts at one.
        **kwargs: See `RecurrentLayer`, also for the call.

    Example:

    >>> layer = HyperLSTM(3, return_sequences=True)
    >>> layer(keras.ops.ones((8, 5, 2)), keras.ops.ones((8, 4))).shape
    TensorShape([8, 5, 3])

    Reference: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 1997.
    """

    gates, states = 4, 2
    keras_layer = keras.layers.LSTM

    def __init__(self, units: int, unit_forget_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.unit_forget_bias = unit_forget_bias

    def first_bias(self, shape, dtype=None):
        values = super().first_bias(shape, dtype)
        if not self.unit_forget_bias:
            return values
        ones = np.zeros(shape, "bool")
        ones[-1, self.units : 2 * self.units] = True  # of the last term, the constant term
        return ops.where(ones, ops.ones_like(values), values)

    def step(self, inputs, states, recurrent):
        (h, c), u = states, self.units
        sums = inputs + ops.matmul(h, recurrent["kernel"])
        gate, forget, output = (self.recurrent_activation(sums[..., n * u : (n + 1) * u]) for n in (0, 1, 3))
        c = forget * c + gate * self.activation(sums[..., 2 * u : 3 * u])
        return output * self.activation(c), c

    def get_config(self):
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}
