"""What the results of a run depend on besides its configuration: the machine, and how much of it was used."""

import contextlib
import os
import pathlib
import platform
import sys

_STATUS = pathlib.Path("/proc/self/status")


def machine(threads=None):
    """Returns the processor, as the operating system names it, and the threads that TensorFlow computes with.

    Args:
        threads: Those of another process; by default the number is that of this one.
    """
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
    """Lets TensorFlow use this many threads, and NumPy, whose matrix products make the synthetic targets.

    Raises:
        ValueError: If that is not a positive integer.
        RuntimeError: If TensorFlow has computed something already, with another number.
    """
    if threads < 1:
        raise ValueError(f"`threads` must be a positive integer. Received: {threads}")
    import tensorflow as tf
    import threadpoolctl

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    threadpoolctl.threadpool_limits(threads)


def reset_peak_memory():
    """Counts the peak of this process's memory from now on; only on Linux, and where that is allowed."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_memory():
    """Peak of the resident memory of this process in MiB, since it began or the peak was reset."""
    if _STATUS.exists():
        (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return round(int(line.split()[1]) / 1024)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
