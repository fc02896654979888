"""The two ways to let a condition I act on x: `Hypernetwork`, g(x; f(I)), and `EmbeddingMethod`, q(x, e(I)).

Both are an encoder, which reads the condition, and a list of primary layers, which read x; the layers
among them that are a `ConditionedLayer` also receive what the encoder made of the condition.
"""

import collections.abc

import keras
from keras import ops

from keras_hypernet.layers import ConcatenateCondition, ConditionedLayer, HyperLayer, StandardizeImage
from keras_hypernet.layers.image import check_pixels


class ConditionalModel(keras.Model):
    """Abstract: a model of the inputs `x` and `condition`, given as a dict or as a pair.

    A subclass names its encoder in `encoder`, and says in `num_parameters` what its parts are called.
    """

    def __init__(self, primary, **kwargs):
        super().__init__(**kwargs)
        names = [layer.name for layer in primary]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`primary` must be a list of layers with distinct names. Received the names {names}")
        self.primary = list(primary)

    @property
    def encoder(self):
        """The part that reads the condition, a `keras.Model` or layer."""
        raise NotImplementedError

    def build(self, input_shape):
        x_shape, condition_shape = _pair(input_shape)
        self.x_shape, self.condition_shape = tuple(x_shape), tuple(condition_shape)
        if not self.encoder.built:
            self.encoder.build(condition_shape)
        encoded_shape = self.encoder.compute_output_shape(condition_shape)
        for layer in self.primary:
            shapes = (x_shape, encoded_shape) if isinstance(layer, ConditionedLayer) else (x_shape,)
            if not layer.built:
                layer.build(*shapes)
            x_shape = layer.compute_output_shape(*shapes)

    def call(self, inputs):
        x, condition = _pair(inputs)
        _check_shape("x", x.shape, self.x_shape)
        _check_shape("condition", condition.shape, self.condition_shape)
        encoded = self.encode(condition)
        for layer in self.primary:
            x = layer(x, encoded) if isinstance(layer, ConditionedLayer) else layer(x)
        return x

    def compute_output_shape(self, input_shape):
        x_shape, condition_shape = _pair(input_shape)
        encoded_shape = self.encoder.compute_output_shape(condition_shape)
        for layer in self.primary:
            shapes = (x_shape, encoded_shape) if isinstance(layer, ConditionedLayer) else (x_shape,)
            x_shape = layer.compute_output_shape(*shapes)
        return x_shape

    def encode(self, condition):
        """What the primary layers receive: the last hidden layer of f, or the embedding e(I), `[B, R]`."""
        declared = getattr(self.encoder, "inputs", None)
        if declared and keras.backend.standardize_dtype(declared[0].dtype) == "uint8":
            # A functional model casts what it is given to the dtype of its input, without a word.
            check_pixels(ops.convert_to_tensor(condition), self.encoder.name)
        return self.encoder(condition)

    def generate(self, condition):
        """Writes the weights theta_I that depend on the condition.

        In the embedding method these are the biases of the layer that reads `[x, e(I)]` (paper, Sec. 4.1).

        Args:
            condition: Tensor `[B, ...]`, as in the model's input.

        Returns:
            A dict from `"<layer>/<weight>"` to a tensor `[B, *weight_shape]`.

        Raises:
            ValueError: If the model has not been built, or a `ConcatenateCondition` is not followed by a Dense layer.
        """
        self.check_built("generate")
        encoded = self.encode(condition)
        weights = {}
        for layer, following in zip(self.primary, [*self.primary[1:], None], strict=True):
            if isinstance(layer, HyperLayer):
                generated = layer.generate(encoded)
                weights.update({f"{layer.name}/{name}": weight for name, weight in generated.items()})
            elif isinstance(layer, ConcatenateCondition):
                weights[f"{following.name}/bias"] = _folded_bias(following, encoded)
        return weights

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


