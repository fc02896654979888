"""Runner: calls a Keras layer that another layer holds, with given values of its variables."""

import inspect

import keras
from keras import ops

from keras_hypernet.common.backends import device

# Layers that TensorFlow does not run with channels_first on every CPU.
NOT_CHANNELS_FIRST = (
    *(keras.layers.Conv1D, keras.layers.DepthwiseConv1D, keras.layers.SeparableConv1D),
    *(keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D),
    *(keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
)


class Runner(keras.Layer):
    """Calls a layer, so that `stateless_call` casts the inputs as a call does; see `run`."""

    def __init__(self, layer):
        super().__init__(autocast=False)
        self.layer = layer
        self.built = True  # Hyper builds the layer
        self.takes_mask = "mask" in inspect.signature(layer.call).parameters

    def call(self, x, training=None, mask=None, **options):
        masks = {"mask": mask} if mask is not None and self.takes_mask else {}
        return self.layer(x, training=training, **masks, **options)

    def run(self, names, x, weights, fixed, seeds, options):
        """Returns the output, and the random states after the call.

        `names` maps the ids of variables to the names of generated weights, `fixed` holds the values of the other
        variables, and `options` are further arguments of the call.
        """

        def values(variables):
            return [weights[names[id(each)]] if id(each) in names else fixed[id(each)] for each in variables]

        before = values(self.non_trainable_variables)
        trained = values(self.trainable_variables)
        y, after, losses = self.stateless_call(trained, before, x, return_losses=True, **options)
        if len(losses) > sum(each.regularizer is not None for each in self.trainable_variables):
            raise ValueError(
                f"Layer {self.layer.name!r} adds a loss in its call, which Hyper would lose. Add the loss "
                "outside, as with the `activity_regularizer` of Hyper."
            )
        states = {}
        for variable, old, new in zip(self.non_trainable_variables, before, after, strict=True):
            if id(variable) in seeds:
                states[id(variable)] = new
            elif new is not old:
                raise ValueError(
                    f"Layer {self.layer.name!r} changes its state {variable.path!r} with each batch, but here each x "
                    "has its own weights. For normalization, use "
                    "FiLM(normalization=keras.layers.BatchNormalization()), or freeze the layer (`trainable=False`)."
                )
        return y, {key: states[key] for key in seeds}


class ValuesOf(keras.initializers.Initializer):
    """An initializer with the values of a variable, which it reads when another variable is initialized."""

    def __init__(self, variable):
        self.variable = variable

    def __call__(self, shape, dtype=None):
        # A copy, because training on JAX deletes the array that it replaces.
        return ops.copy(ops.cast(self.variable, dtype))


def parts(layer):
    """A layer and all layers inside it, each once."""
    known, waiting = {}, [layer]
    while waiting:
        part = waiting.pop()
        if id(part) not in known:
            known[id(part)] = part
            waiting += _attributes(part, keras.Layer)
    return list(known.values())


def seed_generators(layer):
    """The seed generators of a layer and of the layers inside it, each once."""
    generators = [each for part in parts(layer) for each in _attributes(part, keras.random.SeedGenerator)]
    return list({id(each): each for each in generators}.values())


def _attributes(layer, kind):
    """The objects of a class among the attributes of a layer, also in lists, tuples and dicts."""
    return [each for each in keras.tree.flatten(dict(vars(layer))) if isinstance(each, kind)]


def weight_paths(layer):
    """The weights of a layer, by their path inside it, such as `"lstm_cell/kernel"`; a repeated path has a number."""
    paths = {}
    for weight in layer.weights:
        path = f"/{weight.path}".rpartition(f"/{layer.name}/")[2].strip("/")
        number = sum(each.partition("#")[0] == path for each in paths)
        paths[f"{path}#{number}" if number else path] = weight
    return paths


def check(layer):
    """Raises ValueError for a layer that cannot run with generated weights."""
    what = None
    channels_first = isinstance(layer, NOT_CHANNELS_FIRST) and layer.data_format == "channels_first"
    if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
        what = "normalizes by the batch: use FiLM(normalization=keras.layers.BatchNormalization()), or freeze the layer"
    elif getattr(layer, "stateful", False):
        what = "keeps a state from batch to batch: set stateful=False, or use HyperGRU or HyperLSTM"
    elif isinstance(layer, keras.layers.Lambda):
        what = "cannot be loaded in safe mode: write a registered layer instead"
    elif getattr(layer, "activity_regularizer", None) is not None:
        what = "adds a loss for each call: give `activity_regularizer` to Hyper"
    elif channels_first and keras.backend.backend() == "tensorflow" and device() != "gpu":
        what = "has channels_first, for which TensorFlow needs a GPU: use channels_last, or a layer such as HyperConv2D"
    if what:
        raise ValueError(f"Hyper cannot run layer {layer.name!r} of class {type(layer).__name__}, which {what}.")
