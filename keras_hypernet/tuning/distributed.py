"""A search by several processes, or machines: keras-tuner's chief, which hands out trials, and its workers.

keras-tuner reads three environment variables: KERASTUNER_TUNER_ID, `chief` or the name of a worker,
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, the chief's address. They are set here. What is known to keras-tuner by
these numbers (github.com/keras-team/keras-tuner/issues) is handled here and in `connection`:

- #915: a chief waits forever for a worker that has died. Workers let it hear of them while they train; one that is
  silent is replaced: see `oracles.Resumable`.
- #645, #983: a chief looks every 20 seconds whether all workers have left. It ends here when they have.
"""

import contextlib
import functools
import os
import platform
import re
import socket
import sys
import threading
import time
from concurrent import futures

import keras
import keras_tuner

from keras_hypernet.tuning.connection import OtherSearchError, parse_address, same_search

CHIEF = "chief"
ROLES = (CHIEF, "worker")
_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
# How long the chief stays when its last answer is on its way.
_GRACE = 2.0


def worker_name():
    """A name for this process that no other worker has, and `check_role` takes."""
    host = re.sub(r"[^\w.-]", "-", platform.node())
    return f"{host.replace(CHIEF, 'host')}-{os.getpid()}"


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
    # It is the name of a file beside oracle.json, and keras-tuner takes who has 'chief' in it for the chief.
    if worker_id is not None and not (
        re.fullmatch(r"[\w.-]+", worker_id) and CHIEF not in worker_id and worker_id.lower() != "oracle"
    ):
        raise ValueError(
            "`worker_id` must be letters, digits, '_', '.' and '-', without 'chief' in it, and not 'oracle'. "
            f"Received: {worker_id!r}"
        )


@contextlib.contextmanager
def environment(role, address, worker_id=None):
    """Sets keras-tuner's environment variables meanwhile; nothing if there is one process only.

    What is printed to standard output goes to standard error: keras-tuner prints each condition that it sends.
    """
    if role is None:
        yield
        return
    host, port = parse_address(address)
    name = CHIEF if role == CHIEF else worker_id or worker_name()
    before = {variable: os.environ.get(variable) for variable in _VARIABLES}
    os.environ.update(zip(_VARIABLES, (name, host, str(port)), strict=True))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for variable, value in before.items():
            os.environ.pop(variable)
            if value is not None:
                os.environ[variable] = value


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
    """Returns a function of an oracle and a trial: a context in which a worker lets its chief hear of it.

    The context has a list of Keras callbacks, which end a training of which the chief wants to know nothing any more.
    """
    return functools.partial(_heartbeat, interval)


@contextlib.contextmanager
def _heartbeat(interval, oracle, trial_id):
    ended, leaving = threading.Event(), _Leaving()

    def beat():
        while leaving.error is None and not ended.wait(interval):
            try:
                oracle.get_trial(trial_id)
            except OtherSearchError as error:
                leaving.error = error
            except Exception:
                continue  # the worker itself finds out if the chief is gone

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield [leaving]
    finally:
        ended.set()
        thread.join(timeout=1.0)  # it may be asking a chief that is gone, for minutes


class _Leaving(keras.callbacks.Callback):
    """Ends a training before it writes into a folder that belongs to another search by now."""

    error = None

    def on_train_batch_end(self, batch, logs=None):
        if self.error is not None:
            raise self.error


def check_free(address):
    """Raises ConnectionError if a chief cannot listen at an address."""
    try:
        socket.create_server(parse_address(address)).close()
    except OSError as error:
        raise _not_free(address, error.strerror) from error


def run_chief(tuner, address, watch, identifier):
    """Serves a search to workers until it has ended.

    Args:
        tuner: A `DepthTuner`, created in `environment`.
        address: The chief's address.
        watch: Function that is called about every half second.
        identifier: That of the search, by which workers of an earlier one are told from its own.

    Raises:
        ConnectionError: If the address cannot be listened at.
    """
    import grpc

    # Of keras-tuner's inside, since the server that it starts itself takes no interceptor.
    from keras_tuner.src import protos
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    tuner.oracle.verbose = 0
    tuner.save()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), interceptors=[same_search(identifier)])
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(tuner.oracle), server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise _not_free(address, error) from error
    server.start()
    try:
        while not tuner.oracle.finished():
            watch()
            time.sleep(0.5)
        watch()
        time.sleep(_GRACE)
    finally:
        server.stop(None)


def _not_free(address, reason):
    return ConnectionError(f"The chief cannot listen at {address} ({reason}). Is another process using the port?")
