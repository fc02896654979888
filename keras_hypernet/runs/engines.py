"""The engines that execute runs: processes of this machine, or a Ray cluster.

No process pool of a library is suitable. Those of concurrent.futures and Pebble import the user's main script into each
process, so that a script without a `__main__` guard starts itself again. With loky's context, Pebble does not import
the script, but the death of an idle process (Pebble), or of any process (loky), breaks the whole pool.
"""

import contextlib
import dataclasses
import json
import multiprocessing.connection
import os
import pathlib
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

from keras_hypernet.common.checks import check_choice
from keras_hypernet.common.extras import needs_extra
from keras_hypernet.runs.machine import machine, processors, set_threads
from keras_hypernet.runs.sources import load_source
from keras_hypernet.runs.worker import BEGUN, ERROR

ENGINES = ("local", "ray")
# Maximum consecutive process deaths before a run starts.
_MAX_DEATHS = 3
# Maximum number of starts of a run whose node or process is lost: the run itself may be the cause.
MAX_ATTEMPTS = 4


@dataclasses.dataclass(frozen=True)
class Job:
    """How runs become rows.

    Attributes:
        execute: Function of a configuration that returns its row, or its importable name, which other processes need. A
            failed run is a row; an exception means that no run can be executed here, as without the data.
        failed: Function of `(config, message, seconds, machine)` that returns the row of a run whose process was lost.
        attempts: Maximum number of starts of a run whose process on this machine dies.
        sources: Code of a user that `execute` needs: other processes load it first, by `load_source`.
    """

    execute: str | Callable
    failed: Callable
    attempts: int = 1
    sources: tuple = ()


def check_engine(engine, address):
    """Raises ValueError if there is no such engine, or the engine takes no address."""
    check_choice("engine", engine, ENGINES)
    if address is not None and engine != "ray":
        raise ValueError(f"`address` is the address of a Ray cluster, for the engine 'ray'. Received: {address!r}")


