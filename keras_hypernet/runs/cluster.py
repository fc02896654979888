"""The engine that executes runs on a Ray cluster."""

import contextlib
import os
import pathlib
import socket
import warnings

from keras_hypernet.common.extras import needs_extra

# Maximum number of starts of a run whose node or process is lost: the run itself may be the cause.
MAX_ATTEMPTS = 4


def run_on_ray(job, configs, address=None, threads=1, limit=None):
    """Executes runs as `LocalWorkers.run` does, on a Ray cluster whose nodes must have this package and the data.

    Ray runs as many at a time as the cluster's processors allow. A run whose node or process is lost is repeated; a run
    that is lost four times becomes the row of `job.failed`. Standard output, where Ray prints, is discarded meanwhile.
    Without an `address` of the cluster's head, a cluster starts on this machine. Each run takes as many threads, and
    processors of the cluster, as `threads`. `limit` is the maximum number of runs that Ray is given at a time.

    Raises ImportError without Ray; ConnectionError if there is no cluster at this address, or it has too few processors
    for a run; ChildProcessError if a process of the cluster cannot execute runs, as without this package or the data.
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
        # Lost runs are repeated here, not by Ray, whose limit does not count processes that run out of memory.
        remote = ray.remote(num_cpus=threads, max_retries=0)(_execute)
        pending = {}
        stack.callback(lambda: [ray.cancel(reference, force=True) for reference in pending])
        while True:
            while config is not None:
                pending[remote.remote(job.sources, job.execute, config, threads)] = config, 1
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
                    pending[remote.remote(job.sources, job.execute, lost, threads)] = lost, attempt + 1
                    continue
                message = f"The run was lost {attempt} times: {' '.join(str(error).split())}"
                row = job.failed(lost, message, None, None)
            yield row
            config = next(configs, None)


def _connect(ray, address, threads, stack):
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
    processors = ray.cluster_resources().get("CPU", 0)
    if processors < threads:
        raise ConnectionError(
            f"The Ray cluster has {processors:g} processors, and a run needs {threads}: add nodes to it."
        )


def _execute(sources, name, config, threads):
    """Executes a run in a process of the cluster, which may have executed other runs."""
    from keras_hypernet.runs.machine import machine, set_threads
    from keras_hypernet.runs.sources import load_source
    from keras_hypernet.runs.worker import get_function

    if machine()["threads"] != threads:
        set_threads(threads)
    for source in sources:
        load_source(source)
    return get_function(name)(config)
