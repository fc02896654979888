"""ServingError: what a request can fail with, in the codes that gRPC and TensorFlow Serving's REST interface share."""

# The codes of gRPC that are used, and what TensorFlow Serving's REST interface makes of them.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class ServingError(Exception):
    """A request failed.

    Attributes:
        code: Name of a gRPC status code, a key of `HTTP_STATUS`.
        message: What was expected and what was received.
        http_status: The HTTP status, if it is not the usual one of the code.
    """

    def __init__(self, code, message, http_status=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status or HTTP_STATUS[code]


def invalid(message):
    """A request that cannot be answered as it is."""
    return ServingError("INVALID_ARGUMENT", message)


def too_large(message):
    """A request beyond a limit on size: 413, and gRPC's RESOURCE_EXHAUSTED."""
    return ServingError("RESOURCE_EXHAUSTED", message, http_status=413)
