"""TensorFlow Serving's REST interface, as in api_rest.md of its documentation, as an ASGI application."""

import asyncio
import json
import re
import time
import urllib.parse

from google.protobuf import json_format
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from keras_hypernet.serving.config import METRICS_PATH
from keras_hypernet.serving.errors import ServingError, as_serving_error, invalid
from keras_hypernet.serving.local import events, json_messages
from keras_hypernet.serving.local.bodies import Body
from keras_hypernet.serving.local.engine import ModelSpec
from keras_hypernet.serving.local.page import find

_VERSION = r"(?:/versions/(?P<version>\d{1,20})|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}:predict", re.IGNORECASE)
_GET = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}(?:/(?P<part>metadata))?", re.IGNORECASE)
_JSON = "application/json"
HEALTH_PATH = "/healthz"
_PATHS = (
    f"GET /v1/models, GET /v1/models/NAME, GET /v1/models/NAME/metadata, POST /v1/models/NAME:predict, each with "
    f"/versions/NUMBER or /labels/LABEL after the name if wanted; GET {HEALTH_PATH}, GET {METRICS_PATH}, GET /"
)


def application(engine, page, callers):
    """Returns the ASGI application for an `Engine` and `Callers`, with or without the demonstration page."""

    def failed(error, facts):
        facts["error"] = error.message
        # Stops a client that is still sending.
        headers = {"Connection": "close"} if error.http_status in (408, 413, 429) else None
        content = json.dumps({"error": error.message})
        return Response(content, error.http_status, headers=headers, media_type=_JSON)

    # Without Starlette's routes, which would respond to unknown methods themselves.
    async def answer(scope, receive, send):
        request = Request(scope, receive)
        # Still quoted, so that an encoded %2F is not a separator.
        path = scope.get("raw_path", request.url.path.encode()).split(b"?")[0].decode("ascii", "replace")
        facts = {"started": time.perf_counter(), "protocol": "REST", "method": request.method, "path": path}
        try:
            callers.check(request.headers)
            response = await _dispatch(engine, page, request, path, facts)
        except asyncio.CancelledError:  # by the server, after the grace period
            response = failed(ServingError("UNAVAILABLE", "The server stops before the response."), facts)
        except Exception as error:
            response = failed(as_serving_error(error, facts), facts)
        events.log_request(facts, response.status_code, len(response.body))
        await response(scope, receive, send)

    if not callers.origins:
        return answer
    return CORSMiddleware(answer, callers.origins, allow_methods=("GET", "POST"), allow_headers=("*",))


async def _dispatch(engine, page, request, path, facts):
    if request.method == "GET" and path == METRICS_PATH:
        content, media_type = engine.metrics.page()
        return Response(content, media_type=media_type)
    if request.method in ("GET", "HEAD") and path == HEALTH_PATH:
        if missing := engine.repository.unavailable():
            raise ServingError("UNAVAILABLE", f"Every model must have a version that is available. Without: {missing}")
        return Response(json.dumps({"status": "ok"}), media_type=_JSON)
    if request.method == "GET" and path == "/v1/models":
        states = engine.repository.states()
        models = [{"name": name, **_statuses(versions)} for name, versions in states.items()]
        return Response(json.dumps({"models": models}, indent=1), media_type=_JSON)
    if not re.match("/v1(/|$)", path, re.IGNORECASE):
        # In a thread, so that only the first visitor of the page waits for its images.
        file = await asyncio.to_thread(find, engine, path) if page and request.method in ("GET", "HEAD") else None
        if file is None:
            raise ServingError("NOT_FOUND", f"There is nothing at {path[:80]}. There are: {_PATHS}.")
        return file
    pattern = {"POST": _POST, "GET": _GET}.get(request.method)
    match = pattern and pattern.fullmatch(path)
    if not match:
        raise invalid(f"Malformed request: {request.method} {path}")
    label = match["label"] and urllib.parse.unquote(match["label"])
    spec = ModelSpec(urllib.parse.unquote(match["name"]), match["version"] and int(match["version"]), label)
    if request.method == "GET":
        answer = _metadata(engine, spec) if match["part"] else _statuses(engine.repository.status(*spec))
        return Response(json.dumps(answer, indent=1), media_type=_JSON)
    return Response(await _predict(engine, spec, request, facts), media_type=_JSON)


async def _predict(engine, spec, request, facts):
    body = Body(request, engine.limits, engine.buffered, facts)

    def work(servable):
        content = json_messages.parse(body.decompressed(), engine.limits.max_body_bytes)
        signature = json_messages.signature_name(content)
        facts.update(model=spec.name, version=servable.version, signature=signature)
        if signature not in servable.inputs:
            raise invalid(f'Serving signature name: "{signature}" not found in signature def')
        row_format, inputs = json_messages.decode_request(content, servable.inputs[signature])
        outputs = engine.run(servable, signature, inputs, facts, json_messages.BYTES_OF_A_VALUE)
        return json_messages.encode_response(outputs, row_format)

    try:
        return await engine.predict("REST", spec, work, body.read)
    except ServingError:
        await body.discard()
        raise
    finally:
        body.release()


def _statuses(versions):
    return {
        "model_version_status": [
            {
                "version": str(version),
                "state": state,
                "status": {"error_code": "UNKNOWN" if error else "OK", "error_message": error},
            }
            for version, state, error in versions
        ]
    }


def _metadata(engine, spec):
    with engine.repository.use(*spec) as servable:
        definitions = json_format.MessageToDict(
            servable.signature_map, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return {
            "model_spec": {"name": spec.name, "signature_name": "", "version": str(servable.version)},
            "metadata": {"signature_def": definitions},
        }
