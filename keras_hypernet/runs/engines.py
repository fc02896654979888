"""Where runs are executed: in this process, in processes of this machine, or on a Ray cluster (`cluster.py`).

Process pools of libraries do less. Those of concurrent.futures and Pebble import the user's main script into each
process, so that scripts without a `__main__` guard start themselves again; loky's gives up all runs when one process
dies. With none of them does a process end with its parent in the middle of a run.
"""

import contextlib
import dataclasses
import json
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from keras_hypernet.runs.machine import machine, processors
from keras_hypernet.runs.worker import BEGUN, ERROR

ENGINES = ("local", "ray")
# Maximum consecutive process deaths before a run starts.
_MAX_DEATHS = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """How runs are executed.

    Attributes:
        execute: Function of a configuration that returns its row. Other processes import it by its name, such as
            `"package.module:function"`; this one can also be given the function itself. A run that fails is a row; an
            exception says that runs cannot be executed here, as without their data, and ends them all.
        failed: Function of `(config, message, seconds, machine)` that returns the row of a run whose process was lost.
        attempts: How many times a run is started whose process on this machine is lost in it.
    """

    execute: str | Callable
    failed: Callable
    attempts: int = 1


def check_engine(engine, address):
    """Raises ValueError if there is no such engine, or it has no address."""
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {ENGINES}. Received: {engine!r}")
    if address is not None and engine != "ray":
        raise ValueError(f"`address` is that of a Ray cluster, for the engine 'ray'. Received: {address!r}")


def run_here(job, configs):
    """Executes runs in this process, one after the other: see `LocalWorkers.run`."""
    for config in configs:
        if config is None:
            return
        yield job.execute(config)


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

    def run(self, job, configs):
        """Executes runs.

        Args:
            job: A `Job` whose function has a name.
            configs: Iterable of configurations, each of which is asked for when a process is free. None means that
                there is nothing to do until another run has ended.

        Yields:
            The row of each run, in the order in which they end. A process that dies in a run is replaced, and the run
            repeated up to `job.attempts` times. When the generator is closed, runs that have not ended are given up.

        Raises:
            RuntimeError: If the runs of another call have not ended.
            ChildProcessError: If processes die before they have begun with a run, so that none can be executed, or
                one says that it cannot be: its data or a package is not there. Runs that have not ended are given up.
        """
        if any(worker.config is not None for worker in self._pool):
            raise RuntimeError("These processes execute runs of another call: close its generator first.")
        configs = iter(configs)
        try:
            while True:
                for worker in [worker for worker in self._pool if worker.config is None]:
                    if (config := next(configs, None)) is None:
                        break
                    worker.start(job, config)
                busy = {worker.connection: worker for worker in self._pool if worker.config is not None}
                if not busy:
                    return
                for connection in multiprocessing.connection.wait(busy):
                    if (row := busy[connection].receive()) is not None:
                        yield row
        finally:
            for worker in self._pool:
                if worker.config is not None:
                    worker.give_up()


class _Worker:
    """One of the processes, or the process that takes its place."""

    def __init__(self, threads):
        self.threads = threads
        self.process = self.job = self.config = None
        self.deaths = 0

    def start(self, job, config):
        """Sends a run to the process, which is started if there is none."""
        self.job, self.config, self.attempt = job, config, 0
        self._send()

    def _send(self):
        if self.process is None:
            self._start_process()
        self.begun = None
        self.said_before = self.output.seek(0, os.SEEK_END)
        message = {"execute": self.job.execute, "config": self.config}
        with contextlib.suppress(OSError):  # the process has died, which `receive` is about to notice
            self.connection.send_bytes(json.dumps(message).encode())

    def _start_process(self):
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.connection, theirs = multiprocessing.connection.Pipe()
        with theirs:
            descriptor = theirs.fileno()
            path = filter(None, [os.environ.get("PYTHONPATH"), *sys.path])  # modules of the user's own
            variables = {"OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": os.pathsep.join(path)}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keras_hypernet.runs.worker", str(self.threads), str(descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **variables},
                pass_fds=[descriptor],
            )

    def receive(self):
        """Receives the row of the run, makes one of the death of the process, or returns None: no run has ended."""
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            return self._replace()
        if message == BEGUN:
            self.begun, self.deaths = time.perf_counter(), 0
            self.attempt += 1
            return None
        if message.startswith(ERROR):
            raise ChildProcessError(f"A process cannot execute runs: {message.removeprefix(ERROR).decode()}")
        self.config = None
        return json.loads(message)

    def _replace(self):
        """The process has died. Repeats the run, or returns its row if it was started often enough."""
        ended = _describe(self.process.wait(), self.output, self.said_before)
        self.stop()
        if self.begun is not None and self.attempt >= self.job.attempts:
            config, self.config = self.config, None
            seconds = time.perf_counter() - self.begun
            return self.job.failed(config, f"The process of the run {ended}", seconds, machine(self.threads))
        if self.begun is None:
            self.deaths += 1
            if self.deaths == _MAX_DEATHS:
                raise ChildProcessError(f"No run can be executed: {_MAX_DEATHS} times, a process {ended}")
        self._send()
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
    """Returns how a process ended, and the last line of its output in this run, which begins at an offset."""
    output.seek(max(beginning, output.seek(0, os.SEEK_END) - 4096))
    said = output.read().decode(errors="replace").strip().splitlines()[-1:]
    how = f"ended with the exit code {code}"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"was ended by {names.get(-code, f'signal {-code}')}"
        if -code == signal.SIGKILL:
            how += ", as happens where memory runs out"
    return ": ".join([how, *said]) + ("" if said and said[0].endswith(".") else ".")
