"""A case for each layer and each model; the conformance tests run every property test on all cases of a kind."""

import dataclasses
from collections.abc import Callable

import keras
import pytest

import keras_hypernet as kh
from keras_hypernet.bases import Chunked, Full, LowRank, Mixture
from keras_hypernet.layers import (
    ConcatenateCondition,
    FiLM,
    Hyper,
    HyperConv1D,
    HyperConv2D,
    HyperConv2DTranspose,
    HyperConv3D,
    HyperDense,
    HyperDepthwiseConv2D,
    HyperEinsumDense,
    HyperEmbedding,
    HyperGRU,
    HyperLSTM,
    HyperMultiHeadAttention,
    LayerEmbeddings,
    MagnitudeInvariant,
    SelfAttention,
    StandardizeImage,
    TaskEmbedding,
)

BATCH, POINTS, MEMBERS, FEATURES, RANK = 6, 5, 4, 7, 3

SEQUENCE = (BATCH, POINTS, FEATURES)


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """A layer, the shapes of its inputs, and what the layer can do."""

    name: str
    make: Callable
    x_shape: tuple = (BATCH, FEATURES)
    condition_shape: tuple = (BATCH, RANK)
    specializes: bool = True
    keeps_mask: bool = True
    ids: int = 0  # x holds integers below this number
    compiles: bool = True  # by XLA, on TensorFlow
    on_openvino: bool = True

    def __str__(self):
        return self.name


@dataclasses.dataclass(frozen=True)
class OneInputCase:
    """A layer of one input, such as a condition, and the shape and dtype of this input."""

    name: str
    make: Callable
    shape: tuple
    dtype: str = "float32"

    def __str__(self):
        return self.name


@dataclasses.dataclass(frozen=True)
class ModelCase:
    """A model, and the shapes of its inputs without the batch."""

    name: str
    make: Callable
    x_shape: tuple
    condition_shape: tuple
    dtype: str = "float32"
    on_openvino: bool = True

    def __str__(self):
        return self.name


def _dense(basis=Full, **arguments):
    # With a bias of zero, a test of the bias would pass without a bias.
    arguments = {"bias_initializer": "random_normal", "activation": "tanh", **arguments}
    return lambda: HyperDense(4, basis=basis(), **arguments)


def _einsum(equation, output_shape, **arguments):
    arguments = {"bias_initializer": "random_normal", "activation": "tanh", **arguments}
    return lambda: HyperEinsumDense(equation, output_shape, **arguments)


def _conv(layer, **arguments):
    arguments = {"bias_initializer": "random_normal", "data_format": "channels_last", **arguments}
    return lambda: layer(4, **{"kernel_size": 2, **arguments})


def _depthwise(**arguments):
    arguments = {"bias_initializer": "random_normal", "data_format": "channels_last", **arguments}
    return lambda: HyperDepthwiseConv2D(2, depth_multiplier=2, **arguments)


def _lookup(**arguments):
    return lambda: HyperEmbedding(9, 4, embeddings_initializer="random_normal", **arguments)


def _attention(**projection):
    return lambda: HyperMultiHeadAttention(2, 3, use_causal_mask=True, projection=projection)


# Functions, because each layer needs a basis of its own.
BASES = {
    "full_given": lambda: Full(constant="glorot_uniform"),
    "full_frozen": lambda: Full(constant="glorot_uniform", train_constant=False),
    "full_without_constant": lambda: Full(train_constant=False),
    "mixture": lambda: Mixture(2),
    "low_rank": lambda: LowRank(2),
    "low_rank_without_constant": lambda: LowRank(9, train_constant=False),
    "chunked": lambda: Chunked(5, 3),
    "chunked_hidden": lambda: Chunked(5, 3, hidden=(6,), constant="glorot_uniform"),
}


