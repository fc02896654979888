"""TensorFlow Serving's gRPC services, PredictionService and ModelService, on its own stubs."""

import asyncio
import math
import time

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_hypernet.serving.config import model_spec
from keras_hypernet.serving.errors import ServingError, as_serving_error, invalid, too_large, too_slow
from keras_hypernet.serving.local import events
from keras_hypernet.serving.local.engine import ModelSpec

_MESSAGE_OVERHEAD = 2**20  # bytes beside the tensors, such as names
_MORE_CALLS = 16  # calls beyond the running requests: status requests, and messages still being read
_LARGEST = 2**31 - 1  # of gRPC's integer options
_LOOKAHEAD = 4 * 2**20  # bytes of a message in flight; gRPC's own window starts at 64 KiB
# The server closes connections of this age without losing calls; clients reconnect. Until then, the responses that a
# client does not read stay in memory.
_AGE_SECONDS, _GRACE_SECONDS = 600, 120
_DTYPES = {number: name for name, number in types_pb2.DataType.items()}


def make_server(engine):
    """Returns a `grpc.aio` server of both services for an `Engine`, without a port yet."""
    limits, services = engine.limits, _Services(engine)
    size = limits.max_body_bytes + _MESSAGE_OVERHEAD
    server = grpc.aio.server(
        interceptors=[_Answering(limits)],
        maximum_concurrent_rpcs=min(limits.max_concurrent + _MORE_CALLS, _LARGEST),
        options=[
            ("grpc.max_receive_message_length", size),
            ("grpc.max_send_message_length", size),
            ("grpc.http2.lookahead_bytes", _LOOKAHEAD),
            ("grpc.so_reuseport", 0),  # a port in use is an error instead of being shared
            ("grpc.max_allowed_incoming_connections", limits.max_connections),
            ("grpc.server_handshake_timeout_ms", min(1000 * limits.header_seconds, _LARGEST)),
            ("grpc.max_connection_idle_ms", min(1000 * limits.idle_seconds, _LARGEST)),
            ("grpc.max_connection_age_ms", 1000 * _AGE_SECONDS),
            ("grpc.max_connection_age_grace_ms", 1000 * _GRACE_SECONDS),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
    return server


class _Answering(grpc.aio.ServerInterceptor):
    """Reads the message of each call, passes it to the method with a dict of facts for the log, and answers errors.

    gRPC itself returns UNKNOWN with a traceback for an unreadable message, and waits for a slow message forever. The
    server declares each call as a stream of one message, so that the call arrives before the message; for the client,
    nothing changes.
    """

    def __init__(self, limits):
        self._limits = limits

    async def intercept_service(self, continuation, details):
        handler, method = await continuation(details), details.method.rpartition("/")[2]
        if handler is None:  # no such method; gRPC responds
            return None

        async def answer(messages, context):
            facts = {"started": time.perf_counter(), "protocol": "gRPC", "method": method, "bytes": 0}
            try:
                request = await self._read(messages, handler.request_deserializer)
                facts["bytes"] = request.ByteSize()
                response = await handler.unary_unary(request, facts)
            except asyncio.CancelledError:  # the client disconnected, its deadline has passed, or the server stops
                events.log_request(facts, "CANCELLED", 0)
                raise
            except Exception as error:
                failure = as_serving_error(error, facts)
                facts["error"] = failure.message
                events.log_request(facts, failure.code, 0)
                await context.abort(grpc.StatusCode[failure.code], failure.message)
            events.log_request(facts, "OK", response.ByteSize())
            return response

        return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)

    async def _read(self, messages, deserialize):
        try:
            return deserialize(await asyncio.wait_for(anext(messages), self._limits.body_seconds))
        except asyncio.TimeoutError as error:
            raise too_slow(self._limits, "no complete message") from error
        except StopAsyncIteration as error:  # the client disconnected, or gRPC rejected the message as too large
            raise invalid("The call ended before its message was read.") from error
        except DecodeError as error:
            raise invalid(f"The message cannot be read: {error}") from error


class _Services:
    """The methods of both services, of a request and a dict, which receives facts for the log."""

    def __init__(self, engine):
        self._engine = engine

    async def Predict(self, request, facts):  # noqa: N802
        spec, signature = _spec(request, facts), request.model_spec.signature_name or "serving_default"
        facts["signature"] = signature

        def work(servable):
            facts["version"] = servable.version
            if signature not in servable.inputs:
                raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
            infos, outputs = servable.inputs[signature], servable.outputs[signature]
            _check_names("inputs", request.inputs, infos, set(infos))
            _check_names("output_filter", request.output_filter, outputs)
            inputs = {
                name: _decode_tensor(request.inputs[name], info, name, self._engine.limits.max_body_bytes)
                for name, info in infos.items()
            }
            answer = self._engine.run(servable, signature, inputs, facts)
            return predict_pb2.PredictResponse(
                model_spec=model_spec(spec.name, servable.version, signature),
                outputs={name: tf.make_tensor_proto(answer[name]) for name in request.output_filter or outputs},
            )

        return await self._engine.predict("gRPC", spec, work)

    async def GetModelMetadata(self, request, facts):  # noqa: N802
        spec = _spec(request, facts)
        if [*request.metadata_field] != ["signature_def"]:
            raise invalid(f"`metadata_field` must be signature_def. Received: {', '.join(request.metadata_field)}")
        with self._engine.repository.use(*spec) as servable:
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=model_spec(spec.name, servable.version)
            )
            response.metadata["signature_def"].Pack(servable.signature_map)
            return response

    async def GetModelStatus(self, request, facts):  # noqa: N802
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state, error in self._engine.repository.status(*_spec(request, facts)):
            added = response.model_version_status.add(version=version, state=state)
            added.status.error_code = 2 if error else 0  # UNKNOWN, OK
            added.status.error_message = error
        return response

    async def Classify(self, request, facts):  # noqa: N802
        raise ServingError("UNIMPLEMENTED", "There are Predict, GetModelMetadata and GetModelStatus only.")

    Regress = MultiInference = HandleReloadConfigRequest = Classify


