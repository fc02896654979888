"""Body: how the body of a REST request is read, within the limits on its size and on its time, or thrown away."""

import asyncio
import gzip
import io
import time
import zlib

from keras_hypernet.serving.errors import ServingError, invalid, too_large, too_slow

# Of a body that is not wanted so many times the limit is read and thrown away, so that the client gets to read why.
_DISCARDED = 16
# Bytes that are decompressed at a time.
_PIECE = 2**18


class Body:
    """The body of one request.

    Args:
        request: Starlette's request.
        limits: The `Limits`.
    """

    def __init__(self, request, limits):
        self._stream, self._limits = request.stream(), limits
        length = request.headers.get("content-length", "")
        self._declared = int(length) if length.isdecimal() and len(length) < 20 else 0
        self._received, self._ended, self._end = 0, False, time.monotonic() + limits.body_seconds
        coding = request.headers.get("content-encoding", "identity")
        self._coding, self._place = coding.strip().lower(), None
        self.is_compressed = self._coding != "identity"

    async def read(self, place):
        """Returns the body, a bytearray.

        Args:
            place: The `Place` of the request, which is told of every byte that is kept.

        Raises:
            ServingError: If it is too large or too slow, all bodies together are too large, the client has gone, or its
                compression is not gzip.
        """
        limit, body, self._place = self._limits.max_body_bytes, bytearray(), place
        if self._coding not in ("identity", "gzip", "x-gzip"):
            expected = f"The Content-Encoding of a request must be gzip, or none. Received: {self._coding[:40]}"
            raise ServingError("INVALID_ARGUMENT", expected, http_status=415)
        while (part := await self._next()) is not None:
            if max(self._received, self._declared) > limit:
                body.clear()
                place.drop()
                await self.discard()
                received = max(self._received, self._declared)
                raise too_large(f"The body of a request may have {limit:,} bytes. Received: {received:,}")
            place.hold(len(part))
            body += part
        return body

    def decompressed(self, received):
        """Returns a body as it was before the client compressed it. Takes its time: not for the event loop.

        Args:
            received: What `read` returned.

        Raises:
            ServingError: If it is no gzip file, is too large, or all bodies together are too large.
        """
        if not self.is_compressed:
            return received
        limit, body = self._limits.max_body_bytes, bytearray()
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(received)) as file:
                while part := file.read(_PIECE):
                    if len(body) + len(part) > limit:
                        raise too_large(
                            f"The body of a request may have {limit:,} bytes. Received: more, when it is decompressed"
                        )
                    self._place.hold(len(part))
                    body += part
        except (EOFError, OSError, zlib.error) as error:
            expected = "The body of a request with Content-Encoding: gzip must be a gzip file."
            raise invalid(f"{expected} Received: {error}") from error
        return body

    async def discard(self):
        """Reads what is left and keeps nothing of it: a client that is still sending does not read an answer."""
        try:
            while self._received <= _DISCARDED * self._limits.max_body_bytes and await self._next() is not None:
                pass
        except ServingError:  # too slow, or gone; why the request is refused is known already
            pass

    async def _next(self):
        """The next part, or None at the end."""
        from starlette.requests import ClientDisconnect

        if self._ended:
            return None
        try:
            part = await asyncio.wait_for(anext(self._stream), max(self._end - time.monotonic(), 1e-3))
        except StopAsyncIteration:
            self._ended = True
            return None
        except ClientDisconnect as error:
            self._ended = True
            raise ServingError("CANCELLED", "The client has gone before its request was read.") from error
        except asyncio.TimeoutError as error:
            self._ended = True
            raise too_slow(self._limits, f"{self._received:,} bytes") from error
        self._received += len(part)
        return part
