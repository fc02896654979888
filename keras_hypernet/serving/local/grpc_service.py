"""TensorFlow Serving's gRPC services, PredictionService and ModelService, on its own stubs."""

import asyncio
import functools
import time

import numpy as np

from keras_hypernet.serving.config import model_spec
from keras_hypernet.serving.errors import ServingError, as_serving_error, invalid, too_slow
from keras_hypernet.serving.local import events
from keras_hypernet.serving.local.engine import ModelSpec
from keras_hypernet.serving.local.protos import decode_tensor, signature_map, status_response

_MESSAGE_OVERHEAD = 2**20  # bytes beside the tensors, such as names
_MORE_CALLS = 16  # calls beyond the running requests: status requests, and messages still being read
_LARGEST = 2**31 - 1  # of gRPC's integer options
_LOOKAHEAD = 4 * 2**20  # bytes of a message in flight; gRPC's own window starts at 64 KiB
# The server closes connections of this age without losing calls; clients reconnect. Until then, the answers that a
# client does not take stay in memory.
_AGE_SECONDS, _GRACE_SECONDS = 600, 120


def make_server(engine):
    """Returns a `grpc.aio` server of both services for an `Engine`, without a port yet."""
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    limits, services = engine.limits, _Services(engine)
    size = limits.max_body_bytes + _MESSAGE_OVERHEAD
    server = grpc.aio.server(
        interceptors=[_interceptor(limits)],
        maximum_concurrent_rpcs=min(limits.max_concurrent + _MORE_CALLS, _LARGEST),
        options=[
            ("grpc.max_receive_message_length", size),
            ("grpc.max_send_message_length", size),
            ("grpc.http2.lookahead_bytes", _LOOKAHEAD),
            ("grpc.so_reuseport", 0),  # a port in use is an error, and not shared
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


def _interceptor(limits):
    """An interceptor that passes an error to the method in place of an unreadable or too slow message.

    Without it, gRPC answers UNKNOWN with a traceback. The server declares each call as a stream of one message, so that
    the call comes before the message; for the client, nothing changes.
    """
    import grpc
    from google.protobuf.message import DecodeError

    class Careful(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, details):
            handler = await continuation(details)
            if handler is None:  # no such method; gRPC answers
                return None

            async def answer(messages, context):
                try:
                    message = await asyncio.wait_for(anext(messages), limits.body_seconds)
                    request = handler.request_deserializer(message)
                except asyncio.TimeoutError:
                    request = too_slow(limits, "no complete message")
                except StopAsyncIteration:  # the client has gone, or gRPC has refused the message as too large
                    request = invalid("The call ended before its message was read.")
                except DecodeError as error:
                    request = invalid(f"The message cannot be read: {error}")
                return await handler.unary_unary(request, context)

            return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)

    return Careful()


class _Services:
    """The methods of both services, as attributes with the names of the protocol."""

    def __init__(self, engine):
        self._engine = engine
        for method, handle in {
            "Predict": self._predict,
            "GetModelMetadata": self._metadata,
            "GetModelStatus": self._status,
            **dict.fromkeys(("Classify", "Regress", "MultiInference"), self._only_predict),
            "HandleReloadConfigRequest": self._no_reload,
        }.items():
            setattr(self, method, functools.partial(self._answer, method, handle))

    async def _answer(self, method, handle, request, context):
        import grpc

        facts = {"started": time.perf_counter(), "protocol": "gRPC", "method": method, "bytes": 0}
        try:
            if isinstance(request, ServingError):
                raise request
            facts["bytes"] = request.ByteSize()
            response = await handle(request, facts)
        except asyncio.CancelledError:  # the client has gone, its deadline has passed, or the server stops
            events.log_request(facts, "CANCELLED", 0)
            raise
        except Exception as error:
            failure = as_serving_error(error, facts)
            facts["error"] = failure.message
            events.log_request(facts, failure.code, 0)
            await context.abort(grpc.StatusCode[failure.code], failure.message)
        events.log_request(facts, "OK", response.ByteSize())
        return response

    async def _predict(self, request, facts):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        spec, signature = _spec(request, facts), request.model_spec.signature_name or "serving_default"
        facts["signature"] = signature

        def work(servable):
            facts["version"] = servable.version
            if signature not in servable.inputs:
                raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
            inputs = _inputs(request, servable.inputs[signature], self._engine.limits.max_body_bytes)
            facts["rows"] = max((len(value) for value in inputs.values() if np.ndim(value)), default=0)
            names = _filtered(request.output_filter, servable.outputs[signature])
            outputs = self._engine.run(servable, signature, inputs)
            return predict_pb2.PredictResponse(
                model_spec=model_spec(spec.name, servable.version, signature),
                outputs={name: tf.make_tensor_proto(outputs[name]) for name in names},
            )

        return await self._engine.predict("gRPC", spec, work)

    async def _metadata(self, request, facts):
        from tensorflow_serving.apis import get_model_metadata_pb2

        spec = _spec(request, facts)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        unknown = [field for field in request.metadata_field if field != "signature_def"]
        if unknown:
            raise invalid(f"Metadata field {unknown[0]} is not supported")
        with self._engine.repository.use(*spec) as servable:
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=model_spec(spec.name, servable.version)
            )
            response.metadata["signature_def"].Pack(signature_map(servable))
            return response

    async def _status(self, request, facts):
        return status_response(self._engine.repository.status(*_spec(request, facts)))

    async def _only_predict(self, request, facts):
        raise invalid("Expected a classification or regression signature. These models have none: use Predict.")

    async def _no_reload(self, request, facts):
        raise ServingError("UNIMPLEMENTED", "This server follows the models.config in its folder of models by itself.")


def _spec(request, facts):
    """The `ModelSpec` of a request, whose name is added to the facts."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    facts["model"] = spec.name
    version = spec.version.value if spec.HasField("version") else None
    return ModelSpec(spec.name, version, spec.version_label or None)


def _inputs(request, infos, max_bytes):
    extra, missing = set(request.inputs) - set(infos), set(infos) - set(request.inputs)
    if extra or missing:
        sent, required, extra, missing = (",".join(sorted(names)) for names in (request.inputs, infos, extra, missing))
        raise invalid(
            f"input size does not match signature: {len(request.inputs)}!={len(infos)} len({{{sent[:200]}}}) != "
            f"len({{{required}}}). Sent extra: {{{extra[:200]}}}. Missing but required: {{{missing}}}."
        )
    return {name: decode_tensor(request.inputs[name], info, name, max_bytes) for name, info in infos.items()}


def _filtered(names, outputs):
    """The outputs that a request asks for; by default all."""
    for name in names:
        if name not in outputs:
            expected = f"Outputs expected to be in the set {{{','.join(sorted(outputs))}}}."
            raise invalid(f"output tensor alias not found in signature: {name[:80]} {expected}")
    if len(set(names)) < len(names):
        raise invalid("duplicate output tensor alias")
    return list(names) or list(outputs)
