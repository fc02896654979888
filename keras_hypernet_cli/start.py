"""The start of the process: standard streams, interrupts, the import of keras_hypernet without TensorFlow's messages.

TensorFlow writes messages, such as about missing GPUs, to standard error before it reads its log level
(tensorflow/tensorflow#100442). These messages are shown only if the import fails.
"""

import contextlib
import os
import signal
import sys
import tempfile


def open_standard_streams():
    """Opens each standard stream that the caller has closed, as `2>&-` does, to the null device.

    Otherwise, the next opened file would get the number of the stream, and receive the printed output.
    """
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
    sys.stdout.reconfigure(errors="backslashreplace")  # prints an escape for a character that the encoding lacks


def import_package():
    """Imports keras_hypernet, unless it is imported already; SystemExit for another backend than TensorFlow."""
    if "keras_hypernet" in sys.modules:
        return
    # Overrides Keras's configuration file.
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
    """Lets an interrupt end the process at once, because a module that is being imported could catch the exception."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a background job ignores interrupts, and continues to
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _quiet():
    """Holds back the output of Python and C++ to standard error, and writes it only if the block raises."""
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
