"""REST connections: limits on their number, and on the time that the server waits for each."""

from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_hypernet.serving.local import events

_HEADERS, _ANSWER = "headers not complete", "answer not taken"


def bounded(limits):
    """Returns uvicorn's connection protocol with `Limits`; uvicorn itself closes connections after `idle_seconds`.

    A connection without a running request is waiting. Beyond the maximum number, the server closes the connection that
    has waited longest. Clients that never finish their headers do not block other clients, which send at once.
    """
    # An ordered set of the waiting connections: the first has waited longest.
    return type("Connection", (_Bounded,), {"limits": limits, "waiting": {}})


class _Bounded(H11Protocol):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # pauses writing until the client has read the whole response
        self.timers = {}
        self.follow()
        self.close_after(self.limits.header_seconds, _HEADERS)
        if len(self.connections) > self.limits.max_connections:
            longest = next(iter(self.waiting))
            del self.waiting[longest]
            longest.close_now("too many connections")

    def data_received(self, data):
        super().data_received(data)
        self.follow()
        if self in self.waiting:  # also the first bytes of another request
            self.close_after(self.limits.header_seconds, _HEADERS)

    def on_response_complete(self):
        super().on_response_complete()  # starts the next request, if it has arrived
        self.follow()

    def pause_writing(self):
        super().pause_writing()
        self.close_after(self.limits.body_seconds, _ANSWER)

    def resume_writing(self):
        super().resume_writing()
        self.cancel(_ANSWER)

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self.waiting.pop(self, None)
        self.cancel(_HEADERS, _ANSWER)

    def follow(self):
        """Updates whether the connection waits."""
        if self.cycle is None or self.cycle.response_complete:
            self.waiting.setdefault(self)
        else:
            self.waiting.pop(self, None)
            self.cancel(_HEADERS)

    def close_after(self, seconds, reason):
        if reason not in self.timers:
            self.timers[reason] = self.loop.call_later(seconds, self.close_now, reason)

    def cancel(self, *reasons):
        for timer in [self.timers.pop(reason) for reason in reasons if reason in self.timers]:
            timer.cancel()

    def close_now(self, reason):
        events.log_rarely(f"connection closed: {reason}")
        self.transport.abort()
