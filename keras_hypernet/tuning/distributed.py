"""A search by several processes, or machines: keras-tuner's chief, which hands out trials, and its workers.

keras-tuner reads three environment variables: KERASTUNER_TUNER_ID, `chief` or the name of a worker,
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, the chief's address. They are set here. What is known to keras-tuner by
these numbers (github.com/keras-team/keras-tuner/issues) is handled:

- #990, #991: a worker waits an hour for a chief that is not there. It tries to connect first, and gives up.
- #915: a chief waits forever for a worker that has died. Workers let it hear of them while they train; one that is
  silent is replaced: see `oracles.Resumable`.
- #990 again: a question that is under way when its chief is killed fails, while one that is asked a moment later waits
  for the next chief. Workers ask again.
- #645, #983: a chief looks every 20 seconds whether all workers have left. It is left to itself when they have.
"""

import contextlib
import functools
import os
import platform
import socket
import threading
import time

CHIEF = "chief"
ROLES = (CHIEF, "worker")
_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
# How long the chief stays when its last answer is on its way.
_GRACE = 2.0


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
    """Waits until a chief accepts connections.

    Raises:
        ConnectionError: If there is none after so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(parse_address(address), timeout=max(0.1, min(5, end - time.monotonic()))).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise ConnectionError(
                    f"There is no chief at {address} ({error.strerror or error}), after {seconds:g} seconds. Start it "
                    "first, with --distributed chief and the same options, or let its workers wait longer for it "
                    "(--wait)."
                ) from error
        time.sleep(0.2)


class PersistentClient:
    """A worker's view of its chief's oracle that asks again if the chief was killed before it answered.

    Args:
        client: keras-tuner's own, which waits for a chief that is not there.
    """

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        attribute = getattr(self._client, name)
        return functools.partial(self._ask, attribute) if callable(attribute) else attribute

    @staticmethod
    def _ask(method, *args, **options):
        import grpc

        while True:
            try:
                return method(*args, **options)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.2)


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
            raise ConnectionError(
                f"The chief cannot listen at {address} ({failures[0]}). Is another process using the port?"
            ) from failures[0]
        if not thread.is_alive():
            break
        watch()
        time.sleep(0.5)
    watch()
    time.sleep(_GRACE)
