"""Body: reads the body of a REST request within the limits on size and time, or discards it; Buffered: all bodies."""

import asyncio
import contextlib
import gzip
import io
import threading
import time
import zlib

from starlette.requests import ClientDisconnect

from keras_hypernet.serving.errors import ServingError, invalid, too_large, too_slow

# The server reads and drops a rejected body up to this many times the size limit, because a client that is still
# sending does not read the response.
_DISCARDED = 16
_PIECE = 2**18  # bytes decompressed at a time
_BODIES = 4  # as many bodies of the largest size may be in memory
# The server reads a body of this size in any case, because uvicorn buffers as much.
_SMALL = 64 * 2**10


class Buffered:
    """Counts the bytes of all bodies, at most four times the largest size beside small bodies."""

    def __init__(self, limits):
        self.num_bytes, self._most, self._lock = 0, _BODIES * limits.max_body_bytes, threading.Lock()

    def add(self, number, small=False):
        """Counts bytes; raises ServingError if these are too many and the body is not small."""
        with self._lock:
            if self.num_bytes + number > self._most and not small:
                holds = f"The server holds {self.num_bytes:,} bytes of requests, and may hold {self._most:,}."
                raise ServingError("RESOURCE_EXHAUSTED", f"{holds} Try again later.")
            self.num_bytes += number

    def remove(self, number):
        with self._lock:
            self.num_bytes -= number


class Body:
    """The body of a Starlette request, whose size is added to `facts`; raises ServingError beyond `Limits`.

    Its bytes count in `Buffered` until it is discarded or released.
    """

    def __init__(self, request, limits, buffered, facts):
        self._stream, self._limits, self._buffered, self._facts = request.stream(), limits, buffered, facts
        self._received, self._end = 0, time.monotonic() + limits.body_seconds
        self._coding = request.headers.get("content-encoding", "identity").strip().lower()
        self._content, self._held = bytearray(), 0

    async def read(self):
        """Reads the body."""
        if self._coding not in ("identity", "gzip", "x-gzip"):
            expected = f"The Content-Encoding of a request must be gzip, or none. Received: {self._coding[:40]}"
            raise ServingError("INVALID_ARGUMENT", expected, http_status=415)
        while (part := await self._next()) is not None:
            if self._received > self._limits.max_body_bytes:
                await self.discard()  # before the error, which says how many bytes there were
                raise self._too_large(f"{self._received:,}")
            self._hold(len(part))
            self._content += part
        self._facts["bytes"] = len(self._content)

    def decompressed(self):
        """Returns the body that `read` has read. Slow: call it in a thread."""
        if self._coding == "identity":
            return self._content
        body = bytearray()
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(self._content)) as file:
                while part := file.read(_PIECE):
                    if len(body) + len(part) > self._limits.max_body_bytes:
                        raise self._too_large("more, when it is decompressed")
                    self._hold(len(part))
                    body += part
        except (EOFError, OSError, zlib.error) as error:
            expected = "The body of a request with Content-Encoding: gzip must be a gzip file."
            raise invalid(f"{expected} Received: {error}") from error
        return body

    async def discard(self):
        """Drops the body, and reads the rest, because a client that is still sending does not read the response."""
        self.release()
        with contextlib.suppress(ServingError):  # too slow, or disconnected; the request has already been rejected
            while self._received <= _DISCARDED * self._limits.max_body_bytes and await self._next() is not None:
                pass

    def release(self):
        """Drops the body."""
        self._buffered.remove(self._held)
        self._content, self._held = bytearray(), 0

    def _hold(self, number):
        self._buffered.add(number, small=self._held + number <= _SMALL)
        self._held += number

    async def _next(self):
        """Returns the next part, or None at the end and after an error."""
        try:
            part = await asyncio.wait_for(anext(self._stream, None), max(self._end - time.monotonic(), 1e-3))
        except ClientDisconnect as error:
            raise ServingError("CANCELLED", "The client disconnected before its request was read.") from error
        except asyncio.TimeoutError as error:
            raise too_slow(self._limits, f"{self._received:,} bytes") from error
        self._received += len(part or b"")
        return part

    def _too_large(self, received):
        return too_large(f"The body of a request may have {self._limits.max_body_bytes:,} bytes. Received: {received}")