@keras.saving.register_keras_serializable(package="keras_hypernet")
class Hypernetwork(ConditionalModel):
    """`h(x, I) = g(x; f(I))`: a network whose weights another network writes, for every condition anew.

    f is `generator` followed by the linear maps that the hyper layers in `primary` hold; g is `primary`.

    Args:
        generator: `keras.Model` (or layer) from the condition I to z `[B, R]`, the last hidden layer of f.
        primary: List of layers of g. Those that are a `HyperLayer` are called as `layer(x, z)`, the others
            as `layer(x)`.
        **kwargs: `name`, `dtype`, `trainable`.

    Inputs: a dict with `x` and `condition`, or the pair of them. x `[B, ...]`, or `[B, P, ...]` for P
    points under each condition.

    Raises:
        ValueError: If the inputs are not such a dict or pair, or shapes do not fit.
        TypeError: If the generator or primary reads uint8 images and receives another dtype.

    Example:

    >>> generator = keras.Sequential([keras.layers.Dense(4, activation="relu")])
    >>> model = Hypernetwork(generator, [keras_hypernet.layers.HyperDense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.ones((2, 7))}).shape
    TensorShape([2, 3])
    >>> model.num_parameters()
    {'generator': 122, 'primary': 18}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Secs. 2 and 4.2.
    """

    def __init__(self, generator, primary, **kwargs):
        super().__init__(primary, **kwargs)
        if not any(isinstance(layer, HyperLayer) for layer in primary):
            raise ValueError(f"`primary` has no hyper layer, so nothing is generated. Received: {primary}")
        self.generator = generator

    @property
    def encoder(self):
        return self.generator

    def num_parameters(self):
        """Returns `{"generator": N_f, "primary": N_g}`.

        N_f counts the trained parameters of f, its last, linear layer included; N_g the weights of g
        under one condition, whether generated or trained.
        """
        self.check_built("num_parameters")
        hyper = [layer for layer in self.primary if isinstance(layer, HyperLayer)]
        bases = sum(layer.num_basis_parameters for layer in hyper)
        trained = sum(layer.count_params() for layer in self.primary) - bases
        return {
            "generator": self.generator.count_params() + bases,
            "primary": trained + sum(layer.num_generated for layer in hyper),
        }

    def get_config(self):
        return {**super().get_config(), "generator": keras.saving.serialize_keras_object(self.generator)}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class EmbeddingMethod(ConditionalModel):
    """`q(x, e(I))`: the condition is embedded and joined to x.

    Args:
        embedding: `keras.Model` (or layer) e, from the condition I to the embedding `[B, embedding_dim]`.
        primary: List of layers of q. If it has no layer that takes a condition, a `ConcatenateCondition`
            is put before the first one; to flatten or scale x beforehand, place one yourself.
        **kwargs: `name`, `dtype`, `trainable`.

    Inputs, errors: as for `Hypernetwork`.

    Example:

    >>> embedding = keras.Sequential([keras.layers.Dense(4)])
    >>> model = EmbeddingMethod(embedding, [keras.layers.Dense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.ones((2, 7))}).shape
    TensorShape([2, 3])
    >>> model.num_parameters()
    {'embedding': 32, 'primary': 30}

    Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020, Sec. 2.
    """

    def __init__(self, embedding, primary, **kwargs):
        if not any(isinstance(layer, ConditionedLayer) for layer in primary):
            primary = [ConcatenateCondition(), *primary]
        super().__init__(primary, **kwargs)
        self.embedding = embedding

    @property
    def encoder(self):
        return self.embedding

    def num_parameters(self):
        """Returns `{"embedding": N_e, "primary": N_q}`, the trained parameters of e and of q."""
        self.check_built("num_parameters")
        return {
            "embedding": self.embedding.count_params(),
            "primary": sum(layer.count_params() for layer in self.primary),
        }

    def get_config(self):
        return {**super().get_config(), "embedding": keras.saving.serialize_keras_object(self.embedding)}


