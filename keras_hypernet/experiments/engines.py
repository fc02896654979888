"""Where runs are executed: in processes of this machine, or on a Ray cluster (`cluster.py`)."""

import collections
import contextlib
import json
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import tempfile
import time

from keras_hypernet.experiments.experiment import make_row
from keras_hypernet.experiments.machine import machine, processors
from keras_hypernet.experiments.worker import BEGUN, ERROR

# So often in a row may a process die before it has begun with a run.
_MAX_DEATHS = 3


class LocalWorkers:
    """Processes of this machine that execute runs, each with its share of the processor's threads.

    A process is started for its first run and stays for the next, also of another call, until the context ends.

    Args:
        workers: Number of processes.
        threads: Threads of each; by default the number of processors divided by `workers`, however few runs there
            are: a run that is repeated alone has the threads, and so the numbers, that it had among others.

    Raises:
        ValueError: If there is no worker.
    """

    def __init__(self, workers, threads=None):
        if workers < 1:
            raise ValueError(f"There must be at least one worker. Received: {workers}")
        threads = threads or max(1, processors() // workers)
        self._pool = [_Worker(threads) for _ in range(workers)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self._pool:
            worker.stop()

    def run(self, configs):
        """Executes runs.

        Args:
            configs: Configurations, as of `Experiment.runs`.

        Yields:
            The row of each run, in the order in which they end. A process that dies in a run leaves a row with the
            status `"failed"`, and is replaced. When the generator is closed, runs that have not ended are given up.

        Raises:
            RuntimeError: If the runs of another call have not ended.
            ChildProcessError: If processes die before they have begun with a run, so that none can be executed, or
                one says that it cannot be: its data or a package is not there. Runs that have not ended are given up.
        """
        if any(worker.config is not None for worker in self._pool):
            raise RuntimeError("These processes execute runs of another call: close its generator first.")
        waiting = collections.deque(configs)
        try:
            for worker in self._pool[: len(waiting)]:
                worker.start(waiting.popleft())
            while busy := {worker.connection: worker for worker in self._pool if worker.config is not None}:
                for connection in multiprocessing.connection.wait(busy):
                    worker = busy[connection]
                    row = worker.receive()
                    if row is not None:
                        yield row
                        if waiting:
                            worker.start(waiting.popleft())
        finally:
            for worker in self._pool:
                if worker.config is not None:
                    worker.give_up()


class _Worker:
    """One of the processes, or the process that takes its place."""

    def __init__(self, threads):
        self.threads = threads
        self.process = self.config = None
        self.deaths = 0

    def start(self, config):
        """Sends a run to the process, which is started if there is none."""
        if self.process is None:
            self._start_process()
        self.config, self.begun = config, None
        self.said_before = self.output.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError):  # it has died, which `receive` is about to find
            self.connection.send_bytes(json.dumps(config).encode())

    def _start_process(self):
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.connection, theirs = multiprocessing.connection.Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keras_hypernet.experiments.worker", str(self.threads), str(descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "OMP_NUM_THREADS": str(self.threads)},
                pass_fds=[descriptor],
            )

    def receive(self):
        """Receives the row of the run, makes one of the death of the process, or returns None: no run has ended."""
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            return self._bury()
        if message == BEGUN:
            self.begun, self.deaths = time.perf_counter(), 0
            return None
        if message.startswith(ERROR):
            raise ChildProcessError(f"A process cannot execute runs: {message.removeprefix(ERROR).decode()}")
        self.config = None
        return json.loads(message)

    def _bury(self):
        """The process has died: in the run, which has failed, or before it had begun, so that another one tries it."""
        ended = _describe(self.process.wait(), self.output, self.said_before)
        self.stop()
        if self.begun is not None:
            config, self.config = self.config, None
            result = {"status": "failed", "message": f"The process of the run {ended}"}
            return make_row(config, result, time.perf_counter() - self.begun, machine=machine(self.threads))
        self.deaths += 1
        if self.deaths == _MAX_DEATHS:
            raise ChildProcessError(f"No run can be executed: {_MAX_DEATHS} times, a process {ended}")
        self.start(self.config)
        return None

    def give_up(self):
        """Ends the process, and forgets its run."""
        self.stop()
        self.config, self.deaths = None, 0

    def stop(self):
        """Ends the process, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.connection.close()
            self.output.close()
            self.process = None


def _describe(code, output, beginning):
    """How a process ended, and the last that it said in its run, of which the output begins there."""
    output.seek(max(beginning, output.seek(0, os.SEEK_END) - 4096))
    said = output.read().decode(errors="replace").strip().splitlines()[-1:]
    how = f"ended with the exit code {code}"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"was ended by {names.get(-code, f'signal {-code}')}"
        if -code == signal.SIGKILL:
            how += ", as happens where memory runs out"
    return ": ".join([how, *said]) + ("" if said and said[0].endswith(".") else ".")
