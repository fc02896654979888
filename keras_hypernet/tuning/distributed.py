"""A search by several processes, or machines: keras-tuner's chief, which hands out trials, and its workers.

keras-tuner reads three environment variables: KERASTUNER_TUNER_ID, `chief` or the name of a worker,
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, the chief's address. They are set here. What is known to keras-tuner by
these numbers (github.com/keras-team/keras-tuner/issues) is handled:

- #990, #991: a worker waits an hour for a chief that is not there. It asks it something first, and gives up.
- #915: a chief waits forever for a worker that has died. Workers let it hear of them while they train; one that is
  silent is replaced: see `oracles.Resumable`.
- #990 again: a question that is under way when its chief is killed fails, while one that is asked a moment later waits
  an hour for the next chief. Workers say that it is gone, and ask again for a while.
- #645, #983: a chief looks every 20 seconds whether all workers have left. It is left to itself when they have.
"""

import contextlib
import functools
import os
import platform
import socket
import threading
import time

import keras_tuner

CHIEF = "chief"
ROLES = (CHIEF, "worker")
_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
# How long the chief stays when its last answer is on its way.
_GRACE = 2.0
# For how many seconds a worker goes on asking a chief that is gone: time enough to start it again.
PATIENCE = 600.0
# How long an answer may take; Bayesian optimization thinks about a new trial for some seconds.
_ANSWER = 60.0
# Otherwise gRPC looks ever more rarely whether somebody listens, at last every two minutes.
_CHANNEL = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 1000)]


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


def worker_name():
    """A name for this process that no other worker has."""
    return f"{platform.node()}-{os.getpid()}"


def check_role(role, address, worker_id):
    """Raises ValueError if a process cannot have this role; `role` is None where there is one process only."""
    if role is None:
        if address is not None or worker_id is not None:
            raise ValueError("`address` and `worker_id` are for searches with `distributed`, 'chief' or 'worker'.")
        found = [name for name in _VARIABLES if name in os.environ]
        if found:
            raise ValueError(
                f"keras-tuner would take its orders from {found[0]}, which is set: unset it, or say which part this "
                "process has (--distributed chief, or worker)."
            )
        return
    if role not in ROLES:
        raise ValueError(f"`distributed` must be one of {ROLES}, or None. Received: {role!r}")
    parse_address(address)
    if role == CHIEF and worker_id is not None:
        raise ValueError(f"The chief has no `worker_id`. Received: {worker_id!r}")
    if worker_id is not None and (not worker_id or CHIEF in worker_id):  # by which keras-tuner knows the chief
        raise ValueError(f"`worker_id` must be a name without 'chief' in it. Received: {worker_id!r}")


@contextlib.contextmanager
def environment(role, address, worker_id=None):
    """Sets keras-tuner's environment variables meanwhile; nothing if there is one process only."""
    if role is None:
        yield
        return
    host, port = parse_address(address)
    name = CHIEF if role == CHIEF else worker_id or worker_name()
    before = {variable: os.environ.get(variable) for variable in _VARIABLES}
    os.environ.update(zip(_VARIABLES, (name, host, str(port)), strict=True))
    try:
        yield
    finally:
        for variable, value in before.items():
            os.environ.pop(variable)
            if value is not None:
                os.environ[variable] = value


def wait_for_chief(address, seconds):
    """Waits until a chief answers.

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
                ask(b"", timeout=max(0.5, end - time.monotonic()))
                return
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                    raise ConnectionError(
                        f"There is no chief at {address} ({_reason(error)}), after {seconds:g} seconds. Start it "
                        "first, with --distributed chief and the same options, or let its workers wait longer for it "
                        "(--wait)."
                    ) from error
            time.sleep(0.2)


def _reason(error):
    """What gRPC says last, which is what went wrong."""
    import grpc

    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer"
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return "what answers there is something else"
    return (error.details() or error.code().name).rpartition(": ")[2]


class ChiefGoneError(keras_tuner.errors.FatalError, ConnectionError):
    """A chief that was there is gone: to keras-tuner, no failure of a trial but the end of the search."""


class PersistentStub:
    """A worker's questions to its chief, which are put again while it is gone: it may be started again.

    Args:
        stub: That of keras-tuner's client, of which questions wait for the chief without a word.
        address: The chief's address.
        warn: Function that is called with a sentence when the chief is found to be gone.
        patience: Seconds after the first question without an answer for which others are put.

    Raises:
        ChiefGoneError: By a question, if the chief has been gone for longer.
    """

    def __init__(self, stub, address, warn, patience):
        import grpc

        self._stub = type(stub)(grpc.insecure_channel(address, _CHANNEL))
        self._address, self._warn, self._patience = address, warn, patience
        self._gone_since, self._lock = None, threading.Lock()  # questions come from two threads

    def __getattr__(self, name):
        return functools.partial(self._ask, getattr(self._stub, name))

    def _ask(self, method, request, **_):
        import grpc

        while True:
            asked = time.monotonic()
            try:
                answer = method(request, timeout=min(_ANSWER, self._patience))
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
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


def check_space(theirs, mine, address):
    """Raises ValueError if a chief searches other hyperparameters than its worker, or in other ranges.

    Args:
        theirs: The chief's `keras_tuner.HyperParameters`, which may have more if the models are a user's own.
        mine: The worker's.
        address: The chief's address.
    """
    theirs, mine = _ranges(theirs), _ranges(keras_tuner.HyperParameters.from_proto(mine.to_proto()))
    names = [name for name in {**theirs, **mine} if theirs.get(name) != mine.get(name)]
    if names:
        searched, asked = ({name: what.get(name) for name in names} for what in (theirs, mine))
        raise ValueError(
            f"The chief at {address} makes another search, of {searched}. Asked for: {asked}. Start the worker with "
            "the same options as its chief."
        )


def _ranges(hp):
    """What the hyperparameters are chosen from, by their names; the defaults are the recipe's."""
    kept = ("values", "min_value", "max_value", "sampling")
    return {one.name: {name: one.get_config()[name] for name in kept if name in one.get_config()} for one in hp.space}


def heartbeat(interval):
    """Returns a function of an oracle and a trial: a context in which a worker lets its chief hear of it."""
    return functools.partial(_heartbeat, interval)


@contextlib.contextmanager
def _heartbeat(interval, oracle, trial_id):
    ended = threading.Event()

    def beat():
        while not ended.wait(interval):
            with contextlib.suppress(Exception):  # the worker itself finds out if the chief is gone
                oracle.get_trial(trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def check_free(address):
    """Raises ConnectionError if a chief cannot listen at an address."""
    try:
        socket.create_server(parse_address(address)).close()
    except OSError as error:
        raise _not_free(address, error.strerror) from error


def run_chief(tuner, address, watch):
    """Serves a search to workers until it has ended.

    Args:
        tuner: A `DepthTuner`, created in `environment`.
        address: The chief's address.
        watch: Function that is called about every half second.

    Raises:
        ConnectionError: If the address cannot be listened at.
    """
    failures = []

    def serve():
        try:
            tuner.search(verbose=0)
        except BaseException as error:
            failures.append(error)

    # It may sleep for 20 seconds when there is nothing left to wait for.
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    while not tuner.oracle.finished():
        if failures:
            raise _not_free(address, failures[0]) from failures[0]
        if not thread.is_alive():
            break
        watch()
        time.sleep(0.5)
    watch()
    time.sleep(_GRACE)


def _not_free(address, reason):
    return ConnectionError(f"The chief cannot listen at {address} ({reason}). Is another process using the port?")