def _spec(request, facts):
    """The `ModelSpec` of a request, whose name is added to the facts."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    facts["model"] = spec.name
    version = spec.version.value if spec.HasField("version") else None
    return ModelSpec(spec.name, version, spec.version_label or None)


def _check_names(field, received, allowed, required=frozenset()):
    """Raises ServingError unless the names in a field of a request are allowed, and include all that are required."""
    if not required <= set(received) <= set(allowed):
        names, wrong = (", ".join(sorted(each)) for each in (allowed, received))
        raise invalid(f"`{field}` must be{' all' * bool(required)} of {names}. Received: {wrong[:200]}")


def _decode_tensor(proto, info, name, max_bytes):
    """Reads the `TensorProto` of an input `name` with a `TensorInfo` as an array of at most `max_bytes`.

    The sizes in the message are not trusted, because a short message can stand for a large array.
    """
    if proto.dtype != info.enum:
        received = _DTYPES.get(proto.dtype, f"number {proto.dtype}")
        raise invalid(f"Input {name!r} must be of dtype {_DTYPES[info.enum]}. Received: {received}")
    if proto.tensor_shape.unknown_rank:
        raise invalid(f"Input {name!r} must have a shape. Received: a tensor of unknown rank")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if len(shape) > 32 or any(size < 0 for size in shape):
        raise invalid(f"Input {name!r} must have a shape of at most 32 sizes, none negative. Received: {shape}")
    num_bytes = math.prod(shape) * (1 if info.dtype == object else info.dtype.itemsize)
    if num_bytes > max_bytes:
        raise too_large(f"Input {name!r} of shape {shape} is larger than the {max_bytes:,} bytes that are accepted.")
    content = proto.tensor_content  # once: every access copies it
    if content and info.dtype != object:
        if len(content) != num_bytes:
            raise invalid(f"Input {name!r} of shape {shape} must hold {num_bytes} bytes. Received: {len(content)}")
        return np.frombuffer(content, info.dtype).reshape(shape)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from error
