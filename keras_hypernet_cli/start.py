"""How the process starts: standard streams, interrupts, the import of keras_hypernet without TensorFlow's messages.

TensorFlow writes messages about missing GPUs and the like to standard error before it reads its own log level
(tensorflow/tensorflow#100442). They are shown only if the import fails.
"""

import contextlib
import os
import signal
import sys
import tempfile


def open_standard_streams():
    """Opens each standard stream that the caller has closed, as `2>&-` does, to the null device.

    Otherwise, the next file that is opened would get the number of the stream, and what is printed.
    """
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
    sys.stdout.reconfigure(errors="backslashreplace")  # a character that the encoding lacks is printed as an escape


def import_package():
    """Imports keras_hypernet, unless it is imported already.

    Raises:
        SystemExit: If the environment asks for another backend than TensorFlow.
    """
    if "keras_hypernet" in sys.modules:
        return
    # Whatever Keras's configuration file says.
    os.environ["KERAS_BACKEND"] = backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        print(f"Error: The command line needs KERAS_BACKEND=tensorflow. Received: {backend!r}", file=sys.stderr)
        raise SystemExit(2)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC raises its errors too
    with ends_at_an_interrupt(), _quiet():
        import keras_hypernet  # noqa: F401


@contextlib.contextmanager
def ends_at_an_interrupt():
    """Lets an interrupt end the process at once, since a module that is being imported could catch the exception."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a background job ignores interrupts, and continues to
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _quiet():
    """Holds back what Python and C++ write to standard error, and writes it only if the block raises."""
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
