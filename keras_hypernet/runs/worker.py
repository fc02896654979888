"""A process that executes runs: `python -m keras_hypernet.runs.worker THREADS DESCRIPTOR`.

DESCRIPTOR is the process's end of a connection to the process that started it. It receives runs as JSON, the name of a
function and a configuration. It answers each with `BEGUN`, and with the row once the run has ended; or with `ERROR` and
a text, if runs cannot be executed here, as without their data. The process ends when the other end of the connection
does, in the middle of a run too: then the process that asked for the run is gone.
"""

import gc
import importlib
import json
import multiprocessing.connection
import os
import queue
import signal
import sys
import threading

BEGUN = b"begun"
ERROR = b"error "


def get_function(name):
    """Returns the function of an importable name, such as `"package.module:function"`.

    Example:

    >>> get_function("keras_hypernet.runs.worker:get_function") is get_function
    True
    """
    module, _, path = name.partition(":")
    function = importlib.import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    return function


def importable_name(function):
    """Returns the name of which `get_function` makes the function in another process, or None if there is none.

    Example:

    >>> importable_name(importable_name), importable_name(lambda: None)
    ('keras_hypernet.runs.worker:importable_name', None)
    """
    name = f"{function.__module__}:{getattr(function, '__qualname__', '')}"
    try:
        return name if function.__module__ != "__main__" and get_function(name) is function else None
    except (ImportError, AttributeError):
        return None


def main(threads, descriptor):
    """Executes runs until the connection ends."""
    # Control-C reaches all processes of a terminal; the process that started this one decides what it means here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    connection = multiprocessing.connection.Connection(descriptor)
    received = queue.SimpleQueue()

    def listen():
        try:
            while True:
                received.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()

    from keras_hypernet.runs.machine import set_threads

    set_threads(threads)
    imported = set()
    while True:
        message = json.loads(received.get())
        execute = get_function(message["execute"])
        if message["execute"] not in imported:
            imported.add(message["execute"])
            gc.collect()
            gc.freeze()  # what is imported is not looked through after each run, which takes a third of a second
        connection.send_bytes(BEGUN)
        try:
            answer = json.dumps(execute(message["config"])).encode()
        except Exception as error:
            answer = ERROR + (str(error) or repr(error)).encode()
        connection.send_bytes(answer)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
