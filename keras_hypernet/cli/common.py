"""What the commands share: the application, options, and how they print."""

import contextlib
import json
import shlex
import sys
from typing import Annotated

import typer

from keras_hypernet.common.terminal import LiteralConsole, printable

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
console = LiteralConsole()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback()
def keras_hypernet(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
):
    """Hypernetworks for Keras: pretrained models, from a look at them to a SavedModel.

    Start with [bold]keras-hypernet demo[/bold], which needs no network.
    """


def warn(sentence):
    """Prints a warning of one line on standard error."""
    LiteralConsole(stderr=True).warn(sentence)


@contextlib.contextmanager
def resumable(folder):
    """Says, if what is done in it is interrupted, where the part that is done is kept."""
    try:
        yield
    except KeyboardInterrupt:
        warn(f"Interrupted. What has finished is kept in {folder}; --resume goes on with it.")
        raise


def command_line(of_this_call, with_a_value=()):
    """The command that is being executed, without the options that are of this call, and not of what it makes.

    Args:
        of_this_call: Those that are flags.
        with_a_value: Those that are followed by a value.
    """
    kept, words = ["keras-hypernet"], iter(sys.argv[1:])
    for word in words:
        if word in with_a_value:
            next(words)
        elif word not in of_this_call and word.partition("=")[0] not in with_a_value:
            kept.append(word)
    return shlex.join(kept)


def print_json(content):
    """Prints JSON, for programs."""
    print(json.dumps(content, indent=2))


def readable(value):
    """Returns a value as tables show it: printable, and on several lines if there are lists in it."""
    if isinstance(value, dict):
        lists = any(isinstance(part, list) for part in value.values())
        named = {printable(name): readable(part) for name, part in value.items() if part is not None}
        parts = [f"{name}{':' * lists} {text}" for name, text in named.items()]
        return ("\n" if lists else ", ").join(parts)
    if isinstance(value, list):
        return "\n".join(readable(part) for part in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return printable(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
