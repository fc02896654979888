"""The engine that executes runs on a Ray cluster."""

import contextlib
import os
import pathlib
import socket
import warnings

from keras_hypernet.common.extras import needs_extra

# How many times a run is started whose node or process is lost: the run itself may be what ends them.
MAX_ATTEMPTS = 4


def run_on_ray(job, configs, address=None, threads=1, limit=None):
    """Executes runs on a Ray cluster, whose nodes must have this package and the data.

    Ray decides how many run at the same time: as many as there are processors for. While it is at work, what is
    printed to standard output is discarded, because Ray prints there too.

    Args:
        job: A `Job` whose function has a name.
        configs: Iterable of configurations. None means that there is nothing to do until another run has ended.
        address: Address of the cluster's head, or None to start one on this machine.
        threads: Threads, and processors of the cluster, for each run.
        limit: Largest number of runs that Ray is given at a time; by default all of them at once.

    Yields:
        The row of each run, in the order in which they end. A run whose node or process is lost is repeated; a run that
        is lost four times becomes the row of `job.failed`. When the generator is closed, runs that have not ended are
        given up.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If there is no cluster at this address, or it has too few processors for a run.
        ChildProcessError: If a process of the cluster cannot execute runs, as without this package or the data.
    """
    configs = iter(configs)
    if (config := next(configs, None)) is None:
        return
    with needs_extra("Runs on a Ray cluster need", "distributed"):
        import ray
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(pathlib.Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        _connect(ray, address, threads, stack)
        # A run is a function of its configuration, so one that is lost can be repeated without harm; here, and not by
        # Ray, whose own limit does not count processes that are ended for want of memory.
        remote = ray.remote(num_cpus=threads, max_retries=0)(_execute)
        pending = {}
        stack.callback(lambda: [ray.cancel(reference, force=True) for reference in pending])
        while True:
            while config is not None:
                pending[remote.remote(job.execute, config, threads)] = config, 1
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
                    pending[remote.remote(job.execute, lost, threads)] = lost, attempt + 1
                    continue
                message = f"The run was lost {attempt} times: {' '.join(str(error).split())}"
                row = job.failed(lost, message, None, None)
            yield row
            config = next(configs, None)


def _connect(ray, address, threads, stack):
    """Connects to the cluster until the stack is closed; a connection that is there already is used, and stays."""
    if not ray.is_initialized():
        # Ray itself gives up after minutes.
        place = (address or "").removeprefix("ray://")
        host, colon, port = place.rpartition(":")
        try:
            if colon and port.isdecimal():
                socket.create_connection((host, int(port)), timeout=5).close()
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            options = {"address": address} if address else {"address": "local", "include_dashboard": False}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # what some releases say of graphics cards
                ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except (OSError, ValueError, RuntimeError) as error:
            if address is None:
                raise ConnectionError(
                    f"Ray cannot be started on this machine ({error}). Use --workers, which needs no Ray, or the "
                    "--address of a cluster."
                ) from error
            raise ConnectionError(
                f"There is no Ray cluster at {address!r} ({error}). Start one with `ray start --head`, which prints "
                "its address, or leave --address away to use this machine alone."
            ) from error
        stack.callback(ray.shutdown)
    found = ray.cluster_resources().get("CPU", 0)
    if found < threads:
        raise ConnectionError(f"The Ray cluster has {found:g} processors, and a run needs {threads}: add nodes to it.")


def _execute(name, config, threads):
    """Executes a run in a process of the cluster, which may have executed others."""
    from keras_hypernet.runs.machine import machine, set_threads
    from keras_hypernet.runs.worker import get_function

    if machine()["threads"] != threads:
        set_threads(threads)
    return get_function(name)(config)
