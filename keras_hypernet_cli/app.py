"""The application: its commands, and the handling of their errors."""

import re
import sys
from typing import Annotated

import typer
from typer.core import TyperCommand

from keras_hypernet_cli import doctor, experiments, models, serving, training, tuning
from keras_hypernet_cli.printing import console
from keras_hypernet_cli.start import import_package


class _Command(TyperCommand):
    """A command that imports keras_hypernet after its arguments are parsed and before its function is called."""

    def invoke(self, ctx):
        import_package()
        return super().invoke(ctx)


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback()
def _application(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False):
    """Hypernetworks for Keras: list, measure, train, export and serve pretrained models.

    Start with [bold]keras-hypernet demo[/bold], which needs no network.
    """


# In the order of the help.
for _function in (
    models.list_,
    models.info,
    models.demo,
    doctor.doctor,
    models.evaluate,
    training.train,
    training.entry,
    serving.export,
    serving.serve,
    experiments.experiment,
    experiments.plot,
    tuning.tune,
):
    app.command(_function.__name__.rstrip("_"), cls=_Command)(_function)


def run():
    """Runs the command of `sys.argv`; for an error that the user can fix, prints one line, with exit code 2."""
    arguments = sys.argv[1:]
    try:
        # Typer accepts an option of the application only before the command; --debug may stand anywhere.
        app([argument for argument in arguments if argument != "--debug"], prog_name="keras-hypernet")
    except Exception as error:
        imported = "keras_hypernet" in sys.modules  # otherwise its import has failed, which the user cannot fix
        message = _message(error) if imported and "--debug" not in arguments else None
        if message is None:
            raise
        console().say("Error", "bold red", _with_options(message, arguments[0]))
        raise SystemExit(2) from None


def _message(error):
    """Returns the message of an error that a user can cause and fix; None for a fault of the package."""
    import tensorflow as tf

    from keras_hypernet.data.sources import DataUnavailableError
    from keras_hypernet.training.checkpoints import TrainingDivergedError

    if isinstance(error, (ValueError, TypeError, ImportError, OSError, DataUnavailableError, TrainingDivergedError)):
        return str(error).replace("\x1b[1m", "").replace("\x1b[0m", "")  # Keras writes in bold
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return f"There is not enough memory for this command. {error}"
    return None


def _with_options(message, command):
    """Returns a message of keras_hypernet with the names of options instead of the names of arguments.

    Without this, an error says "`depth` must be an integer" to a user who has typed --depths.
    """
    command = typer.main.get_command(app).commands.get(command)
    for option in command.params if command else ():
        for written in option.opts if option.param_type_name == "option" else ():
            name = re.escape(written.strip("-").replace("-", "_").removesuffix("s"))
            message = re.sub(rf"`{name}s?(_bytes)?`", written, message)
    return message
