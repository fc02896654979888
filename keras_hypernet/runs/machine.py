"""The machine of a run: its processor, its threads and its memory."""

import contextlib
import os
import pathlib
import platform
import sys

from keras_hypernet.common.checks import integer

_STATUS = pathlib.Path("/proc/self/status")


def machine(threads=None):
    """Returns the operating system's name of the processor, and TensorFlow's threads, by default of this process."""
    if threads is None:
        import tensorflow as tf

        threads = tf.config.threading.get_intra_op_parallelism_threads()
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in fields}
        model = f"{fields.get('model name', model)} (family {fields.get('cpu family')}, model {fields.get('model')})"
    return {"processor": model, "threads": threads}


def processors():
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads):
    """Sets the threads of TensorFlow, and of NumPy, whose matrix products make the synthetic targets.

    Raises ValueError unless the number is positive, and RuntimeError if TensorFlow has computed with another number.
    """
    integer("threads", threads)
    import tensorflow as tf
    import threadpoolctl

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    threadpoolctl.threadpool_limits(threads)


def reset_peak_memory():
    """Restarts the measurement of `peak_memory`, on Linux where permitted."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_memory():
    """Peak resident memory of this process in MiB, since its start or `reset_peak_memory`."""
    if _STATUS.exists():
        (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return round(int(line.split()[1]) / 1024)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
