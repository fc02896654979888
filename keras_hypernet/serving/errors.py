"""ServingError: failures of requests, with the codes of gRPC and of TensorFlow Serving's REST interface."""

import traceback

_LONGEST = 1000


class ServingError(Exception):
    """A request failed.

    Attributes:
        code: Name of a gRPC status code.
        message: The expected and the received value.
        http_status: The HTTP status; by default the status of the code.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        # gRPC drops a response with a message of several thousand characters.
        self.message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
        super().__init__(self.message)
        self.code = code
        self.http_status = http_status or _CODES[code][0]


class InvalidRequestError(ServingError):
    """The request does not fit the model: its shape, dtype, input, signature or label."""


class NotFoundError(ServingError):
    """The server has no such model or version."""


class OverloadedError(ServingError):
    """The request exceeds a limit of the server, on concurrent requests or on size."""


class UnavailableError(ServingError):
    """The server is unreachable, unavailable, or stopping."""


class DeadlineError(ServingError):
    """The server did not answer in time."""


# gRPC's codes, with their status in TensorFlow Serving's REST interface, and the error that a client raises.
_CODES = {
    "FAILED_PRECONDITION": (400, InvalidRequestError),
    "INVALID_ARGUMENT": (400, InvalidRequestError),
    "PERMISSION_DENIED": (403, ServingError),
    "NOT_FOUND": (404, NotFoundError),
    "RESOURCE_EXHAUSTED": (429, OverloadedError),
    "CANCELLED": (499, UnavailableError),  # a stopping server; 499 is nginx's code for a disconnected client
    "INTERNAL": (500, ServingError),
    "UNIMPLEMENTED": (501, ServingError),
    "UNAVAILABLE": (503, UnavailableError),
    "DEADLINE_EXCEEDED": (504, DeadlineError),
}


def from_code(code, message):
    """The client's error for a gRPC code."""
    code = code if code in _CODES else "INTERNAL"
    return _CODES[code][1](code, message)


def from_http(status, message):
    """The client's error for an HTTP status."""
    codes = {number: code for code, (number, _) in _CODES.items()}
    return from_code({**codes, 408: "DEADLINE_EXCEEDED", 413: "RESOURCE_EXHAUSTED"}.get(status), message)


def invalid(message):
    """The error for an invalid request: 400, and gRPC's INVALID_ARGUMENT."""
    return ServingError("INVALID_ARGUMENT", message)


def too_large(message):
    """The error for a request beyond a limit on size: 413, and gRPC's RESOURCE_EXHAUSTED."""
    return ServingError("RESOURCE_EXHAUSTED", message, http_status=413)


def too_slow(limits, received):
    """The error for a request whose body is late: 408, and gRPC's DEADLINE_EXCEEDED."""
    message = f"The body of a request must arrive within {limits.body_seconds} seconds. Received: {received}"
    return ServingError("DEADLINE_EXCEEDED", message, http_status=408)


def as_serving_error(error, facts):
    """Converts a failure to a ServingError; the traceback of an unexpected failure is added to the facts in the log."""
    if isinstance(error, ServingError):
        return error
    facts["traceback"] = "".join(traceback.format_exception(error))
    return ServingError("INTERNAL", f"The server failed: {type(error).__name__}.")
