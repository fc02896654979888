"""The engine that executes runs on a Ray cluster."""

import contextlib
import os
import pathlib
import socket
import warnings

from keras_hypernet.experiments.experiment import make_row

# So often is a run begun whose node or process is lost, before it counts as failed: it may be what ends them.
_MAX_ATTEMPTS = 4


def run_on_ray(configs, address=None, threads=1):
    """Executes runs on a Ray cluster, whose nodes must have this package and the data.

    Ray decides how many run at the same time: as many as there are processors for. While it is at work, what is
    printed to standard output is discarded, because Ray prints there too.

    Args:
        configs: Configurations, as of `Experiment.runs`.
        address: Address of the cluster's head, or None to start one on this machine.
        threads: Threads, and processors of the cluster, for each run.

    Yields:
        The row of each run, in the order in which they end. A run whose node or process is lost is repeated; if that
        happens to it four times, its row has the status `"failed"`. When the generator is closed, runs that have not
        ended are given up.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If there is no cluster at this address, or it has too few processors for a run.
        ChildProcessError: If a process of the cluster cannot execute runs, as without this package or the data.
    """
    if not configs:
        return
    try:
        import ray
    except ImportError as error:
        raise ImportError("Ray needs an optional dependency: pip install 'keras_hypernet[distributed]'") from error
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(pathlib.Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        _connect(ray, address, threads, stack)
        # A run is a function of its configuration, so one that is lost can be repeated without harm; here, and not by
        # Ray, whose own limit does not count processes that are ended for want of memory.
        remote = ray.remote(num_cpus=threads, max_retries=0)(_execute)
        pending = {remote.remote(config, threads): (config, 1) for config in configs}
        stack.callback(lambda: [ray.cancel(reference, force=True) for reference in pending])
        while pending:
            (reference,), _ = ray.wait(list(pending))
            config, attempt = pending.pop(reference)
            try:
                row = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise ChildProcessError(f"A process of the cluster cannot execute runs: {error.cause}") from error
            except ray.exceptions.RayError as error:
                if attempt < _MAX_ATTEMPTS:
                    pending[remote.remote(config, threads)] = config, attempt + 1
                    continue
                message = f"The run was lost {attempt} times: {' '.join(str(error).split())}"
                row = make_row(config, {"status": "failed", "message": message})
            yield row


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


def _execute(config, threads):
    """Executes a run in a process of the cluster, which may have executed others."""
    from keras_hypernet.experiments import find_experiment
    from keras_hypernet.experiments.experiment import execute
    from keras_hypernet.experiments.machine import machine, set_threads

    if machine()["threads"] != threads:
        set_threads(threads)
    return execute(config, find_experiment(config["experiment"]))
