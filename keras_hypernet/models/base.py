"""ConditionalModel: what the models of x and a condition I have in common, and the checks of their inputs.

Each is an encoder, which reads the condition, and a list of primary layers, which read x; the layers
among them that are a `ConditionedLayer` also receive what the encoder made of the condition.
"""

import collections.abc

import keras
from keras import ops

from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer, HyperLayer
from keras_hypernet.layers.image import check_pixels
from keras_hypernet.models.apply import apply_weights
from keras_hypernet.models.specialize import folded_bias


class ConditionalModel(keras.Model):
    """Abstract: a model of the inputs `x` and `condition`, given as a dict or as a pair.

    A subclass names its encoder in `encoder`, and says in `num_parameters` what its parts are called. If
    its conditions are made of several things that the encoder reads, it says so in `encoder_shape` and
    `encode`; what else it takes in a dict, it lists in `optional_inputs`, and `encode` takes it by name.
    """

    optional_inputs = ()

    def __init__(self, primary, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(primary, (list, tuple)):
            raise TypeError(f"`primary` must be a list of layers; of a Sequential, its `.layers`. Received: {primary}")
        names = [layer.name for layer in primary]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`primary` must be a list of layers with distinct names. Received the names {names}")
        self.primary = list(primary)

    @property
    def encoder(self):
        """The part that reads the condition, a `keras.Model` or layer."""
        raise NotImplementedError

    def build(self, input_shape):
        x_shape, condition_shape, _ = split_inputs(input_shape, self.optional_inputs)
        self.x_shape, self.condition_shape = tuple(x_shape), tuple(condition_shape)
        encoder_shape = self.encoder_shape(self.condition_shape)
        if not self.encoder.built:
            self.encoder.build(encoder_shape)
        encoded_shape = self.encoder.compute_output_shape(encoder_shape)
        for layer in self.primary:
            shapes = (x_shape, encoded_shape) if isinstance(layer, ConditionedLayer) else (x_shape,)
            if not layer.built:
                layer.build(*shapes)
            x_shape = layer.compute_output_shape(*shapes)

    def call(self, inputs):
        x, condition, options = split_inputs(inputs, self.optional_inputs)
        check_shape("x", x.shape, self.x_shape)
        encoded = self.encode(condition, **options)
        for layer in self.primary:
            x = layer(x, encoded) if isinstance(layer, ConditionedLayer) else layer(x)
        return x

    def compute_output_shape(self, input_shape):
        x_shape, condition_shape, _ = split_inputs(input_shape, self.optional_inputs)
        encoded_shape = self.encoder.compute_output_shape(self.encoder_shape(tuple(condition_shape)))
        for layer in self.primary:
            shapes = (x_shape, encoded_shape) if isinstance(layer, ConditionedLayer) else (x_shape,)
            x_shape = layer.compute_output_shape(*shapes)
        return x_shape

    def encoder_shape(self, condition_shape):
        """The shape that the encoder is applied to, for conditions of a shape."""
        return condition_shape

    def encode(self, condition):
        """What the primary layers receive: the last hidden layer of f, or the embedding e(I), `[B, R]`."""
        self.check_condition(condition)
        return self.apply_encoder(condition)

    def check_condition(self, condition):
        """Raises ValueError unless the model was built for conditions of this shape."""
        self.check_built("encode")
        check_shape("condition", condition.shape, self.condition_shape)

    def apply_encoder(self, condition, layers=None):
        """The encoder's output, or that of the first of its layers; where it reads images, only on uint8 pixels."""
        declared = getattr(self.encoder, "inputs", None)
        if declared and keras.backend.standardize_dtype(declared[0].dtype) == "uint8":
            # A functional model casts what it is given to the dtype of its input, without a word.
            check_pixels(ops.convert_to_tensor(condition), self.encoder.name)
        if layers is None:
            return self.encoder(condition)
        for layer in layers:
            condition = layer(condition)
        return condition

    def generate(self, condition, **options):
        """Writes the weights theta_I that depend on the condition.

        In the embedding method these are the biases of the layer that reads `[x, e(I)]` (paper, Sec. 4.1).

        Args:
            condition: Tensor `[B, ...]`, as in the model's input.
            **options: The model's optional inputs, by name.

        Returns:
            A dict from `"<layer>/<weight>"` to a tensor `[B, *weight_shape]`.

        Raises:
            ValueError: If the model has not been built, or a `ConcatenateCondition` is not followed by a Dense layer.
        """
        self.check_built("generate")
        encoded = self.encode(condition, **options)
        weights = {}
        for layer, following in zip(self.primary, [*self.primary[1:], None], strict=True):
            if isinstance(layer, HyperLayer):
                generated = layer.generate(encoded)
                weights.update({f"{layer.name}/{name}": weight for name, weight in generated.items()})
            elif isinstance(layer, ConcatenateCondition):
                weights[f"{following.name}/bias"] = folded_bias(following, encoded)
        return weights

    def apply(self, x, weights):
        """The output on x under weights that `generate` returned earlier, so that they are written once for many x.

        Args:
            x: Tensor `[B, ...]`, as in the model's input.
            weights: The dict of `generate`, of tensors `[B, *shape]`, or `[1, *shape]` for all of x.

        Returns:
            What the model returns for x and the condition of those weights, but for rounding.

        Raises:
            ValueError: If the model has not been built, x has another shape, or not exactly these weights are given.
        """
        self.check_built("apply")
        x = ops.convert_to_tensor(x)
        check_shape("x", x.shape, self.x_shape)
        return apply_weights(self, x, weights)

    def check_built(self, method):
        """Raises ValueError unless the model has weights, which `method` needs."""
        if not self.built:
            raise ValueError(f"Model {self.name!r} has no weights yet: call it on x and a condition before `{method}`.")

    def get_config(self):
        return {
            **super().get_config(),
            "primary": [keras.saving.serialize_keras_object(layer) for layer in self.primary],
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
            for name, value in config.items()
            if isinstance(value, (dict, list))
        }
        return cls(**{**config, **parts})


def split_inputs(inputs, optional):
    """Splits inputs, or their shapes, into those of x, of the condition, and a dict of those in `optional`."""
    required = {"x", "condition"}
    if isinstance(inputs, collections.abc.Mapping):
        if required <= set(inputs) <= {*required, *optional}:
            return inputs["x"], inputs["condition"], {name: inputs[name] for name in optional if name in inputs}
        received = f"a dict with the keys {sorted(inputs)}"
    else:
        if isinstance(inputs, (tuple, list)) and len(inputs) == 2:
            return (*inputs, {})
        received = type(inputs).__name__
    others = f"; the dict may also hold {' or '.join(map(repr, optional))}" if optional else ""
    raise ValueError(
        f"Inputs must be a dict with the keys 'x' and 'condition', or a pair of them{others}. Received: {received}"
    )


def check_shape(name, shape, built):
    """Raises ValueError unless a shape is the one that a model was built for, any batch and number of points aside."""
    shape = static_shape(shape)
    # x of [B, features] may become [B, P, features] and the other way round; images keep their shape.
    vectors = name == "x" and {len(shape), len(built)} <= {2, 3}
    received, expected = (shape[-1:], built[-1:]) if vectors else (shape[1:], built[1:])
    if not fits(received, expected):
        raise ValueError(f"The model was built for `{name}` of shape {(None, *built[1:])}. Received: {in_words(shape)}")


def fits(shape, expected):
    """Whether a shape is the expected one, in which None stands for any dimension."""
    return len(shape) == len(expected) and all(e is None or e == r for r, e in zip(shape, expected, strict=True))


def in_words(shape):
    """What an error says was received, when it was a shape that `static_shape` returned."""
    note = " (None: another dimension than in an earlier call)" if None in shape[1:] else ""
    return f"{shape or 'another number of dimensions than in an earlier call'}{note}"


def static_shape(shape):
    """A shape as a tuple: of a traced function that has been called with tensors of several ranks, ()."""
    try:
        return tuple(shape)
    except ValueError:
        return ()
