"""REST connections: limits on their number and on the time that each keeps the server waiting."""

from keras_hypernet.serving.local import events


def bounded(limits):
    """Returns uvicorn's connection protocol with `Limits`; uvicorn itself closes connections after `idle_seconds`.

    A connection waits while it has no running request: before the headers of a request are complete, and after an
    answer. Beyond the maximum number, the server closes the connection that has waited longest. Clients that never
    finish their headers therefore keep nobody out: others send at once, and their wait is the shortest.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    waiting = {}  # an ordered set: the connection that has waited longest comes first

    class Connection(H11Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=0)  # pauses writing until the client has taken the whole answer
            self.headers_timer = self.answer_timer = None
            self.follow()
            self.headers_timer = self.close_after(limits.header_seconds, "headers not complete")
            if len(self.connections) > limits.max_connections:
                longest = next(iter(waiting))
                del waiting[longest]
                longest.close_now("too many connections")

        def data_received(self, data):
            super().data_received(data)
            self.follow()
            if self in waiting and self.headers_timer is None:  # the first bytes of another request
                self.headers_timer = self.close_after(limits.header_seconds, "headers not complete")

        def on_response_complete(self):
            super().on_response_complete()  # starts the next request, if it is there already
            self.follow()

        def pause_writing(self):
            super().pause_writing()
            self.answer_timer = self.close_after(limits.body_seconds, "answer not taken")

        def resume_writing(self):
            super().resume_writing()
            self.answer_timer.cancel()

        def connection_lost(self, exc):
            super().connection_lost(exc)
            waiting.pop(self, None)
            for timer in (self.headers_timer, self.answer_timer):
                if timer is not None:
                    timer.cancel()

        def follow(self):
            """Updates whether the connection waits."""
            if self.cycle is None or self.cycle.response_complete:
                waiting.setdefault(self)
            else:
                waiting.pop(self, None)
                if self.headers_timer is not None:
                    self.headers_timer.cancel()
                    self.headers_timer = None

        def close_after(self, seconds, reason):
            return self.loop.call_later(seconds, self.close_now, reason)

        def close_now(self, reason):
            events.log_rarely(f"connection closed: {reason}")
            self.transport.abort()

    return Connection
