"""A process that executes runs: `python -m keras_hypernet.experiments.worker THREADS`.

Reads the configuration of a run a line from standard input, and writes the row of its results to standard output.
Ends when standard input does, in the middle of a run too: then whoever asked for it is gone.
"""

import json
import os
import queue
import sys
import threading


def main(threads):
    """Executes runs until standard input ends."""
    # Rows alone go to standard output; whatever libraries print goes to standard error.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    lines = queue.SimpleQueue()

    def listen():
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()

    from keras_hypernet.experiments import get_experiment
    from keras_hypernet.experiments.experiment import execute
    from keras_hypernet.experiments.machine import set_threads

    set_threads(threads)
    while True:
        config = json.loads(lines.get())
        print(json.dumps(execute(config, get_experiment(config["experiment"]))), file=output, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
