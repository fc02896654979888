"""The files that TensorFlow Serving is started with: which models, which of their versions, batching, monitoring."""

import math
import pathlib
import textwrap

from keras_hypernet.common.files import replacing
from keras_hypernet.common.locks import locked

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
# The signature that reads the condition: of a hypernetwork, and of the embedding method.
FIRST_HALVES = ("generate_weights", "embed")

_MODELS_HEADER = """\
# Models of TensorFlow Serving (--model_config_file), a ModelServerConfig. `keras-hypernet export` adds to it, and
# keeps what else stands here: versions to serve (model_version_policy) and their names (version_labels).
#
# Batching (--enable_batching) is for all signatures of a model, and joins requests whose inputs all have the same
# 0th dimension: serving_default, generate_weights and embed. apply with the weights of one condition for many x has
# not; it is refused then, "equal 0th-dimension size". Serve the models with batching on one server, and on another
# without it if you use apply, or repeat the weights for each x.
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
    """Reads a `models.config`.

    Args:
        path: Path of the file.

    Returns:
        A dict from the name of each model to its `ModelConfig`; empty if there is no such file.

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
    models = {model.name: model for model in config.model_config_list.config}
    if len(models) < len(config.model_config_list.config):
        names = [model.name for model in config.model_config_list.config]
        raise ValueError(f"{path} must name every model once. Received: {names}")
    return models


def write_configs(folder, name, base="/models"):
    """Adds a model to `models.config` in a folder of exported models, and what is missing beside it.

    Several processes may do so at the same time: one waits for the other.

    Args:
        folder: The folder.
        name: Name of the model.
        base: Where the server finds the folder; TensorFlow Serving's container, where it is mounted.

    Raises:
        ValueError: If there is a `models.config` that `read_models_config` does not read.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> write_configs(folder, "mine")
    >>> list(read_models_config(folder / MODELS))
    ['mine']
    """
    folder = pathlib.Path(folder)
    with locked(folder, seconds=math.inf):  # the files are replaced, and a lock of one would be of what it was before
        _add_model(folder, name, base)
        for file, content in {BATCHING: _BATCHING, MONITORING: _MONITORING}.items():
            if not (folder / file).exists():
                with replacing(folder / file) as temporary:
                    temporary.write_text(content, encoding="utf-8")


def _add_model(folder, name, base):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    models = read_models_config(folder / MODELS)
    if name not in models:
        models[name] = model_server_config_pb2.ModelConfig(
            name=name, base_path=f"{base}/{name}", model_platform="tensorflow"
        )
        config = model_server_config_pb2.ModelServerConfig()
        config.model_config_list.config.extend(models.values())
        text = _with_model(folder / MODELS, models[name], config)
        if text is None:
            text = _MODELS_HEADER + text_format.MessageToString(config)
        with replacing(folder / MODELS) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _with_model(path, model, expected):
    """The text of a file, its comments included, with a model at the end of its list; None if that gives another."""
    from google.protobuf import text_format

    text = path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
    added = textwrap.indent(text_format.MessageToString(model), "    ")
    text = f"{text.removesuffix('}')}  config {{\n{added}  }}\n}}\n"
    try:
        return text if text_format.Parse(text, type(expected)()) == expected else None
    except text_format.ParseError:
        return None
