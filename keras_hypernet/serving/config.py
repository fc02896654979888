"""TensorFlow Serving's folder of models: `<model>/<version>/saved_model.pb`, and configuration files."""

import pathlib
import re
import textwrap

from keras_hypernet.common.files import write_text
from keras_hypernet.common.locks import locked

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
# The signature that reads the condition, of a hypernetwork and of the embedding method.
FIRST_HALVES = ("generate_weights", "embed")
_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")  # in the order of TensorFlow's loader
_VERSIONS = 2**63  # TensorFlow Serving's are int64

_MODELS_HEADER = """\
# Models of TensorFlow Serving (--model_config_file), a ModelServerConfig. `keras-hypernet export` adds models, and
# keeps everything else: versions to serve (model_version_policy) and their names (version_labels).
#
# Batching (--enable_batching) applies to all signatures of a model, and joins requests whose inputs all have the same
# 0th dimension: serving_default, generate_weights and embed. apply with the weights of one condition for many x
# does not, and is refused: "equal 0th-dimension size". For apply, repeat the weights for each x, or use a second server
# without batching.
"""

_BATCHING = """\
# BatchingParameters of TensorFlow Serving (--enable_batching --batching_parameters_file). For serving_default,
# generate_weights and embed; apply with one set of weights for many x is refused under batching, see models.config.
max_batch_size { value: 256 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""

_MONITORING = f"""\
# MonitoringConfig of TensorFlow Serving (--monitoring_config_file).
prometheus_config {{
  enable: true
  path: "{METRICS_PATH}"
}}
"""


def version_folders(base):
    """Returns a dict from each version in a model's folder, ascending, to the folder of the version.

    Names are decimal numbers, with or without leading zeros. If several names stand for one number, the name with the
    fewest zeros counts, as in TensorFlow Serving.
    """
    paths = sorted(path for path in base.iterdir() if re.fullmatch("[0-9]+", path.name))
    folders = {int(path.name): path for path in paths if int(path.name) < _VERSIONS}
    return dict(sorted(folders.items()))


def find_graph(folder):
    """The file with the graph of a version, or None if the file does not exist (yet)."""
    return next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)


def check_contained(folder, base):
    """Raises ValueError if a version, or a link in it, leads out of the folder of its model, which has no links."""
    root = folder.resolve()
    if base not in root.parents:
        raise ValueError(f"{folder} must be in the folder of its model: copy it there. Received: a link to {root}")
    for path in root.rglob("*"):
        if root not in path.resolve().parents:
            raise ValueError(f"{folder} must hold its files: copy them there. Received: a link to {path.resolve()}")


def model_spec(name, version=None, signature=""):
    """TensorFlow Serving's `ModelSpec` of a model, with the number or the label of a version if given."""
    from tensorflow_serving.apis import model_pb2

    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    if isinstance(version, int):
        spec.version.value = version
    elif version is not None:
        spec.version_label = version
    return spec


def read_models_config(path):
    """Reads a `models.config`: a dict from the name of each model to its `ModelConfig`, empty without the file.

    Raises ValueError unless the file is a ModelServerConfig in text format, with a list of models of distinct names.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    path = pathlib.Path(path)
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a ModelServerConfig in text format. Received: {error}") from error
    if not config.HasField("model_config_list"):
        raise ValueError(f"{path} must have a model_config_list. Received: {text.strip() or 'an empty file'}")
    names = [model.name for model in config.model_config_list.config]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} must name every model once. Received: {names}")
    return dict(zip(names, config.model_config_list.config, strict=True))


def write_configs(folder, name):
    """Adds a model to `models.config` in a folder of exported models, and writes missing files beside it.

    Concurrent processes wait for each other. The errors are those of `read_models_config`.
    """
    folder = pathlib.Path(folder)
    with locked(folder, wait=True):  # not the file, because its lock would be replaced with it
        _add_model(folder / MODELS, name)
        for file, content in {BATCHING: _BATCHING, MONITORING: _MONITORING}.items():
            if not (folder / file).exists():
                write_text(folder / file, content)


def _add_model(path, name):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    models = read_models_config(path)
    if name in models:
        return
    base = f"/models/{name}"  # in TensorFlow Serving's container
    models[name] = model_server_config_pb2.ModelConfig(name=name, base_path=base, model_platform="tensorflow")
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.extend(models.values())
    # The text with its comments, with the model added at the end of the list, if this text gives the configuration.
    text = path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
    added = textwrap.indent(text_format.MessageToString(models[name]), "    ")
    text = f"{text.removesuffix('}')}  config {{\n{added}  }}\n}}\n"
    try:
        appended = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()) == config
    except text_format.ParseError:
        appended = False
    write_text(path, text if appended else _MODELS_HEADER + text_format.MessageToString(config))