@keras.saving.register_keras_serializable(package="keras_hypernet")
class PixelSequential(keras.Sequential):
    """A `keras.Sequential` that refuses images which are not uint8, where Keras would cast them without a word.

    Raises:
        TypeError: If the images are not uint8.
    """

    def __call__(self, inputs, *args, **kwargs):
        # Here, because `call` receives what has been cast to the dtype of the input layer.
        check_pixels(inputs if hasattr(inputs, "dtype") else ops.convert_to_tensor(inputs), self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        check_pixels(inputs, self.name)  # and here, because Keras's training and prediction with JAX start here
        return super().call(inputs, training=training, mask=mask, **kwargs)


def specialize(model, condition):
    """Returns the small network that a model is under one condition: g(.; f(I0)), without f.

    Args:
        model: A built `Hypernetwork` or `EmbeddingMethod`.
        condition: One condition, `[1, ...]`.

    Returns:
        A `keras.Sequential` of built-in layers (and `StandardizeImage`), with constant weights. Its
        output on x is the model's output on x and this condition, but for rounding: 1e-5 of the largest
        output. Save it with `.save("g.keras")`.

    Raises:
        ValueError: If the model has not been built, there is not exactly one condition, or a
            `ConcatenateCondition` is not followed by a Dense layer that its part can be folded into.

    Example:

    >>> generator = keras.Sequential([keras.layers.Dense(4, activation="relu")])
    >>> model = Hypernetwork(generator, [keras_hypernet.layers.HyperDense(3)])
    >>> x, condition = keras.ops.ones((2, 5)), keras.ops.ones((1, 7))
    >>> expected = model({"x": x, "condition": condition})
    >>> network = specialize(model, condition)
    >>> network.count_params()
    18
    >>> bool(keras.ops.all(keras.ops.abs(network(x) - expected) < 1e-5))
    True
    """
    model.check_built("specialize")
    condition = ops.convert_to_tensor(condition)
    if condition.shape[0] != 1:
        raise ValueError(
            f"A model is specialized to one condition, of shape [1, ...]. Received: shape {tuple(condition.shape)}"
        )
    encoded = model.encode(condition)
    reads_pixels = isinstance(model.primary[0], StandardizeImage)
    layers, weights = [keras.Input(model.x_shape[1:], dtype="uint8" if reads_pixels else None)], []
    folded = None
    for layer in model.primary:
        if isinstance(layer, ConcatenateCondition):
            folded = encoded
            continue
        if isinstance(layer, HyperLayer):
            special, values = layer.specialize(encoded)
        elif folded is not None:
            special, values = _fold(layer, folded)
        else:
            special, values = layer.__class__.from_config(layer.get_config()), layer.get_weights()
        folded = None
        layers.append(special)
        weights.append(values)
    network = (PixelSequential if reads_pixels else keras.Sequential)(layers, name=f"{model.name}_specialized")
    for layer, values in zip(network.layers, weights, strict=True):
        layer.set_weights(values)
    return network


def _folded_bias(dense, encoded):
    """The bias of a Dense layer on `[x, encoded]` as a layer on x alone: `[B, units]`."""
    if not isinstance(dense, keras.layers.Dense):
        received = type(dense).__name__ if dense is not None else "no layer"
        raise ValueError(f"ConcatenateCondition must be followed by a Dense layer here. Received: {received}")
    from_condition = ops.matmul(encoded, dense.kernel[-encoded.shape[-1] :])
    return from_condition + dense.bias if dense.use_bias else from_condition


def _fold(dense, encoded):
    bias = _folded_bias(dense, encoded)[0]
    kernel = dense.kernel[: -encoded.shape[-1]]
    special = keras.layers.Dense.from_config({**dense.get_config(), "use_bias": True})
    return special, [ops.convert_to_numpy(kernel), ops.convert_to_numpy(bias)]


def _pair(inputs):
    """Splits inputs, or their shapes, into those of x and of the condition."""
    if isinstance(inputs, collections.abc.Mapping):
        if set(inputs) == {"x", "condition"}:
            return inputs["x"], inputs["condition"]
        received = f"a dict with the keys {sorted(inputs)}"
    else:
        if isinstance(inputs, (tuple, list)) and len(inputs) == 2:
            return tuple(inputs)
        received = type(inputs).__name__
    raise ValueError(
        f"Inputs must be a dict with the keys 'x' and 'condition', or a pair of them. Received: {received}"
    )


def _check_shape(name, shape, built):
    """Raises ValueError unless a shape is the one that a model was built for, any batch and number of points aside."""
    try:
        shape = tuple(shape)
    except ValueError:  # a traced function that has been called with tensors of several ranks
        shape = ()
    # x of [B, features] may become [B, P, features] and the other way round; images keep their shape.
    vectors = name == "x" and {len(shape), len(built)} <= {2, 3}
    received, expected = (shape[-1:], built[-1:]) if vectors else (shape[1:], built[1:])
    if len(received) != len(expected) or any(e is not None and e != r for r, e in zip(received, expected, strict=True)):
        note = " (None: another dimension than in an earlier call)" if None in shape[1:] else ""
        raise ValueError(
            f"The model was built for `{name}` of shape {(None, *built[1:])}. "
            f"Received: {shape or 'another number of dimensions than in an earlier call'}{note}"
        )
