"""The command line, `keras-hypernet`: arguments and printing only, the commands of a kind in a file."""

import re
import sys

import typer

from keras_hypernet.cli import models  # noqa: F401  # isort: skip  (the commands in the order of the help)
from keras_hypernet.cli import serving  # noqa: F401  # isort: skip
from keras_hypernet.cli import experiments  # noqa: F401  # isort: skip
from keras_hypernet.cli import tuning  # noqa: F401  # isort: skip
from keras_hypernet.cli.common import app
from keras_hypernet.common.terminal import LiteralConsole
from keras_hypernet.data.sources import DataUnavailableError
from keras_hypernet.training.checkpoints import TrainingDivergedError

# What a user can cause and mend. Anything else is a fault of this package, and shows its traceback.
_USER_ERRORS = (ValueError, TypeError, ImportError, OSError, DataUnavailableError, TrainingDivergedError)
_MEMORY = "There is not enough memory for what this asks for. "


def main():
    """Runs the command line; an error of the user is one line and the exit code 2."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        # An option of every command: accepted wherever it stands.
        app([argument for argument in arguments if argument != "--debug"], prog_name="keras-hypernet")
    except Exception as error:
        message = _said_of(error)
        if debug or message is None:
            raise
        LiteralConsole(stderr=True).say("Error", "bold red", _with_options(message, arguments))
        raise SystemExit(2) from None


def _said_of(error):
    """What an error says to the user, or None if it is not for the user."""
    if isinstance(error, _USER_ERRORS):
        return str(error).replace("\x1b[1m", "").replace("\x1b[0m", "")  # Keras writes in bold
    import tensorflow as tf

    return f"{_MEMORY}{error}" if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)) else None


def _with_options(message, arguments):
    """A message about arguments of a function, as `depth`, with the options of the command instead."""
    command = typer.main.get_command(app).commands.get(next(iter(arguments), None))
    for option in command.params if command else ():
        for written in option.opts if option.param_type_name == "option" else ():
            name = re.escape(written.strip("-").replace("-", "_").removesuffix("s"))
            message = re.sub(rf"`{name}s?(_bytes)?`", written, message)
    return message
