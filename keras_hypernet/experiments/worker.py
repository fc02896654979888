"""A process that executes runs: `python -m keras_hypernet.experiments.worker THREADS DESCRIPTOR`.

DESCRIPTOR is the process's end of a connection to whoever started it. It receives the configurations of runs as JSON,
and answers each with `BEGUN`, and with the row of its results once it has ended; or with `ERROR` and a text, if it
cannot be executed here, as without its data. The process ends when the other end of the connection does, in the middle
of a run too: then whoever asked for it is gone.
"""

import gc
import json
import multiprocessing.connection
import os
import queue
import signal
import sys
import threading

BEGUN = b"begun"
ERROR = b"error "


def main(threads, descriptor):
    """Executes runs until the connection ends."""
    # Control-C reaches all processes of a terminal; what it means for this one is up to the one that started it.
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

    from keras_hypernet.data import DataUnavailableError
    from keras_hypernet.experiments import find_experiment
    from keras_hypernet.experiments.experiment import execute
    from keras_hypernet.experiments.machine import set_threads

    set_threads(threads)
    gc.collect()
    gc.freeze()  # what is imported is not looked through after each run, which takes a third of a second
    while True:
        config = json.loads(received.get())
        connection.send_bytes(BEGUN)
        try:
            answer = json.dumps(execute(config, find_experiment(config["experiment"]))).encode()
        except (DataUnavailableError, ImportError) as error:
            answer = ERROR + str(error).encode()
        connection.send_bytes(answer)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
