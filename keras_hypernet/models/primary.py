"""The primary network as steps: the only module that decides how layers take the encoded condition z.

A step is plain (a layer of x), conditioned (a layer of x and z) or joined (a `ConcatenateCondition` and the Dense layer
after it, computed together). All steps have the methods of `Plain`. A functional primary network, in
`models/networks.py`, is one step.
"""

import itertools

import keras
from keras import ops

from keras_hypernet.bases.base import align
from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer, HyperLayer
from keras_hypernet.layers.base import keep_mask, match_batch
from keras_hypernet.layers.contraction import check_shapes, may_match
from keras_hypernet.models.shapes import fits, output_shape, static_shape


class Plain:
    """A layer of x alone, and the interface of every step.

    `layer` is the layer that owns the weights of the step, and `prefix` the prefix of their names in `generate`.
    """

    def __init__(self, layer):
        self.layer, self.prefix = layer, f"{layer.name}/"

    def through(self, visit, x, encoded):
        """The output of the step, or its shape, if `visit(layer, *inputs)` returns the output, or shape, of a layer."""
        return visit(self.layer, x)

    def call(self, x, encoded, training):
        """The output for x and an encoded condition `[B, R]` or `[1, R]`."""
        return self.through(lambda layer, *inputs: layer(*inputs, training=training), x, encoded)

    def weight_shapes(self):
        """The shapes of the weights that depend on the condition, by name, without the batch."""
        return {}

    def conditions(self, encoded):
        """Pairs of each hyper layer of the step and the z that it takes."""
        return []

    def generate(self, encoded):
        """The weights that depend on the condition, by name: tensors `[B, *shape]`."""
        return {}

    def apply(self, x, weights):
        """The output for x with weights that `generate` returned."""
        return self.call(x, None, training=False)

    def specialize(self, encoded):
        """The unbuilt Keras layer that equals the step for one condition, and its weights as arrays."""
        return self.layer.__class__.from_config(self.layer.get_config()), self.layer.get_weights()


class Conditioned(Plain):
    """A layer of x and z that does not generate weights."""

    def through(self, visit, x, encoded):
        return visit(self.layer, x, encoded)

    def weight_shapes(self):
        raise ValueError(
            f"Layer {self.layer.name!r} of class {type(self.layer).__name__} needs the condition itself, not only "
            "generated weights: call the model."
        )

    def specialize(self, encoded):
        raise ValueError(
            f"No network of x alone is known for layer {self.layer.name!r} of class {type(self.layer).__name__}, which "
            "takes the condition itself."
        )


class Generated(Conditioned):
    """A `HyperLayer`: a conditioned step that generates its weights."""

    def weight_shapes(self):
        return self.layer.generated_shapes

    def conditions(self, encoded):
        return [(self.layer, encoded)]

    def generate(self, encoded):
        return self.layer.generate(encoded)

    def apply(self, x, weights):
        return self.layer(x, weights)  # a call, because Keras passes masks to layers that it calls

    def specialize(self, encoded):
        return self.layer.specialize(encoded)


class Unjoined(Conditioned):
    """A `ConcatenateCondition` that no Dense layer follows: nothing can be computed from the condition alone."""

    def __init__(self, layer, following):
        super().__init__(layer)
        self.following = following

    def _refuse(self, encoded=None):
        received = type(self.following).__name__ if self.following is not None else "no layer"
        mode = getattr(self.following, "quantization_mode", None)
        if mode is not None:
            received = f"a {received} quantized to {mode}; quantize what `specialize` returns instead"
        raise ValueError(f"ConcatenateCondition must be followed by a Dense layer here. Received: {received}")

    weight_shapes = generate = specialize = _refuse


