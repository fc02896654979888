"""What a terminal shows: every text as it is, since cards, rows, paths and messages of libraries come from others.

Such a text can hold Rich's markup, or escape sequences, which control a terminal. All that this package prints for
people goes through `LiteralConsole`.
"""

from rich.console import Console
from rich.text import Text

_LONGEST = 2000


def printable(text):
    r"""Returns a text in which each character that cannot be shown, a line break included, is written as Python does.

    Example:

    >>> print(printable("[mirror] \x1b[2J\n"))
    [mirror] \x1b[2J\n
    """
    characters = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))
    return "".join(characters)


def one_line(text):
    """Returns a text as a printable line, with single spaces."""
    return printable(" ".join(str(text).split()))


class LiteralConsole(Console):
    """A console for which a `str`, in a table too, is a line of text: without markup, emoji codes, control sequences.

    Styles and line breaks are those of a `rich.text.Text`, which is shown as it is: make it of `printable` text.

    Args:
        stderr: Whether to write to standard error.
    """

    def __init__(self, stderr=False):
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text, **options):
        """Returns the `Text` that Rich shows for a `str`."""
        return super().render_str(printable(text), **options)

    def status(self, status, **options):
        """Returns a context manager that shows a sentence as long as it lasts."""
        return super().status(Text(printable(status)), **options)

    def say(self, word, style, sentence):
        """Prints a sentence of one line after a word in a style: Error, Warning. Of a very long one, the ends."""
        said = one_line(sentence)
        if len(said) > _LONGEST:
            said = f"{said[: _LONGEST // 2]} ... {said[-_LONGEST // 2 :]}"
        self.print(Text.assemble((f"{word}:", style), " ", said), soft_wrap=True)

    def warn(self, sentence):
        """Prints a warning of one line."""
        self.say("Warning", "yellow", sentence)
