"""Warm-up requests: TensorFlow Serving runs them after loading, so that the first user does not wait for the graph."""

import pathlib

from keras_hypernet.serving.config import model_spec
from keras_hypernet.serving.signatures import example

PATH = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


def write_warmup(signatures, folder, name):
    """Writes the examples of `Signature`s into the SavedModel in `folder`, which is served as `name`."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = pathlib.Path(folder) / PATH
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as records:
        for signature in signatures:
            try:
                inputs = example(signature)
            except (ValueError, tf.errors.InvalidArgumentError):
                continue
            protos = {
                # One value for all entries, because generated weights would take many bytes in the file.
                tensor.name: tf.make_tensor_proto(inputs[tensor.name].flat[0], tensor.dtype, inputs[tensor.name].shape)
                for tensor in signature.inputs
            }
            request = predict_pb2.PredictRequest(model_spec=model_spec(name, signature=signature.name), inputs=protos)
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            records.write(log.SerializeToString())


def read_warmup(folder):
    """Returns the `PredictRequest`s of a SavedModel, none without a warm-up file; ValueError for other records."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    path = pathlib.Path(folder) / PATH
    if not path.is_file():
        return []
    try:
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except (tf.errors.OpError, DecodeError) as error:
        raise ValueError(f"{path} must hold records of PredictionLog. Received: {error}") from error
    return [log.predict_log.request for log in logs if log.HasField("predict_log")]
