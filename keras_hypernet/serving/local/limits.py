"""Limits: what a server accepts; and the count of the requests, and of the bytes of them, that it holds."""

import dataclasses
import threading

from keras_hypernet.serving.errors import ServingError

# A value takes at most two characters of JSON, "1,", but 8 to 90 bytes once it is parsed: the bytes of a body alone do
# not tell how large it will be. Images of a channel, [[[0], [255], ...]], have 3 to 6 characters for a value or a list.
_BYTES_OF_A_VALUE = 16
_BODIES = 4
# A body of so many bytes is read though the server holds `max_buffered_bytes`: uvicorn reads as many in any case.
_SMALL_BODY = 64 * 2**10
# Open files beside the connections: those of TensorFlow, of the models, and what waits to be accepted or closed.
_OTHER_FILES = 256
# gRPC counts the bytes of a message in 31 bits; the server leaves room for names and other small things.
_LARGEST_BODY = 2046 * 2**20


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server accepts.

    Attributes:
        max_body_bytes: Of a request, and of what it asks for, as gRPC or JSON will have it; at most 2046 MiB.
        max_batch_rows: Size of the 0th dimension of an input.
        max_concurrent: Requests that are worked on, those that wait for a processor included. By gRPC a few more may be
            under way, those that are still read included.
        max_buffered_bytes: Of all bodies by REST together; by default of four of the largest. Beyond, the server still
            reads bodies of at most 64 KiB.
        max_json_values: Values, lists and objects in a request by REST; by default one for 16 bytes of the largest.
        max_connections: Connections by REST, and as many by gRPC.
        header_seconds: Within which a client must send the headers of a request, by gRPC the settings of a connection.
        body_seconds: Within which a client must send the body of a request, and by REST take the answer.
        idle_seconds: After which a connection without a request is closed.
    """

    max_body_bytes: int = 64 * 2**20
    max_batch_rows: int = 4096
    max_concurrent: int = 256
    max_buffered_bytes: int | None = None
    max_json_values: int | None = None
    max_connections: int = 1024
    header_seconds: int = 10
    body_seconds: int = 30
    # Long: if the server closes a connection just when its client sends again, that request is lost.
    idle_seconds: int = 75

    def __post_init__(self):
        defaults = {
            "max_buffered_bytes": lambda: _BODIES * self.max_body_bytes,
            "max_json_values": lambda: max(1, self.max_body_bytes // _BYTES_OF_A_VALUE),
        }
        for field in dataclasses.fields(self):
            if field.name in defaults and getattr(self, field.name) is None:
                object.__setattr__(self, field.name, defaults[field.name]())
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{field.name}` must be a positive integer. Received: {value!r}")
        if self.max_body_bytes > _LARGEST_BODY:
            raise ValueError(
                f"`max_body_bytes` must be at most {_LARGEST_BODY:,} (2046 MiB), which gRPC can carry. "
                f"Received: {self.max_body_bytes:,}"
            )


def allow_open_files(limits):
    """Raises the number of files that this process may open to what the connections need, as far as that is allowed.

    Raises:
        ValueError: If the process may not have so many.
    """
    try:
        import resource
    except ImportError:  # a system without such limits
        return
    needed = 2 * limits.max_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"`max_connections` {limits.max_connections} needs {needed} open files, and this process may have {hard}. "
            f"Pass at most {max(1, (hard - _OTHER_FILES) // 2)}, or raise the limit (ulimit -Hn)."
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Admission:
    """Which requests are worked on, until the last thread is done with them, and the bytes of those that are read.

    Requests that are still being read are not counted: a client that stalls would keep others away.

    Args:
        limits: The `Limits`.
    """

    def __init__(self, limits):
        self.limits, self.running, self.buffered = limits, 0, 0
        self.lock = threading.Lock()


class Place:
    """The place of one request, with the bytes of its body.

    Args:
        admission: The `Admission`.
    """

    def __init__(self, admission):
        self._admission, self._bytes, self._entered = admission, 0, False

    def hold(self, number):
        """Counts bytes of the body; raises ServingError if this is not small, and all bodies together are too large."""
        one, most = self._admission, self._admission.limits.max_buffered_bytes
        with one.lock:
            if one.buffered + number > most and self._bytes + number > _SMALL_BODY:
                raise ServingError(
                    "RESOURCE_EXHAUSTED",
                    f"The server holds {one.buffered:,} bytes of requests, and may hold {most:,}. Try again later.",
                )
            one.buffered += number
            self._bytes += number

    def drop(self):
        """Gives the bytes back."""
        with self._admission.lock:
            self._admission.buffered -= self._bytes
            self._bytes = 0

    def enter(self):
        """Counts the request as one that is worked on; raises ServingError if it is one too many."""
        one = self._admission
        with one.lock:
            if one.running >= one.limits.max_concurrent:
                raise ServingError(
                    "RESOURCE_EXHAUSTED",
                    f"The server is working on {one.running} requests, as many as it accepts. Try again later.",
                )
            one.running += 1
            self._entered = True

    def leave(self):
        """Gives everything back."""
        self.drop()
        with self._admission.lock:
            self._admission.running -= self._entered
            self._entered = False
