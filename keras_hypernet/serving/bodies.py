"""Body: how the body of a REST request is read, within the limits on its size and on its time, or thrown away."""

import asyncio
import time

from keras_hypernet.serving.errors import ServingError, too_large

# Of a body that is not wanted so many times the limit is read and thrown away, so that the client gets to read why.
_DISCARDED = 16
# Bytes a second that a body must come by, once it had the time that every body has.
_LEAST_RATE = 64 * 2**10


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
        self._received, self._ended, self._begun = 0, False, time.monotonic()

    async def read(self, place):
        """Returns the body, a bytearray.

        Args:
            place: The `Place` of the request, which is told of every byte that is kept.

        Raises:
            ServingError: If it is too large or too slow, all bodies together are too large, or the client has gone.
        """
        limit, body = self._limits.max_body_bytes, bytearray()
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
        allowed = self._limits.body_seconds + self._received / _LEAST_RATE
        try:
            part = await asyncio.wait_for(anext(self._stream), max(self._begun + allowed - time.monotonic(), 1e-3))
        except StopAsyncIteration:
            self._ended = True
            return None
        except ClientDisconnect as error:
            self._ended = True
            raise ServingError("CANCELLED", "The client has gone before its request was read.") from error
        except asyncio.TimeoutError as error:
            self._ended = True
            raise ServingError(
                "DEADLINE_EXCEEDED",
                f"The body of a request must come within {self._limits.body_seconds} seconds, or by "
                f"{_LEAST_RATE:,} bytes a second. Received: {self._received:,} bytes",
                http_status=408,
            ) from error
        self._received += len(part)
        return part
