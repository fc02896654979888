"""What the results of a run depend on besides its configuration: the machine, and how much of it was used."""

import pathlib
import platform
import sys

_STATUS = pathlib.Path("/proc/self/status")


def machine():
    """Returns the processor, as the operating system names it, and the threads that TensorFlow computes with."""
    import tensorflow as tf

    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in fields}
        model = f"{fields.get('model name', model)} (family {fields.get('cpu family')}, model {fields.get('model')})"
    return {"processor": model, "threads": tf.config.threading.get_intra_op_parallelism_threads()}


def set_threads(threads):
    """Lets TensorFlow use this many threads; only before it has computed anything."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def reset_peak_memory():
    """Counts the peak of this process's memory from now on; only on Linux."""
    clear = pathlib.Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak_memory():
    """Peak of the resident memory of this process in MiB, since it began or the peak was reset."""
    if _STATUS.exists():
        (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return round(int(line.split()[1]) / 1024)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
