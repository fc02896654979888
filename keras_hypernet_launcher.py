"""The console script `keras-hypernet`: the command line without what TensorFlow says while it is imported.

TensorFlow reports missing GPUs and the like on standard error before it reads its own log level
(tensorflow/tensorflow#100442). The package imports it, so this module stands outside. If an import fails,
all that was said is shown. Keras chooses its backend when it is imported, so the backend is checked here, too.
"""

import contextlib
import gc
import os
import signal
import sys
import tempfile


def _open_standard_streams():
    """Opens to nowhere what the caller has closed, as by `2>&-`; else the next file that is opened has its number."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
    sys.stdout.reconfigure(errors="backslashreplace")  # as of standard error: what its encoding lacks is no error


def _choose_backend():
    """Chooses TensorFlow, whatever the configuration file of Keras says; another one that is asked for is an error."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        print(f"Error: The command line needs KERAS_BACKEND=tensorflow. Received: {backend!r}", file=sys.stderr)
        raise SystemExit(2)
    os.environ["KERAS_BACKEND"] = backend


@contextlib.contextmanager
def _quiet():
    """Holds back what anything, C++ included, writes to standard error; shows it if an exception is raised."""
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(standard_error, held.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


@contextlib.contextmanager
def _ended_by_an_interrupt():
    """An interrupt ends the process at once. As an exception it could be caught by what is imported, and be lost."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # it is ignored in a background job, and stays so
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def main():
    """Runs the command line."""
    _open_standard_streams()
    _choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its errors are raised, too
    try:
        with _ended_by_an_interrupt(), _quiet():
            from keras_hypernet.cli import main as run
        run()
    except KeyboardInterrupt:  # before a command has got so far as to say more
        raise SystemExit(130) from None
    finally:
        gc.freeze()  # what ends with the process is not looked through once more, which takes seconds


if __name__ == "__main__":
    main()
