"""A process that executes runs: `python -m keras_hypernet.runs.worker THREADS DESCRIPTOR`.

DESCRIPTOR is this process's end of a connection to the process that started it. A message is a run as JSON: the code
to load first, the name of a function, and a configuration. The answers are `BEGUN`, and then the row; or `ERROR` and a
text, if no run can be executed here, as without the data. The process ends with the connection, also in the middle of a
run.
"""

import gc
import json
import multiprocessing.connection
import os
import pkgutil
import queue
import signal
import sys
import threading

BEGUN = b"begun"
ERROR = b"error "


def main(threads, descriptor):
    """Executes runs until the connection ends."""
    # Control-C reaches all processes of a terminal; the parent process decides what follows.
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
    from keras_hypernet.runs.sources import load_source

    set_threads(threads)
    imported = set()
    while True:
        message = json.loads(received.get())
        try:
            for source in message["sources"]:
                load_source(source)
            execute = pkgutil.resolve_name(message["execute"])
            if message["execute"] not in imported:
                imported.add(message["execute"])
                gc.collect()
                gc.freeze()  # garbage collection skips imported objects, which saves a third of a second after each run
            connection.send_bytes(BEGUN)
            answer = json.dumps(execute(message["config"])).encode()
        except Exception as error:
            answer = ERROR + (str(error) or repr(error)).encode()
        connection.send_bytes(answer)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
