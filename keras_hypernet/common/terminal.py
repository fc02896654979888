"""Literal text on the terminal.

Untrusted text, such as cards, rows, paths and messages of libraries, can hold Rich's markup, or escape sequences that
control a terminal. All output for people goes through `LiteralConsole`.
"""

from rich.console import Console
from rich.text import Text

_LONGEST = 2000


def printable(text):
    r"""Returns a text with Python's escapes instead of unprintable characters, line breaks included.

    >>> print(printable("[mirror] \x1b[2J\n"))
    [mirror] \x1b[2J\n
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(text)
    )


class LiteralConsole(Console):
    """A console that prints a `str`, also in a table, as one literal line: no markup, emoji codes, control sequences.

    A `rich.text.Text` keeps its styles and line breaks; make a `Text` from `printable` text.
    """

    def __init__(self, stderr=False):
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text, **options):
        return super().render_str(printable(text), **options)

    def status(self, status, **options):
        """Returns a context manager that shows a sentence during the block."""
        return super().status(Text(printable(status)), **options)

    def say(self, word, style, sentence):
        """Prints a styled word, such as Error, and a sentence on one line; cuts the middle of a very long sentence."""
        line = printable(" ".join(str(sentence).split()))
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
        self.print(Text.assemble((f"{word}:", style), " ", line), soft_wrap=True)

    def warn(self, sentence):
        self.say("Warning", "yellow", sentence)
