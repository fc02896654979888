"""ConditionalModel: the common base of the models of x and a condition I.

A model is an encoder, which reads the condition, and a list of primary layers, which read x. A primary layer that is a
`ConditionedLayer` also receives the encoded condition.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_hypernet.bases.sharing import shared_bases
from keras_hypernet.common.files import replacing_folder, write_json
from keras_hypernet.common.parsing import read_json
from keras_hypernet.layers.base import HyperLayer, match_batch
from keras_hypernet.models.conditions import (
    as_declared,
    check_arrays,
    check_condition,
    check_finite,
    check_numbers,
    declared_inputs,
    free_sizes,
    symbolic,
)
from keras_hypernet.models.graphs import is_graph
from keras_hypernet.models.networks import FunctionalNetwork, ListOfLayers
from keras_hypernet.models.primary import by_name, checked_weight, shapes
from keras_hypernet.models.shapes import build_on, output_shape, split_inputs

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"  # of a preset


def checked_encoder(name, encoder):
    """Returns the encoder, the argument `name` of a model; raises TypeError if the encoder is not a layer."""
    if not isinstance(encoder, keras.Layer):
        raise TypeError(f"`{name}` must be a `keras.Model` or layer. Received: {type(encoder).__name__}")
    return encoder


class ConditionalModel(keras.Model):
    """Abstract: a model of the inputs `x` and `condition`, given as a dict or as a pair.

    A subclass sets `encoder_name`, the name of the argument and attribute that is the encoder, and implements
    `num_parameters`. If the encoder reads parts of a condition, such as the members of a set, the subclass overrides
    `encoder_shape`, `condition_shape_of` and `encode`. `optional_inputs` lists further keys of the dict of inputs,
    which `encode` takes by name; their values may be lists of numbers. `fit`, `evaluate` and `predict` also take one
    condition for all x.

    The batch rule: x of B rows takes one condition for all rows, `[1, ...]`, or one for each row, `[B, ...]`. The rule
    also holds for weights and embeddings instead of a condition. Any other number is an error: a ValueError if the
    sizes are known, and an error of the backend at run time in a function that is compiled without the sizes.
    """

    encoder_name: str
    optional_inputs: tuple[str, ...] = ()
    takes_graph = False  # whether the primary network may be a functional model

    def __init__(self, primary: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = (FunctionalNetwork if self.takes_graph and is_graph(primary) else ListOfLayers)(primary)
        self.primary = self.network.value

    @property
    def encoder(self):
        """The network that reads the condition, a `keras.Model` or layer."""
        return getattr(self, self.encoder_name)

    @property
    def x_shape(self):
        """The shape of x, or a structure of shapes, that the model was built for."""
        return self.network.x_shape

    def build(self, input_shape):
        x_shape, condition_shape, _ = split_inputs(input_shape, self.optional_inputs)
        encoder_shape = self.encoder_shape(condition_shape)
        declared = declared_inputs(self.encoder, symbolic(encoder_shape))
        encoded_shape = build_on(self.encoder, encoder_shape)
        self.condition_shape = self.condition_shape_of(free_sizes(self.encoder, encoder_shape, declared, encoded_shape))
        self.network.build(x_shape, encoded_shape)

    def get_build_config(self):
        # With None for each free size, because an encoder without declared inputs does not save its free sizes.
        return {"input_shape": {"x": self.x_shape, "condition": self.condition_shape}} if self.built else None

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

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in every Keras model; a condition as in `fit`."""
        return super().predict(self._one_for_each(x), *args, **kwargs)

    def _checked(self, inputs):
        """The inputs, with optional inputs as arrays. Keras's error for lists is less clear."""
        x, condition, options = split_inputs(inputs, self.optional_inputs)
        check_arrays("x", x)
        if self.built:  # not in `call`: on JAX, an error within `predict` deletes the values of a Keras model
            self.network.check_x(x)
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
        if not (isinstance(data, Mapping) or (isinstance(data, (tuple, list)) and len(data) == 2)):
            return data
        x, condition, options = split_inputs(self._checked(data), self.optional_inputs)
        others, rows = {"condition": condition, **options}, keras.tree.flatten(x)[0].shape[0]
        if rows != 1 and all(part.shape[0] == 1 for part in keras.tree.flatten(others)):
            others = keras.tree.map_structure(lambda part: ops.broadcast_to(part, (rows, *part.shape[1:])), others)
        return {"x": x, **others}

    def call(self, inputs, training=False):
        # A model with its own `call` must pass `training` by name, because on JAX no context carries it to the layers.
        # Never None: with None, some layers, such as RandomFlip, act as in training.
        training = bool(training)
        for layer in self.network.layers:
            if self.compiled and isinstance(layer, HyperLayer):
                layer.compiled_by_xla = self.jit_compile
        x, condition, options = split_inputs(inputs, self.optional_inputs)
        x = self.network.check_x(x)
        return self._call_primary(x, self.encode_for(x, condition, **options, training=training), training)

    def _call_primary(self, x, encoded, training=False):
        for step in self.network.steps:
            x = step.call(x, encoded, training)
        return x

    def compute_output_shape(self, input_shape):
        x_shape, condition_shape, _ = split_inputs(input_shape, self.optional_inputs)
        encoded_shape = output_shape(self.encoder, self.encoder_shape(condition_shape))
        return shapes(self.network.steps, output_shape, x_shape, encoded_shape)[-1]

    def compute_output_spec(self, *args, **kwargs):
        spec = super().compute_output_spec(*args, **kwargs)
        specs = zip(keras.tree.flatten(spec), self.network.output_dtypes, strict=True)
        return keras.tree.pack_sequence_as(spec, [keras.KerasTensor(each.shape, dtype) for each, dtype in specs])

    def encoder_shape(self, condition_shape):
        """The shape, or structure of shapes, of the encoder's input for conditions of such a shape or structure."""
        return condition_shape

    def condition_shape_of(self, encoder_shape):
        """The inverse of `encoder_shape`: the shape of conditions for a shape of the encoder's input."""
        return encoder_shape

    def encode(self, condition: Any, training: bool = False) -> Any:
        """The encoded condition `[B, R]`: the last hidden layer of f, or the embedding e(I)."""
        self.check_condition(condition)
        return self.apply_encoder(condition, training=training)

    def encode_for(self, x, condition, **options):
        """The encoded condition as the steps of `call` take it, checked by the batch rule."""
        return self._matched(x, self.encode(condition, **options))

    def _matched(self, x, encoded, name="condition"):
        first = keras.tree.flatten(x)[0]
        return keras.tree.map_structure(lambda part: match_batch(first, part, name), encoded)

    def check_condition(self, condition):
        """Raises an error unless the model was built for conditions of this structure and these shapes."""
        self.check_built("encode")
        check_condition(condition, self.condition_shape)

    def apply_encoder(self, condition, layers=None, training=False):
        """The output of the encoder, or of its first layers. An encoder of images takes only uint8 pixels."""
        # A functional model silently casts its inputs to the dtypes that it declares.
        condition = as_declared(condition, declared_inputs(self.encoder, condition), self.encoder.name)
        check_numbers(self.encoder, condition)
        if layers is None:
            return self.encoder(condition, training=training)
        for layer in layers:
            condition = layer(condition, training=training)
        return condition

    def generate(self, condition: Any, **options: Any) -> dict[str, Any]:
        """Writes the weights theta_I that depend on the condition.

        In the embedding method these are the biases of the layer that reads `[x, e(I)]` (paper, Sec. 4.1).

        Args:
            condition: Tensor `[B, ...]`, as in the model's input.
            **options: The model's optional inputs, by name. With `training=True`, random layers of the encoder are
                active.

        Returns:
            A dict from `"<layer>/<weight>"` to a tensor `[B, *weight_shape]`.

        Raises:
            ValueError: If the model has not been built, the condition is not finite or no number of a task, or a
                `ConcatenateCondition` is not followed by a Dense layer.
        """
        self.check_built("generate")
        self.check_condition(condition)
        check_finite(condition)
        return by_name(self.network.steps, "generate", self.encode(condition, **options))

    def apply(self, x: Any, weights: Mapping[str, Any]) -> Any:
        """The output for x with weights that `generate` returned, which may be used for many x.

        Args:
            x: Tensor `[B, ...]`, as in the model's input.
            weights: The dict that `generate` returns, of tensors `[1, *shape]` for all x, or `[B, *shape]` for each x.

        Returns:
            The model's output for x and the condition of those weights, up to rounding.

        Raises:
            ValueError: If the model has not been built, x has another shape, or a weight is missing, unknown or of
                another shape.
        """
        self.check_built("apply")
        x, steps = self.network.check_x(_tensors(x)), self.network.steps
        expected = by_name(steps, "weight_shapes")
        if set(weights) != set(expected):
            raise ValueError(
                f"`weights` must be those that `generate` returns: {sorted(expected)}. Received: {sorted(weights)}"
            )
        weights = {name: checked_weight(x, name, weights[name], shape) for name, shape in expected.items()}
        for step in steps:
            x = step.apply(x, {name: weights[f"{step.prefix}{name}"] for name in step.weight_shapes()})
        return x

    def apply_encoded(self, x: Any, encoded: Any) -> Any:
        """The output for x and a tensor `[B, R]`, or `[1, R]` for all x, that `encode` returned."""
        x = self.network.check_x(_tensors(x))
        return self._call_primary(x, self._matched(x, encoded, "encoded"))

    def check_built(self, method):
        """Raises ValueError unless the model has weights, which `method` needs."""
        if not self.built:
            raise ValueError(f"Model {self.name!r} has no weights yet: call it on x and a condition before `{method}`.")

    def save(self, filepath, *args, **kwargs):
        """As in every Keras model, in the format `.keras`.

        Raises:
            ValueError: If the file name ends in `.h5` or `.hdf5`, an older format, which Keras could not load.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "This model is saved in the format `.keras`, as in `model.save('model.keras')`. To save only its "
                f"weights, call `model.save_weights('model.weights.h5')`. Received: {str(filepath)!r}"
            )
        super().save(filepath, *args, **kwargs)

    def save_to_preset(self, preset_dir: str | os.PathLike[str]) -> None:
        """Saves the model as a folder like a KerasHub preset: `config.json`, `metadata.json`, `model.weights.h5`.

        Args:
            preset_dir: Path of the folder, which is written atomically. An existing folder is replaced.

        Raises:
            ValueError: If the model has not been built.
            NotWritableError: If the folder takes no files.
        """
        self.check_built("save_to_preset")
        facts = {"keras_version": keras.__version__, "parameter_count": self.count_params()}
        with replacing_folder(pathlib.Path(preset_dir)) as temporary:
            write_json(temporary / _CONFIG, keras.saving.serialize_keras_object(self))
            write_json(temporary / "metadata.json", facts)
            self.save_weights(temporary / _WEIGHTS)

    @classmethod
    def from_preset(cls, preset: str | os.PathLike[str], load_weights: bool = True) -> Any:
        """Loads a folder of `save_to_preset` in Keras's safe mode. The model is compiled if it was compiled when saved.

        Args:
            preset: Path of the folder.
            load_weights: Whether to load the weights; otherwise they are initialized randomly.

        Raises:
            ValueError: If files of the folder are missing or damaged.
            TypeError: If the folder holds a model of another class.
        """
        folder = pathlib.Path(preset)
        for name in (_CONFIG, _WEIGHTS)[: 1 + load_weights]:
            if not (folder / name).is_file():
                raise ValueError(f"{folder} must be a folder that `save_to_preset` has written. It has no {name}")
        config = read_json(
            folder / _CONFIG, {"type": "object"}, "the configuration of a model", "Save the preset again."
        )
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not isinstance(model, cls):
            raise TypeError(f"{folder} must hold a model of class {cls.__name__}. Received: {type(model).__name__}")
        if load_weights:
            model.load_weights(folder / _WEIGHTS)
        return model

    def get_config(self):
        with shared_bases([]) as bases:
            primary = list(self.primary) if isinstance(self.primary, tuple) else self.primary
            config = {**super().get_config(), "primary": keras.saving.serialize_keras_object(primary)}
        if bases:
            config["bases"] = [keras.saving.serialize_keras_object(basis) for basis in bases]
        return {**config, self.encoder_name: keras.saving.serialize_keras_object(self.encoder)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def made(value):
            return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)

        config = dict(config)
        with shared_bases(made(config.pop("bases", []))):
            parts = {name: made(value) for name, value in config.items() if isinstance(value, (dict, list))}
        return cls(**{**config, **parts})


def _tensors(x):
    return keras.tree.map_structure(ops.convert_to_tensor, x)
