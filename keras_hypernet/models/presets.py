"""Presets: a model as a folder with KerasHub's files, the configuration and the weights."""

import pathlib

import keras

from keras_hypernet.common.files import replacing_folder, write_json
from keras_hypernet.common.parsing import read_json

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def save_preset(model, folder):
    """Writes a preset atomically. See `ConditionalModel.save_to_preset`."""
    facts = {"keras_version": keras.__version__, "parameter_count": model.count_params()}
    with replacing_folder(pathlib.Path(folder)) as temporary:
        write_json(temporary / _CONFIG, keras.saving.serialize_keras_object(model))
        write_json(temporary / _METADATA, facts)
        model.save_weights(temporary / _WEIGHTS)


def load_preset(kind, folder, load_weights):
    """Reads a preset of a class or of one of its subclasses. See `ConditionalModel.from_preset`."""
    folder = pathlib.Path(folder)
    for name in (_CONFIG, _WEIGHTS)[: 1 + load_weights]:
        if not (folder / name).is_file():
            raise ValueError(f"{folder} must be a folder that `save_to_preset` has written. It has no {name}")
    config = read_json(folder / _CONFIG, {"type": "object"}, "the configuration of a model", "Save the preset again.")
    model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    if not isinstance(model, kind):
        raise TypeError(f"{folder} must hold a model of class {kind.__name__}. Received: {type(model).__name__}")
    if load_weights:
        model.load_weights(folder / _WEIGHTS)
    return model