LAYERS = [
    LayerCase("dense", _dense()),
    LayerCase("dense_factorised", _dense(contraction="factorised")),
    LayerCase("dense_materialised", _dense(contraction="materialised")),
    LayerCase("dense_points_factorised", _dense(contraction="factorised"), (BATCH, POINTS, FEATURES)),
    LayerCase("dense_points_materialised", _dense(contraction="materialised"), (BATCH, POINTS, FEATURES)),
    LayerCase("dense_shared", _dense(), condition_shape=(1, RANK)),
    LayerCase("dense_shared_factorised", _dense(contraction="factorised"), condition_shape=(1, RANK)),
    LayerCase("dense_shared_points", _dense(), (BATCH, POINTS, FEATURES), (1, RANK)),
    LayerCase("dense_no_bias", _dense(use_bias=False)),
    LayerCase("dense_trained_bias", _dense(bias="trained")),
    LayerCase("dense_trained_kernel", _dense(kernel="trained")),
    LayerCase("dense_trained_kernel_points", _dense(kernel="trained"), (BATCH, POINTS, FEATURES)),
    LayerCase("dense_each_point", _dense(), (BATCH, POINTS, FEATURES), (BATCH, POINTS, RANK), specializes=False),
    *(LayerCase(f"dense_{name}", _dense(basis)) for name, basis in BASES.items()),
    LayerCase("dense_low_rank_factorised", _dense(lambda: LowRank(2), contraction="factorised")),
    LayerCase("dense_low_rank_materialised", _dense(lambda: LowRank(2), contraction="materialised")),
    LayerCase("dense_low_rank_points", _dense(lambda: LowRank(2)), (BATCH, POINTS, FEATURES)),
    LayerCase("dense_mixture_materialised", _dense(lambda: Mixture(2), contraction="materialised")),
    LayerCase("dense_regularized", _dense(kernel_regularizer="l2", bias_constraint="non_neg")),
    LayerCase("einsum", _einsum("btc,cnh->btnh", (None, 2, 3), bias_axes="nh"), (BATCH, POINTS, FEATURES)),
    LayerCase("einsum_written", _einsum("btc,cd->bdt", (2, None)), (BATCH, POINTS, FEATURES)),
    LayerCase(
        "einsum_low_rank_points",
        _einsum("btc,cnh->btnh", (None, 2, 3), bias_axes="h", basis=LowRank(2)),
        (BATCH, 2, POINTS, FEATURES),
        (1, RANK),
    ),
    LayerCase("conv1d_causal", _conv(HyperConv1D, padding="causal", dilation_rate=2), (BATCH, 5, 3), keeps_mask=False),
    LayerCase("conv2d", _conv(HyperConv2D, padding="same"), (BATCH, 4, 4, 3), keeps_mask=False),
    LayerCase(
        "conv2d_channels_first",
        _conv(HyperConv2D, groups=2, data_format="channels_first"),
        (BATCH, 2, 4, 4),
        keeps_mask=False,
    ),
    LayerCase(
        "conv2d_low_rank",
        _conv(HyperConv2D, basis=LowRank(2), contraction="factorised"),
        (BATCH, 4, 4, 3),
        keeps_mask=False,
    ),
    LayerCase(
        "conv2d_points_shared",
        _conv(HyperConv2D, strides=2),
        (BATCH, 2, 4, 4, 3),
        (1, RANK),
        specializes=False,
        keeps_mask=False,
    ),
    LayerCase("depthwise", _depthwise(padding="same"), (BATCH, 4, 4, 3), keeps_mask=False),
    LayerCase(
        "depthwise_shared",
        _depthwise(strides=2),  # the Keras layer itself takes no channels_first on every CPU
        (BATCH, 4, 4, 3),
        (1, RANK),
        keeps_mask=False,
    ),
    LayerCase("conv2d_transpose", _conv(HyperConv2DTranspose, strides=2), (BATCH, 3, 3, 2), keeps_mask=False),
    LayerCase("conv3d", _conv(HyperConv3D), (BATCH, 3, 3, 3, 2), keeps_mask=False),
    LayerCase("gru", lambda: HyperGRU(4, bias_initializer="random_normal"), SEQUENCE, keeps_mask=False),
    LayerCase(
        "gru_low_rank", lambda: HyperGRU(4, reset_after=False, basis=LowRank(2), return_sequences=True), SEQUENCE
    ),
    LayerCase("lstm_shared", lambda: HyperLSTM(4, return_sequences=True, go_backwards=True), SEQUENCE, (1, RANK)),
    LayerCase("lookup", _lookup(), (BATCH, POINTS), ids=9),
    LayerCase("lookup_shared", _lookup(), (BATCH, POINTS), (1, RANK), ids=9),
    LayerCase("lookup_low_rank", lambda: HyperEmbedding(9, 1, basis=LowRank(2)), (BATCH, 2, POINTS), ids=9),
    LayerCase("film", FiLM),
    LayerCase("film_batch", lambda: FiLM(normalization=keras.layers.BatchNormalization()), SEQUENCE),
    LayerCase(
        "film_group", lambda: FiLM(normalization=keras.layers.GroupNormalization(7)), (BATCH, 3, 3, 7), (1, RANK)
    ),
    LayerCase("attention", _attention(bias_initializer="random_normal"), SEQUENCE),
    LayerCase("attention_low_rank", _attention(basis=LowRank(2)), SEQUENCE, (1, RANK)),
    LayerCase(
        "any_lstm", lambda: Hyper(keras.layers.LSTM(4)), SEQUENCE, keeps_mask=False, compiles=False, on_openvino=False
    ),
    LayerCase("any_dense", lambda: Hyper(keras.layers.Dense(4), LowRank(2), "kernel"), SEQUENCE, on_openvino=False),
    LayerCase(
        "any_embedding_shared", lambda: Hyper(keras.layers.Embedding(9, 4)), (BATCH, POINTS), (1, RANK), True, False, 9
    ),
    LayerCase("concatenate", ConcatenateCondition),
    LayerCase("concatenate_points", ConcatenateCondition, (BATCH, POINTS, FEATURES)),
    LayerCase("concatenate_shared", ConcatenateCondition, condition_shape=(1, RANK)),
]

