"""Where runs are executed: in processes of this machine, or on a Ray cluster."""

import json
import os
import selectors
import subprocess
import sys
import tempfile

ENGINES = ("local", "ray")


def run_locally(configs, workers, threads=None):
    """Executes runs in processes of their own, each with its share of the processor's threads.

    Args:
        configs: Configurations, as of `Experiment.runs`.
        workers: Number of processes.
        threads: Threads of each; by default the number of processors, divided among the processes.

    Yields:
        The row of each run, in the order in which they end. A process that dies leaves a row with the status
        `"failed"`, and is replaced.
    """
    threads = threads or max(1, (os.cpu_count() or 1) // workers)
    waiting = list(reversed(configs))
    pool = [_Worker(threads) for _ in range(min(workers, len(configs)))]
    try:
        with selectors.DefaultSelector() as selector:
            for worker in pool:
                worker.start(waiting.pop(), selector)
            while any(worker.config for worker in pool):
                for key, _ in selector.select():
                    worker = key.data
                    yield worker.finish(selector)
                    if waiting:
                        worker.start(waiting.pop(), selector)
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    def __init__(self, threads):
        self.threads = threads
        self.process = self.config = None

    def start(self, config, selector):
        """Sends a run to the process, which is started if there is none."""
        if self.process is None:
            self.errors = tempfile.TemporaryFile()  # noqa: SIM115
            environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "OMP_NUM_THREADS": str(self.threads)}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keras_hypernet.experiments.worker", str(self.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env=environment,
            )
            selector.register(self.process.stdout, selectors.EVENT_READ, self)
        self.config = config
        try:
            self.process.stdin.write(json.dumps(config).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died, which `finish` is about to find

    def finish(self, selector):
        """Receives the row of the run, or makes one of the death of the process."""
        line = self.process.stdout.readline()
        config, self.config = self.config, None
        if line.endswith(b"\n"):
            return json.loads(line)
        selector.unregister(self.process.stdout)
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
        self.stop()
        labels = {name: value for name, value in config.items() if name not in ("task", "recipe")}
        message = " ".join([f"The process ended with the exit code {code}.", *said])
        return {**labels, "status": "failed", "test": None, "message": message, "config": config}

    def stop(self):
        """Ends the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.errors.close()
            self.process = None


def run_on_ray(configs, address, threads=1):
    """Executes runs on a Ray cluster, whose nodes must have this package and the data.

    Args:
        configs: Configurations, as of `Experiment.runs`.
        address: Address of the cluster's head, or None to start one on this machine.
        threads: Threads, and processors of the cluster, for each run.

    Yields:
        The row of each run, in the order in which they end. Runs of a node that is lost are repeated on others.

    Raises:
        ImportError: If Ray is not installed.
        ConnectionError: If there is no cluster at this address.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("Ray needs an optional dependency: pip install 'keras_hypernet[distributed]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    # A run is a function of its configuration, so one whose node is lost can be repeated without harm.
    remote = ray.remote(num_cpus=threads, max_retries=-1)(_execute)
    try:
        pending = [remote.remote(config, threads) for config in configs]
        while pending:
            (done,), pending = ray.wait(pending)
            yield ray.get(done)
    finally:
        if started:
            ray.shutdown()


def _execute(config, threads):
    from keras_hypernet.experiments import get_experiment
    from keras_hypernet.experiments.experiment import execute
    from keras_hypernet.experiments.machine import machine, set_threads

    if machine()["threads"] != threads:
        set_threads(threads)
    return execute(config, get_experiment(config["experiment"]))