class Joined(Plain):
    """`dense([x, z])`, computed as `x . kernel_x + z . kernel_z + bias`: only a bias depends on z (paper, Sec. 4.1)."""

    def __init__(self, join, dense):
        super().__init__(dense)
        self.join = join

    def through(self, visit, x, encoded):
        return visit(self.layer, visit(self.join, x, encoded))

    def call(self, x, encoded, training):
        if self.layer.activity_regularizer is not None:  # Keras adds the penalty in the call of the layer
            return super().call(x, encoded, training)
        check_shapes(x.shape, encoded.shape)
        kernel = self._kernel()[x.shape[-1] :]
        product = encoded.times(kernel) if isinstance(encoded, Product) else _matmul(encoded, kernel)
        return self._sum(x, product, self.layer.use_bias)

    def weight_shapes(self):
        return {"bias": (self.layer.units,)}

    def generate(self, encoded):
        bias = ops.matmul(encoded, self.layer.kernel[-encoded.shape[-1] :])
        return {"bias": bias + self.layer.bias if self.layer.use_bias else bias}

    def apply(self, x, weights):
        bias = ops.cast(weights["bias"], self.layer.compute_dtype)
        return self._sum(x, match_batch(x, bias, "bias"), use_bias=False)

    def specialize(self, encoded):
        weights = self.layer.kernel[: -encoded.shape[-1]], self.generate(encoded)["bias"][0]
        # The attribute `kernel` includes the update by LoRA.
        config = {**self.layer.get_config(), "use_bias": True, "lora_rank": None, "lora_alpha": None}
        return keras.layers.Dense.from_config(config), [ops.convert_to_numpy(weight) for weight in weights]

    def _kernel(self):
        return ops.cast(self.layer.kernel, self.layer.compute_dtype)

    def _sum(self, x, term, use_bias):
        """`activation(x . kernel_x + term)`, for a term `[B, units]` or `[1, units]`; adds the bias if `use_bias`."""

        def dense(x):
            y = _matmul(x, self._kernel()[: x.shape[-1]]) + align(term, len(x.shape))
            return self.layer.activation(y + ops.cast(self.layer.bias, y.dtype) if use_bias else y)

        return keep_mask(x, dense)


class Product:
    """The encoded condition `dense(inputs)` of a Dense layer without an activation, not yet computed."""

    def __init__(self, inputs, dense):
        self.inputs, self.dense = inputs, dense
        self.shape = (inputs.shape[0], dense.units)

    def times(self, kernel):
        """`dense(inputs) . kernel`, with the product of both kernels computed first."""
        y = _matmul(self.inputs, _matmul(self.dense.kernel, kernel))
        return y + _matmul(ops.expand_dims(self.dense.bias, axis=0), kernel) if self.dense.use_bias else y


def _matmul(x, kernel):
    return ops.matmul(ops.cast(x, kernel.dtype), kernel)


def steps(layers):
    """Returns the steps of a list of layers.

    >>> layers = [keras.layers.Flatten(), ConcatenateCondition(), keras.layers.Dense(2)]
    >>> [type(step).__name__ for step in steps(layers)]
    ['Plain', 'Joined']
    """
    made, pairs = [], itertools.pairwise([*layers, None])
    for layer, following in pairs:
        if type(layer) is not ConcatenateCondition:  # a subclass may compute something else
            kind = Generated if isinstance(layer, HyperLayer) else Conditioned
            made.append((kind if isinstance(layer, ConditionedLayer) else Plain)(layer))
        elif is_foldable(following):
            made.append(Joined(layer, following))
            next(pairs)  # the Dense layer is part of the step
        else:
            made.append(Unjoined(layer, following))
    return made


def is_foldable(layer):
    """Whether a layer is a Dense layer, but not of a subclass, which may compute something else."""
    return type(layer) is keras.layers.Dense and layer.quantization_mode is None


def shapes(made, follow, x_shape, encoded_shape):
    """The shapes of x after each step, if `follow(layer, *shapes)` returns the output shape of a layer."""
    return [x_shape := step.through(follow, x_shape, encoded_shape) for step in made]


def free_sizes_of_x(made, x_shape, encoded_shape):
    """The shape of x with None for each size that may change, such as the number of points, but not before a Flatten.

    A size is free if all layers accept another size, and the numbers of features of all outputs stay the same.
    """

    def features(axis, size):
        changed = (*x_shape[:axis], size, *x_shape[axis + 1 :])
        return [shape[-1] for shape in shapes(made, output_shape, changed, encoded_shape)]

    def is_free(axis):
        size = x_shape[axis]
        try:
            # Not one more, because the stride of a convolution may ignore one more.
            return size is None or features(axis, size) == features(axis, 2 * size + 1)
        except ValueError:  # a layer does not accept another size
            return False

    return (None, *(None if is_free(axis) else x_shape[axis] for axis in range(1, len(x_shape) - 1)), *x_shape[1:][-1:])


def by_name(made, method, *args):
    """The results of all steps for a method such as `Plain.generate`, as one dict by `"<layer>/<weight>"`."""
    named = ((step.prefix, getattr(step, method)(*args)) for step in made)
    return {f"{prefix}{name}": value for prefix, values in named for name, value in values.items()}


def checked_weight(x, name, weight, shape):
    """A weight as a tensor; raises ValueError if the shape does not fit the generated weight."""
    weight, x = ops.convert_to_tensor(weight), keras.tree.flatten(x)[0]
    received = static_shape(weight.shape)
    if not (fits(received[1:], shape) and may_match(x.shape[0], received[0])):
        shared, own = (1, *shape), (x.shape[0], *shape)
        raise ValueError(
            f"Weight {name!r} must have the shape {shared}, for all x, or {own}, for each x. Received: shape {received}"
        )
    return weight