class LocalWorkers(contextlib.AbstractContextManager):
    """Processes of this machine that execute runs, each with its share of the processor's threads.

    A process starts with its first run, and stays for later runs, also of other calls, until the context ends. By
    default, each process has the number of processors divided by `workers` as its threads, whatever the number of runs:
    a run that is repeated alone has the same threads, and so the same numbers.
    """

    def __init__(self, workers, threads=None):
        if workers < 1:
            raise ValueError(f"There must be at least one worker. Received: {workers}")
        threads = threads or max(1, processors() // workers)
        self._pool = [_Worker(threads) for _ in range(workers)]
        self._runs = {}  # the generators of the runs under way, by their workers

    def __exit__(self, *_):
        for worker in self._pool:
            worker.stop()

    def run(self, job, configs):
        """Executes runs of a `Job` whose function has an importable name; yields the row of each run as it ends.

        The iterable `configs` gives a configuration whenever a process is free, or None if nothing can start until
        another run has ended. A process that dies is replaced, and its run repeated up to `job.attempts` times.
        Closing the generator gives up the remaining runs. Raises RuntimeError if runs of another call are under way,
        and ChildProcessError if processes die before their first run, or lack the data or a package.
        """
        if self._runs:
            raise RuntimeError("These processes execute runs of another call: close its generator first.")
        configs = iter(configs)
        try:
            while True:
                for worker in [worker for worker in self._pool if worker not in self._runs]:
                    if (config := next(configs, None)) is None:
                        break
                    self._runs[worker] = worker.run(job, config)
                    next(self._runs[worker])
                if not self._runs:
                    return
                busy = {worker.connection: worker for worker in self._runs}
                for connection in multiprocessing.connection.wait(busy):
                    if (row := next(self._runs[busy[connection]])) is not None:
                        del self._runs[busy[connection]]
                        yield row
        finally:
            for worker in self._runs:
                worker.stop()
            self._runs.clear()


class _Worker:
    """A process and its replacements."""

    def __init__(self, threads):
        self.threads, self.process = threads, None

    def run(self, job, config):
        """Executes a run: yields None whenever a message of the process must arrive first, and at last the row."""
        attempt = deaths = 0
        message = json.dumps({"sources": job.sources, "execute": job.execute, "config": config}).encode()
        while True:
            if self.process is None:
                self._start()
            begun, earlier_output = None, self.output.seek(0, os.SEEK_END)
            try:
                self.connection.send_bytes(message)
                yield None
                answer = self.connection.recv_bytes()
                if answer == BEGUN:
                    begun, attempt, deaths = time.perf_counter(), attempt + 1, 0
                    yield None
                    answer = self.connection.recv_bytes()
            except (EOFError, OSError):  # the process has died
                ended = _describe(self.process.wait(), self.output, earlier_output)
                self.stop()
                deaths += begun is None
                if deaths == _MAX_DEATHS:
                    raise ChildProcessError(f"No run can be executed: {_MAX_DEATHS} times, a process {ended}") from None
                if begun is None or attempt < job.attempts:
                    continue
                seconds = time.perf_counter() - begun
                row = job.failed(config, f"The process of the run {ended}", seconds, machine(self.threads))
            else:
                if answer.startswith(ERROR):
                    raise ChildProcessError(f"A process cannot execute runs: {answer.removeprefix(ERROR).decode()}")
                row = json.loads(answer)
            yield row
            return

    def _start(self):
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.connection, remote = multiprocessing.connection.Pipe()
        with remote:
            descriptor = remote.fileno()
            path = filter(None, [os.environ.get("PYTHONPATH"), *sys.path])  # includes the user's modules
            variables = {"OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": os.pathsep.join(path)}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keras_hypernet.runs.worker", str(self.threads), str(descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **variables},
                pass_fds=[descriptor],
            )

    def stop(self):
        """Ends the process, also in the middle of a run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.connection.close()
            self.output.close()
            self.process = None


def _describe(code, output, beginning):
    """Returns how a process ended, with the last line of its output since an offset."""
    output.seek(max(beginning, output.seek(0, os.SEEK_END) - 4096))
    last = output.read().decode(errors="replace").strip().splitlines()[-1:]
    how = f"ended with the exit code {code}"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"was ended by {names.get(-code, f'signal {-code}')}"
        if -code == signal.SIGKILL:
            how += ", as happens where memory runs out"
    return ": ".join([how, *last]).removesuffix(".") + "."


def run_on_ray(job, configs, address=None, limit=None):
    """Executes runs as `LocalWorkers.run` does, on a Ray cluster whose nodes must have this package and the data.

    Ray runs as many at a time as the cluster's processors allow. A run whose node or process is lost is repeated; a run
    that is lost four times becomes the row of `job.failed`. Standard output, where Ray prints, is discarded meanwhile.
    Without an `address` of the cluster's head, a cluster starts on this machine. Each run takes one thread, and one
    processor of the cluster. `limit` is the maximum number of runs that Ray is given at a time.

    Raises ImportError without Ray; ConnectionError if there is no cluster at this address, or it has no processor;
    ChildProcessError if a process of the cluster cannot execute runs, as without this package or the data.
    """
    configs = iter(configs)
    if (config := next(configs, None)) is None:
        return
    with needs_extra("Runs on a Ray cluster need", "distributed"):
        import ray
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(pathlib.Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        _connect(ray, address, stack)
        # Lost runs are repeated here, not by Ray, whose limit does not count processes that run out of memory.
        remote = ray.remote(num_cpus=1, max_retries=0)(_execute)
        pending = {}
        stack.callback(lambda: [ray.cancel(reference, force=True) for reference in pending])
        while True:
            while config is not None:
                pending[remote.remote(job.sources, job.execute, config)] = config, 1
                config = next(configs, None) if len(pending) != limit else None
            if not pending:
                return
            (reference,), _ = ray.wait(list(pending))
            lost, attempt = pending.pop(reference)
            try:
                row = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise ChildProcessError(f"A process of the cluster cannot execute runs: {error.cause}") from error
            except ray.exceptions.RayError as error:
                if attempt < MAX_ATTEMPTS:
                    pending[remote.remote(job.sources, job.execute, lost)] = lost, attempt + 1
                    continue
                message = f"The run was lost {attempt} times: {' '.join(str(error).split())}"
                row = job.failed(lost, message, None, None)
            yield row
            config = next(configs, None)


def _connect(ray, address, stack):
    """Connects to the cluster until the stack is closed; an earlier connection is used, and stays."""
    if not ray.is_initialized():
        host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
        try:
            if colon and port.isdecimal():  # Ray itself gives up after minutes
                socket.create_connection((host, int(port)), timeout=5).close()
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            options = {"address": address} if address else {"address": "local", "include_dashboard": False}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of some releases, about graphics cards
                ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConnectionError(
                f"There is no Ray cluster at {address!r} ({error}). Run `ray start --head`, or leave --address out."
                if address
                else f"Ray cannot be started here ({error}). Use --workers, which needs no Ray, or --address."
            ) from error
        stack.callback(ray.shutdown)
    available = ray.cluster_resources().get("CPU", 0)
    if available < 1:
        raise ConnectionError(f"The Ray cluster has {available:g} processors, and a run needs 1: add nodes to it.")


def _execute(sources, name, config):
    """Executes a run in a process of the cluster, which may have executed other runs."""
    if machine()["threads"] != 1:
        set_threads(1)
    for source in sources:
        load_source(source)
    return pkgutil.resolve_name(name)(config)
