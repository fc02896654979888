"""ConditionalModel: what the models of x and a condition I have in common.

Each is an encoder, which reads the condition, and a list of primary layers, which read x; the layers
among them that are a `ConditionedLayer` also receive what the encoder made of the condition.
"""

import keras
from keras import ops

from keras_hypernet.layers import ConditionedLayer, HyperLayer
from keras_hypernet.layers.base import match_batch
from keras_hypernet.layers.concatenate import joins
from keras_hypernet.models.apply import apply_weights
from keras_hypernet.models.conditions import as_declared, check_condition, declared_inputs, free_sizes, symbolic
from keras_hypernet.models.inputs import ModelOfTwoInputs
from keras_hypernet.models.shapes import build_on, check_shape, output_shape, split_inputs
from keras_hypernet.models.specialize import folded_bias


def checked_encoder(name, encoder):
    """Returns the encoder that a model was given as its argument `name`; raises TypeError if it is no layer."""
    if not isinstance(encoder, keras.Layer):
        raise TypeError(f"`{name}` must be a `keras.Model` or layer. Received: {type(encoder).__name__}")
    return encoder


class ConditionalModel(ModelOfTwoInputs):
    """Abstract: a model of the inputs `x` and `condition`, given as a dict or as a pair.

    A subclass names its encoder in `encoder`, and says in `num_parameters` what its parts are called. If
    its conditions are made of several things that the encoder reads, it says so in `encoder_shape` and
    `encode`; what else it takes in a dict, it lists in `optional_inputs`, and `encode` takes it by name.

    The batch rule: to x of B rows belongs one condition, `[1, ...]`, for all of them, or one for each, `[B, ...]`. It
    also holds for weights and embeddings in the place of a condition. Any other number is an error: a ValueError where
    the sizes are known; in a function that is compiled without them, an error of the backend when the function runs.
    """

    def __init__(self, primary, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(primary, (list, tuple)):
            raise TypeError(f"`primary` must be a list of layers; of a Sequential, its `.layers`. Received: {primary}")
        others = [type(layer).__name__ for layer in primary if not isinstance(layer, keras.Layer)]
        if others:
            raise TypeError(f"`primary` must be a flat list of layers. Received among them: {', '.join(others)}")
        names = [layer.name for layer in primary]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`primary` must be a list of layers with distinct names. Received the names {names}")
        self.primary = list(primary)

    @property
    def encoder(self):
        """The part that reads the condition, a `keras.Model` or layer."""
        raise NotImplementedError

    def build(self, input_shape):
        # A tuple from now on: `tf.train.Checkpoint` saves the layers of a tuple, and not those of Keras's own list.
        self.primary = tuple(self.primary)
        x_shape, condition_shape, _ = split_inputs(input_shape, self.optional_inputs)
        self.x_shape = tuple(x_shape)
        encoder_shape = self.encoder_shape(condition_shape)
        declared = declared_inputs(self.encoder, symbolic(encoder_shape))
        encoded_shape = build_on(self.encoder, encoder_shape)
        self.condition_shape = self.condition_shape_of(free_sizes(self.encoder, encoder_shape, declared, encoded_shape))
        for layer in self.primary:
            shapes = (x_shape, encoded_shape) if isinstance(layer, ConditionedLayer) else (x_shape,)
            x_shape = build_on(layer, *shapes)

    def get_build_config(self):
        # With None for the sizes that are free, which an encoder that declares no inputs does not say again.
        return {"input_shape": {"x": self.x_shape, "condition": self.condition_shape}} if self.built else None

    def call(self, inputs, training=False):
        # Handed on by name, as Keras asks of models with a `call` of their own: with JAX no context tells the layers.
        # Never as None, with which some layers, such as RandomFlip, do what they do in training.
        training = bool(training)
        x, condition, options = split_inputs(inputs, self.optional_inputs)
        x = self.check_x(x)
        encoded = match_batch(x, self.encode(condition, **options, training=training))
        for layer in self.primary:
            inputs = (x, encoded) if isinstance(layer, ConditionedLayer) else (x,)
            x = layer(*inputs, training=training)
        return x

    def compute_output_shape(self, input_shape):
        x_shape, condition_shape, _ = split_inputs(input_shape, self.optional_inputs)
        encoded_shape = output_shape(self.encoder, self.encoder_shape(condition_shape))
        for layer in self.primary:
            shapes = (x_shape, encoded_shape) if isinstance(layer, ConditionedLayer) else (x_shape,)
            x_shape = output_shape(layer, *shapes)
        return x_shape

    def compute_output_spec(self, *args, **kwargs):
        # Of mixed precision, the last layer is often exempt.
        shape = super().compute_output_spec(*args, **kwargs).shape
        return keras.KerasTensor(shape, dtype=self.primary[-1].compute_dtype)

    def encoder_shape(self, condition_shape):
        """The shape that the encoder is applied to, for conditions of a shape; of a structure, a structure."""
        return condition_shape

    def condition_shape_of(self, encoder_shape):
        """The opposite: the shape of the conditions of which the encoder is applied to such a shape."""
        return encoder_shape

    def encode(self, condition, training=False):
        """What the primary layers receive: the last hidden layer of f, or the embedding e(I), `[B, R]`."""
        self.check_condition(condition)
        return self.apply_encoder(condition, training=training)

    def check_condition(self, condition):
        """Raises an error unless the model was built for conditions of this structure and these shapes."""
        self.check_built("encode")
        check_condition(condition, self.condition_shape)

    def apply_encoder(self, condition, layers=None, training=False):
        """The encoder's output, or that of the first of its layers; where it reads images, only on uint8 pixels."""
        # A functional model casts what it is given to the dtype of its input, without a word.
        condition = as_declared(condition, declared_inputs(self.encoder, condition), self.encoder.name)
        if layers is None:
            return self.encoder(condition, training=training)
        for layer in layers:
            condition = layer(condition, training=training)
        return condition

    def generate(self, condition, **options):
        """Writes the weights theta_I that depend on the condition.

        In the embedding method these are the biases of the layer that reads `[x, e(I)]` (paper, Sec. 4.1).

        Args:
            condition: Tensor `[B, ...]`, as in the model's input.
            **options: The model's optional inputs, by name; `training=True` for random layers in the encoder to act.

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
            elif joins(layer):
                weights[f"{following.name}/bias"] = folded_bias(following, encoded)
        return weights

    def apply(self, x, weights):
        """The output on x under weights that `generate` returned earlier, so that they are written once for many x.

        Args:
            x: Tensor `[B, ...]`, as in the model's input.
            weights: The dict of `generate`, of tensors `[1, *shape]` for all of x, or `[B, *shape]` for each x.

        Returns:
            What the model returns for x and the condition of those weights, but for rounding.

        Raises:
            ValueError: If the model has not been built, x has another shape, or not exactly these weights are given.
        """
        self.check_built("apply")
        return apply_weights(self, self.check_x(ops.convert_to_tensor(x)), weights)

    def check_x(self, x):
        """Returns x in the dtype that the first primary layer declares; raises ValueError if it has another shape."""
        check_shape("x", x.shape, self.x_shape)
        first = self.primary[0]
        return as_declared(x, declared_inputs(first, x), first.name)

    def check_built(self, method):
        """Raises ValueError unless the model has weights, which `method` needs."""
        if not self.built:
            raise ValueError(f"Model {self.name!r} has no weights yet: call it on x and a condition before `{method}`.")

    def save(self, filepath, *args, **kwargs):
        """As in every Keras model, in the format `.keras`.

        Raises:
            ValueError: If the file name ends in `.h5` or `.hdf5`, the older format, from which Keras cannot load it.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "This model is saved in the format `.keras`, as in `model.save('model.keras')`; its weights alone by "
                f"`model.save_weights('model.weights.h5')`. Received: {str(filepath)!r}"
            )
        super().save(filepath, *args, **kwargs)

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
