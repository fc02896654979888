"""Runs without training, for tests of the engines: each configuration says what its run does."""

import os
import pathlib
import signal
import sys
import threading

from keras_hypernet.runs.engines import Job


def execute(config):
    """Returns a row that names the process, or does what `config` asks for."""
    if "say" in config:
        print(config["say"], file=sys.stderr, flush=True)
    if "raise" in config:
        raise ImportError(config["raise"])
    if config.get("die") and not (config["die"] == "once" and _attempted(config)):
        os.kill(os.getpid(), signal.SIGKILL)
    if config.get("endless"):
        threading.Event().wait()
    return {"config": config, "process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}


def _attempted(config):
    """Whether the run has been started before; records that it has been started."""
    path = pathlib.Path(config["attempts"])
    before = path.exists()
    path.touch()
    return before


def failed(config, message, seconds, machine):
    """The row of a run whose process died."""
    return {"config": config, "failed": message, "seconds": seconds, "machine": machine}


def job(attempts=1):
    """A job whose runs are those of this module."""
    return Job("light_runs:execute", failed, attempts)
