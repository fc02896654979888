"""Functions that print results, and the command line that results record."""

import contextlib
import json
import shlex
import sys

from rich.table import Column, Table
from rich.text import Text

# These options affect how a command runs and what it prints, but not its result.
_WITHOUT_EFFECT = {"--resume", "--overwrite", "--debug", "--json"}


def console(stderr=True):
    """Returns the console of standard error, or of standard output; `say`, `warn` and `status` print sentences."""
    from keras_hypernet.common.terminal import LiteralConsole

    return LiteralConsole(stderr)


def show(content):
    """Prints a line (`str` or `rich.text.Text`, not wrapped if long) or a table on standard output."""
    console(stderr=False).print(content, soft_wrap=not isinstance(content, Table))


def show_facts(title, facts):
    """Prints a dict of facts as a table of two columns; None is left out."""
    table = Table(Column(style="bold"), Column(overflow="fold"), show_header=False, title=title)
    for name, value in facts.items():
        if value is not None:
            table.add_row(name, Text(readable(value)))
    show(table)


def show_json(content):
    """Prints JSON, for programs."""
    print(json.dumps(content, indent=2))


def readable(value):
    """Returns a value as printable text; if the value holds lists, the text has several lines."""
    from keras_hypernet.common.terminal import printable

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


@contextlib.contextmanager
def resumable(folder):
    """If the block is interrupted, says where finished work is kept."""
    try:
        yield
    except KeyboardInterrupt:
        console().warn(f"Interrupted. What has finished is kept in {folder}; --resume continues with it.")
        raise


def command_line(flags=(), options=()):
    """Returns the current command line without options that do not affect the result, `flags`, and valued `options`."""
    kept, words = ["keras-hypernet"], iter(sys.argv[1:])
    for word in words:
        if word in options:
            next(words)
        elif word not in {*_WITHOUT_EFFECT, *flags} and word.partition("=")[0] not in options:
            kept.append(word)
    return shlex.join(kept)