ONE_INPUT = [
    OneInputCase("layer_embeddings", lambda: LayerEmbeddings(2, names=["first", "second"], seed=0), (BATCH, RANK)),
    OneInputCase("magnitude_invariant", lambda: MagnitudeInvariant(-9, [9, 8, 7]), (BATCH, RANK)),
    OneInputCase("self_attention", lambda: SelfAttention(2, 3, use_causal_mask=True), SEQUENCE),
    OneInputCase("standardize_image", lambda: StandardizeImage(0.5, 0.25), (BATCH, 4, 4, 2), "uint8"),
    OneInputCase("task_embedding", lambda: TaskEmbedding(9, 4, seed=0), (BATCH,), "int32"),
]


def _encoder():
    return keras.Sequential([keras.layers.Dense(RANK, activation="relu")])


def _image_encoder():
    image = keras.Input((4, 4, 2), dtype="uint8")
    return keras.Sequential([image, *_flat_image(), keras.layers.Dense(RANK, activation="relu")])


def _flat_image():
    return [StandardizeImage(), keras.layers.Flatten()]


def _hypernetwork():
    return kh.Hypernetwork(_encoder(), [_dense()(), HyperDense(3, bias=None)])


def _mixed_primary():
    hidden, last = keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3)
    return kh.Hypernetwork(_encoder(), [hidden, _dense(bias="trained")(), last])


def _convolution():
    convolution = kh.layers.HyperConv2D(4, 3, activation="tanh", basis=LowRank(2))
    return kh.Hypernetwork(_encoder(), [convolution, keras.layers.GlobalAveragePooling2D(), HyperDense(3)])


def _any_layer():
    target = keras.Sequential([keras.layers.Dense(5, activation="tanh"), keras.layers.LayerNormalization()])
    return kh.Hypernetwork(
        _encoder(), [Hyper(target, LowRank(2)), HyperDense(3, name="last")]
    )  # its own name could be that of the dense layer in Hyper


def _hypernetized():
    x = inputs = keras.Input((4, 4, 2))
    y = keras.layers.Conv2D(2, 3, padding="same", data_format="channels_last")(x)
    x = x + keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D(data_format="channels_last")(x))
    generator = keras.Sequential([keras.Input((RANK,)), keras.layers.Dense(RANK, activation="relu")])
    return kh.hypernetize(keras.Model(inputs, x), generator, basis=LowRank(2), base="zeros")


def _image_hypernetwork():
    return kh.Hypernetwork(_image_encoder(), [*_flat_image(), _dense()(), HyperDense(3)])


def _embedding():
    return kh.EmbeddingMethod(_encoder(), [keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(3)])


def _image_embedding():
    primary = [*_flat_image(), ConcatenateCondition(), keras.layers.Dense(5, use_bias=False), keras.layers.Dense(3)]
    return kh.EmbeddingMethod(_image_encoder(), primary)


def _neural_process():
    primary = [keras.layers.Dense(5, activation="tanh", bias_initializer="random_normal"), keras.layers.Dense(3)]
    return kh.ConditionalNeuralProcess(_encoder(), primary)


def _image_neural_process():
    primary = [*_flat_image(), ConcatenateCondition(), keras.layers.Dense(3)]
    return kh.ConditionalNeuralProcess(_image_encoder(), primary)


MODELS = [
    ModelCase("hypernetwork", _hypernetwork, (FEATURES,), (RANK,)),
    ModelCase("hypernetwork_points", _hypernetwork, (POINTS, FEATURES), (RANK,)),
    ModelCase("hypernetwork_mixed_primary", _mixed_primary, (FEATURES,), (RANK,)),
    ModelCase("hypernetwork_convolution", _convolution, (5, 5, 2), (RANK,)),
    ModelCase("hypernetwork_any_layer", _any_layer, (FEATURES,), (RANK,), on_openvino=False),
    ModelCase("hypernetized", _hypernetized, (4, 4, 2), (RANK,)),
    ModelCase("hypernetwork_images", _image_hypernetwork, (4, 4, 2), (4, 4, 2), "uint8"),
    ModelCase("embedding", _embedding, (FEATURES,), (RANK,)),
    ModelCase("embedding_points", _embedding, (POINTS, FEATURES), (RANK,)),
    ModelCase("embedding_images", _image_embedding, (4, 4, 2), (4, 4, 2), "uint8"),
    ModelCase("neural_process", _neural_process, (FEATURES,), (MEMBERS, RANK)),
    ModelCase("neural_process_points", _neural_process, (POINTS, FEATURES), (MEMBERS, RANK)),
    ModelCase("neural_process_images", _image_neural_process, (4, 4, 2), (MEMBERS, 4, 4, 2), "uint8"),
]


# Slow properties: these cases run in plain tests, all cases with --full.
FEW = {"dense", "dense_points_materialised", "concatenate", "hypernetwork", "embedding_images", "neural_process_points"}
# Properties that depend on the class of a layer: the first case of each class.
EACH = set({type(case.make()): case.name for case in reversed(LAYERS)}.values())


def parametrize(cases, plain=None):
    """A mark that runs a test on all cases, or on those with the names `plain` and on all others with --full."""
    full = [pytest.mark.full]
    params = [pytest.param(case, marks=full if plain and case.name not in plain else ()) for case in cases]
    return pytest.mark.parametrize("case", params, ids=str)
