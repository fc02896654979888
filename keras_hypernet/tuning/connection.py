"""A worker's connection to its chief, of which keras-tuner's own waits an hour without a word.

What is known to keras-tuner by these numbers (github.com/keras-team/keras-tuner/issues) is handled:

- #990, #991: a worker waits an hour for a chief that is not there. It asks it something first, and gives up.
- #990 again: a question that is under way when its chief is killed fails, while one that is asked a moment later waits
  an hour for the next chief. Workers say that it is gone, and ask again for a while.
"""

import functools
import threading
import time

import keras_tuner

# For how many seconds a worker goes on asking a chief that is gone: time enough to start it again.
PATIENCE = 600.0
# How long an answer may take; Bayesian optimization thinks about a new trial for some seconds.
_ANSWER = 60.0
# Otherwise gRPC looks ever more rarely whether somebody listens, at last every two minutes; no proxy is between them.
_CHANNEL = [
    *(("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 1000)),
    ("grpc.enable_http_proxy", 0),
]
# Under this name, questions and answers say of which search they are.
_SEARCH = "keras-hypernet-search"


def parse_address(address):
    """The host and the port of an address.

    Raises:
        ValueError: If it is not one.

    Example:

    >>> parse_address("127.0.0.1:8000")
    ('127.0.0.1', 8000)
    """
    host, colon, port = (address or "").rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"The address of the chief must be HOST:PORT, such as 10.0.0.5:8000. Received: {address!r}")
    return host, int(port)


def wait_for_chief(address, seconds):
    """Waits until a chief answers, and returns the identifier of its search.

    Raises:
        ConnectionError: If none does within so many seconds, the look-up of its name included.
    """
    import grpc

    parse_address(address)
    end = time.monotonic() + seconds
    with grpc.insecure_channel(address, _CHANNEL) as channel:
        ask = channel.unary_unary("/keras_tuner.Oracle/GetSpace")  # an empty message is a whole question
        while True:
            try:
                _, call = ask.with_call(b"", timeout=max(0.5, end - time.monotonic()))
                return dict(call.trailing_metadata())[_SEARCH]
            except (grpc.RpcError, KeyError) as error:
                gone = isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE
                if not gone or time.monotonic() > end:
                    raise ConnectionError(
                        f"There is no chief at {address} ({_reason(error)}), after {seconds:g} seconds. Start it "
                        "first, with --distributed chief and the same options, or let its workers wait longer for it "
                        "(--wait)."
                    ) from error
            time.sleep(0.2)


def _reason(error):
    """What gRPC says last, which is what went wrong."""
    import grpc

    if isinstance(error, KeyError) or error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return "what answers there is something else"
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer"
    return (error.details() or error.code().name).rpartition(": ")[2]


class ChiefGoneError(keras_tuner.errors.FatalError, ConnectionError):
    """A chief that was there is gone: to keras-tuner, no failure of a trial but the end of the search."""


class ChiefFailedError(keras_tuner.errors.FatalError, ConnectionError):
    """A chief has failed over a question, as it does if its disk is full: the end of the search, too."""


class OtherSearchError(keras_tuner.errors.FatalError, ConnectionError):
    """A chief makes another search than the one that a worker has joined: the end of the search for that worker."""


def same_search(identifier):
    """Returns an interceptor for the chief's server, which refuses workers that have joined another search.

    A chief that begins anew has trials of the same numbers, under which it would file what an old worker reports.

    Args:
        identifier: That of the chief's search.
    """
    import grpc

    class SameSearch(grpc.ServerInterceptor):
        """Compares the searches of chief and worker at every question, and answers with the chief's."""

        def intercept_service(self, continuation, details):
            handler = continuation(details)
            joined = dict(details.invocation_metadata).get(_SEARCH, identifier)  # one that looks for a chief has none

            def answer(request, context):
                if joined != identifier:
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "another search")
                context.set_trailing_metadata([(_SEARCH, identifier)])
                return handler.unary_unary(request, context)

            return handler and grpc.unary_unary_rpc_method_handler(
                answer, handler.request_deserializer, handler.response_serializer
            )

    return SameSearch()


class PersistentStub:
    """A worker's questions to its chief, which are put again while it is gone: it may be started again.

    Args:
        stub: That of keras-tuner's client, of which questions wait for the chief without a word.
        address: The chief's address.
        warn: Function that is called with a sentence when the chief is found to be gone.
        patience: Seconds after the first question without an answer for which others are put.
        search: Identifier of the search that the worker has joined.

    Raises:
        ChiefGoneError: By a question, if the chief has been gone for longer.
        ChiefFailedError: By a question, if the chief has failed over it.
        OtherSearchError: By a question, if the chief makes another search by now.
    """

    def __init__(self, stub, address, warn, patience, search):
        import grpc

        self._stub = type(stub)(grpc.insecure_channel(address, _CHANNEL))
        self._address, self._warn, self._patience = address, warn, patience
        self._metadata = [(_SEARCH, search)]
        self._gone_since, self._lock = None, threading.Lock()  # questions come from two threads

    def __getattr__(self, name):
        return functools.partial(self._ask, getattr(self._stub, name))

    def _ask(self, method, request, **_):
        import grpc

        while True:
            asked = time.monotonic()
            try:
                answer = method(request, timeout=min(_ANSWER, self._patience), metadata=self._metadata)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    raise OtherSearchError(
                        f"The chief at {self._address} makes another search than the one that this worker joined, and "
                        "takes no results of that one: start this worker again."
                    ) from error
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise ChiefFailedError(
                        f"The chief at {self._address} could not answer this worker ({_reason(error)}). Mend what is "
                        "wrong there, and start this worker again: the search goes on."
                    ) from error
                self._missed(asked, error)
            else:
                self._gone_since = None
                return answer
            time.sleep(0.5)

    def _missed(self, asked, error):
        with self._lock:
            first = self._gone_since is None
            if first:
                self._gone_since = asked
        if first:
            self._warn(
                f"The chief at {self._address} does not answer ({_reason(error)}). This worker goes on asking for "
                f"{self._patience:g} seconds: start the chief again, with --resume."
            )
        if time.monotonic() - (self._gone_since or asked) >= self._patience:
            raise ChiefGoneError(
                f"The chief at {self._address} is gone ({_reason(error)}), and has not been started again within "
                f"{self._patience:g} seconds. Start it with --resume, and then this worker."
            ) from error
