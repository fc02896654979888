"""Warm-up requests: TensorFlow Serving runs them after loading, so that the first user does not wait for the graph."""

import pathlib

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
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature.name
            for tensor in signature.inputs:
                array = inputs[tensor.name]
                # One value for all: generated weights would take as many bytes in the file.
                proto = tf.make_tensor_proto(array.flat[0], tensor.dtype, array.shape)
                request.inputs[tensor.name].CopyFrom(proto)
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            records.write(log.SerializeToString())


def read_warmup(folder):
    """Returns the `PredictRequest`s of a SavedModel, none without a warm-up file; ValueError if it holds others."""
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
