"""TensorFlow Serving's configuration files: models and their versions, batching, monitoring."""

import math
import pathlib
import textwrap

from keras_hypernet.common.files import replacing
from keras_hypernet.common.locks import locked

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
# The signature that reads the condition, of a hypernetwork and of the embedding method.
FIRST_HALVES = ("generate_weights", "embed")

_MODELS_HEADER = """\
# Models of TensorFlow Serving (--model_config_file), a ModelServerConfig. `keras-hypernet export` adds models, and
# keeps all else: versions to serve (model_version_policy) and their names (version_labels).
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


def read_models_config(path):
    """Reads a `models.config`: a dict from the name of each model to its `ModelConfig`, empty without the file.

    Raises:
        ValueError: If it is not a ModelServerConfig in text format with a list of models of distinct names.
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
    names = [model.name for model in config.model_config_list.config]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} must name every model once. Received: {names}")
    return dict(zip(names, config.model_config_list.config, strict=True))


def write_configs(folder, name, base="/models"):
    """Adds a model to `models.config` in a folder of exported models, and writes missing files beside it.

    Concurrent processes wait for each other. `base` is the folder as the server sees it, by default in TensorFlow
    Serving's container. The errors are those of `read_models_config`.
    """
    folder = pathlib.Path(folder)
    with locked(folder, seconds=math.inf):  # not a file, which would be replaced with its lock
        _add_model(folder / MODELS, name, base)
        for file, content in {BATCHING: _BATCHING, MONITORING: _MONITORING}.items():
            if not (folder / file).exists():
                _write(folder / file, content)


def _add_model(path, name, base):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    models = read_models_config(path)
    if name in models:
        return
    models[name] = model_server_config_pb2.ModelConfig(
        name=name, base_path=f"{base}/{name}", model_platform="tensorflow"
    )
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.extend(models.values())
    text = _with_model(path, models[name], config)
    _write(path, _MODELS_HEADER + text_format.MessageToString(config) if text is None else text)


def _write(path, content):
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _with_model(path, model, expected):
    """The text of a file, with its comments, plus a model at the end of its list; None if that is not `expected`."""
    from google.protobuf import text_format

    text = path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
    added = textwrap.indent(text_format.MessageToString(model), "    ")
    text = f"{text.removesuffix('}')}  config {{\n{added}  }}\n}}\n"
    try:
        return text if text_format.Parse(text, type(expected)()) == expected else None
    except text_format.ParseError:
        return None
