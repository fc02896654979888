"""The export formats: how each is written, and how its runtime runs it."""

import tempfile

from keras_hypernet.common.extras import missing_extra
from keras_hypernet.serving.export import traceable, write_saved_model
from keras_hypernet.serving.signatures import signatures

_EXTRAS = {"tflite": ("LiteRT", "lite"), "onnx": ("ONNX", "onnx")}


def import_runtimes(formats):
    """Raises ImportError, with the extras to install, unless the runtimes of all formats are installed."""
    missing, cause = [], None
    for format in formats:
        try:
            if format == "tflite":
                import ai_edge_litert.interpreter  # noqa: F401
            elif format == "onnx":
                import onnxruntime  # noqa: F401
                import tf2onnx  # noqa: F401
        except ImportError as error:
            missing.append(_EXTRAS[format])
            cause = error
    if missing:
        titles, extras = zip(*missing, strict=True)
        raise missing_extra(f"{' and '.join(titles)} files need", *extras) from cause


def to_tflite(model, name):
    """The bytes of a LiteRT file of `serving_default`."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(model, folder, name)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        return converter.convert()


def to_onnx(model, name):
    """The bytes of an ONNX file of `serving_default`."""
    import tensorflow as tf
    import tf2onnx

    function, specs = traceable(signatures(model)[0])
    graph, _ = tf2onnx.convert.from_function(tf.function(function), input_signature=specs, opset=17)
    graph.graph.name = name
    return graph.SerializeToString()


def run_saved_model(path):
    """`serving_default` of a SavedModel, as a function from a dict of arrays to one."""
    import tensorflow as tf

    served = tf.saved_model.load(str(path)).signatures["serving_default"]

    def run(inputs):
        outputs = served(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def run_tflite(path):
    """`serving_default` of a LiteRT file, likewise."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return lambda inputs: runner(**inputs)


def run_onnx(path):
    """`serving_default` of an ONNX file, likewise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


WRITERS = {"tflite": to_tflite, "onnx": to_onnx}
RUNNERS = {"saved_model": run_saved_model, "tflite": run_tflite, "onnx": run_onnx}
