"""Exported models, inputs and servers that the tests of serving share."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import keras
import numpy as np
from helpers import normal, pixels

import keras_hypernet as kh
from keras_hypernet.serving.local.server import Server
from keras_hypernet.serving.signatures import signatures


def serve(folder, *names, **options):
    """A server of models on free ports, in a thread; a context manager."""
    return Server(folder, names, **{"rest_port": 0, "grpc_port": 0, "poll_seconds": 0.1, **options})


def example_inputs(model, batch=4, seed=0):
    """Inputs of a model as a dict, and as its `predict` takes them."""
    if not hasattr(model, "condition_shape"):
        (declared,) = model.inputs
        draw = pixels if declared.dtype == "uint8" else normal
        x = draw((batch, *declared.shape[1:]), seed)
        return {"x": x}, x
    inputs = {}
    for tensor in signatures(model)[0].inputs:
        shape = batch, *(size or 5 for size in tensor.shape[1:])
        if tensor.dtype == "int32":  # numbers of tasks
            inputs[tensor.name] = np.arange(batch, dtype="int32") % 2
        else:
            draw = pixels if tensor.dtype == "uint8" else normal
            inputs[tensor.name] = draw(shape, seed + len(tensor.name))
    return inputs, inputs


def entries_of_each_kind(*more):
    """Names of entries of the zoo: one for each task and method, which decide the signatures, and some more."""
    first = {(card.task["name"], card.method): card.name for card in reversed(kh.list_entries())}
    return sorted({*first.values(), *more})


def assert_close(received, expected, tolerance=1e-5):
    """Asserts that outputs agree, relative to the largest: sums in float32 leave smaller outputs no more digits."""
    assert received.dtype == np.float32
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@contextlib.contextmanager
def grpc_stubs(server):
    """The stubs of tensorflow-serving-api for a server."""
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=unlimited) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def predict_request(model, inputs, signature="", version=None):
    """A PredictRequest."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def resident_bytes(process=None):
    """The memory of a process, by default of this one."""
    pages = pathlib.Path(f"/proc/{process or 'self'}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def write_version(base, version, dtype="float32", gate=None):
    """A model `y = version * x`, in one step. With a gate, which is a named pipe, it answers when the gate is open."""
    import tensorflow as tf

    def multiply(x):
        if gate is not None:
            tf.io.write_file(str(gate), "-")  # waits until somebody reads
        return {"y": tf.cast(x, "float32") * version}

    module = tf.Module()
    module.serve = tf.function(multiply, input_signature=[tf.TensorSpec([None], dtype, "x")])
    tf.saved_model.save(module, str(base / f".{version}"), {"serving_default": module.serve})
    (base / f".{version}").rename(base / str(version))


def write_gated_model(base):
    """A model that answers when its gate is open; returns the gate."""
    base.mkdir()
    gate = base.parent / f"{base.name}.gate"
    os.mkfifo(gate)
    write_version(base, 1, gate=gate)
    return gate


@contextlib.contextmanager
def opened(gate):
    """Opens a gate until the end of the context, which must outlast the waiting requests."""
    reader = os.open(gate, os.O_RDWR)
    try:
        yield
    finally:
        os.close(reader)


def wait_for(condition, seconds=120):
    """Waits until a condition holds, for two minutes at most: the machine may be busy."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def write_text_model(base, length):
    """A model that answers with a text of some length, a power of two."""
    import tensorflow as tf

    def long(x):
        text = tf.strings.as_string(tf.cast(x[:1], "int32") * 0)
        for _ in range(length.bit_length() - 1):
            text = tf.strings.join([text, text])
        return {"text": text}

    module = tf.Module()
    module.serve = tf.function(long, input_signature=[tf.TensorSpec([None], "float32", "x")])
    tf.saved_model.save(module, str(base / "1"), {"serving_default": module.serve})


def numbered_model():
    """A hypernetwork whose conditions are numbers of 0 to 9, and inputs of it."""
    numbers = keras.Input((1,), dtype="int32")
    generator = keras.Sequential([numbers, keras.layers.Embedding(10, 3), keras.layers.Flatten()])
    model = kh.Hypernetwork(generator, [kh.layers.HyperDense(4)])
    inputs = {"x": normal((5, 7)), "condition": np.int32([[3], [9], [0], [3], [7]])}
    model(inputs)
    return model, inputs


def worded_model(kind="string", vocabulary=("red", "green", "blue")):
    """A hypernetwork whose conditions are words, or numbers, of a vocabulary, and inputs of it."""
    from keras.layers import Dense, Embedding, Flatten, IntegerLookup, StringLookup, TextVectorization

    words = np.array([["red"], ["blue"], ["red"], ["pink"], ["green"]], object)
    if kind == "integer":
        words, lookup = np.array([[30], [10], [7], [20], [30]]), IntegerLookup(vocabulary=[10, 20, 30])
    elif kind == "text":
        words[0], lookup = ["red blue"], TextVectorization(vocabulary=list(vocabulary), output_sequence_length=2)
    elif kind == "strict":
        words[3], lookup = ["red"], StringLookup(vocabulary=list(vocabulary), num_oov_indices=0)
    else:
        lookup = StringLookup(vocabulary=vocabulary if isinstance(vocabulary, str) else list(vocabulary))
    declared = keras.Input((1,), dtype="int64" if kind == "integer" else "string")
    generator = keras.Sequential([declared, lookup, Embedding(5, 3), Flatten(), Dense(3)])
    model, inputs = kh.Hypernetwork(generator, [kh.layers.HyperDense(4)]), {"x": normal((5, 7)), "condition": words}
    model({name: keras.ops.convert_to_tensor(value) for name, value in inputs.items()})
    return model, inputs


@contextlib.contextmanager
def started(folder, *names, rest_port=0, **options):
    """A server process; yields the process, its ports, and the growing list of the lines of its log."""
    command = [sys.executable, "-m", "keras_hypernet_cli", "serve", *names, "--models", folder]
    ports = ["--rest-port", rest_port, "--grpc-port", 0, "--poll-seconds", 0.1]
    extra = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    process = subprocess.Popen(
        [str(part) for part in [*command, *ports, *extra]], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    lines, ready = [], threading.Event()

    def read():
        for line in process.stderr:
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
                if lines[-1].get("event") == "ready":
                    ready.set()
        ready.set()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert ready.wait(120)
        assert lines[-1].get("event") == "ready", lines
        yield process, {name: lines[-1][name] for name in ("rest", "grpc")}, lines
    finally:
        process.kill()
        process.wait()
        thread.join()
        process.stdout.close()
        process.stderr.close()


def write_other_models(folder):
    """Models with inputs that models of this package lack: strings, floats, numbers of every kind."""
    import tensorflow as tf

    module = tf.Module()
    signatures = {
        "serving_default": lambda x: {"y": x / 2 + 3},
        "strings": lambda text: {"text": text, "text_bytes": tf.strings.join([text, b"\xff"])},
        "mixed": lambda flag, number, big: {
            "flag": flag,
            "number": tf.cast(number, "int64") + big,
            "half": tf.cast(number, "float16"),
        },
        "unequal": lambda x: {"one": x[:1], "all": x},
    }
    specs = {
        "serving_default": {"x": "float32"},
        "strings": {"text": "string"},
        "mixed": {"flag": "bool", "number": "int8", "big": "int64"},
        "unequal": {"x": "float32"},
    }
    for name, function in signatures.items():
        arguments = [tf.TensorSpec([None], dtype, name) for name, dtype in specs[name].items()]
        setattr(module, name, tf.function(function, input_signature=arguments))
    tf.saved_model.save(module, str(folder / "other" / "3"), {name: getattr(module, name) for name in signatures})
