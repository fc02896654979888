"""The command line, `keras-hypernet`: arguments and printing.

Importing keras_hypernet imports Keras and TensorFlow, which takes seconds. The command line is therefore a separate
package, and each command imports what it needs inside its function, so that help and usage errors are fast.
"""

import gc

from keras_hypernet_cli.start import ends_at_an_interrupt, open_standard_streams


def main():
    """Runs the command line as a process: the console script."""
    open_standard_streams()
    try:
        with ends_at_an_interrupt():
            from keras_hypernet_cli.app import run
        run()
    except KeyboardInterrupt:  # outside of a command, where Typer does not handle it
        raise SystemExit(130) from None
    finally:
        gc.freeze()  # Python's last garbage collection, which would take seconds, skips all objects
