"""Body: reads the body of a REST request within the limits on size and time, or discards it."""

import asyncio
import gzip
import io
import time
import zlib

from starlette.requests import ClientDisconnect

from keras_hypernet.serving.errors import ServingError, invalid, too_large, too_slow

# The server reads and drops a rejected body up to this many times the size limit, because a client that is still
# sending does not read the response.
_DISCARDED = 16
_PIECE = 2**18  # bytes decompressed at a time


class Body:
    """The body of a Starlette request, whose size is added to `facts`; raises ServingError beyond `Limits`."""

    def __init__(self, request, limits, facts):
        self._stream, self._limits, self._facts = request.stream(), limits, facts
        self._received, self._ended, self._end = 0, False, time.monotonic() + limits.body_seconds
        self._coding = request.headers.get("content-encoding", "identity").strip().lower()
        self._reservation = None

    async def read(self, reservation):
        """Returns the body, a bytearray, and counts its bytes in the `Reservation` of the request."""
        limit, body, self._reservation = self._limits.max_body_bytes, bytearray(), reservation
        if self._coding not in ("identity", "gzip", "x-gzip"):
            expected = f"The Content-Encoding of a request must be gzip, or none. Received: {self._coding[:40]}"
            raise ServingError("INVALID_ARGUMENT", expected, http_status=415)
        while (part := await self._next()) is not None:
            if self._received > limit:
                body.clear()
                reservation.drop()
                await self.discard()
                raise _too_large(limit, f"{self._received:,}")
            reservation.hold(len(part))
            body += part
        self._facts["bytes"] = len(body)
        return body

    def decompressed(self, received):
        """Decompresses the bytes that `read` returned. Slow: call it in a thread."""
        if self._coding == "identity":
            return received
        limit, body = self._limits.max_body_bytes, bytearray()
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(received)) as file:
                while part := file.read(_PIECE):
                    if len(body) + len(part) > limit:
                        raise _too_large(limit, "more, when it is decompressed")
                    self._reservation.hold(len(part))
                    body += part
        except (EOFError, OSError, zlib.error) as error:
            expected = "The body of a request with Content-Encoding: gzip must be a gzip file."
            raise invalid(f"{expected} Received: {error}") from error
        return body

    async def discard(self):
        """Reads and drops the rest, because a client that is still sending does not read the response."""
        try:
            while self._received <= _DISCARDED * self._limits.max_body_bytes and await self._next() is not None:
                pass
        except ServingError:  # too slow, or disconnected; the request has already been rejected
            pass

    async def _next(self):
        """Returns the next part, or None at the end."""
        if self._ended:
            return None
        self._ended = True  # unless another part arrives
        try:
            part = await asyncio.wait_for(anext(self._stream, None), max(self._end - time.monotonic(), 1e-3))
        except ClientDisconnect as error:
            raise ServingError("CANCELLED", "The client disconnected before its request was read.") from error
        except asyncio.TimeoutError as error:
            raise too_slow(self._limits, f"{self._received:,} bytes") from error
        self._ended = part is None
        self._received += len(part or b"")
        return part


def _too_large(limit, received):
    return too_large(f"The body of a request may have {limit:,} bytes. Received: {received}")
