"""The progress of many runs: the rows that are there, the time that is left, the best so far."""

import datetime
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from keras_hypernet.common.terminal import LiteralConsole, printable


class RunsProgress:
    """Shows on standard error how many runs have ended: live on a terminal, elsewhere a line for each row.

    Args:
        name: Name of what is run.
        total: Number of the runs.
        rows: Rows of those that are done already.
        summarize: Function of the rows that returns what there is to say of them, such as the best so far.
        noun: What a row is about.
        visible: Whether to show anything.

    Example:

    >>> progress = RunsProgress("rotation_depth", 3, [], lambda rows: f"{len(rows)} rows", visible=False)
    >>> with progress:
    ...     progress.add({"test": 0.0571})
    >>> progress.summary()
    '1 rows'
    """

    def __init__(self, name, total, rows, summarize, noun="runs", visible=True):
        self.summarize, self.noun = summarize, noun
        self.name, self.total, self.visible = name, total, visible
        self.rows = list(rows)
        self.before = len(self.rows)
        self.started = self.last = time.monotonic()
        self.console = LiteralConsole(stderr=True)
        self.bar = _Bar(self, disable=not (visible and self.console.is_terminal))
        self.task = self.bar.add_task(printable(name), total=total, completed=self.before)

    def __enter__(self):
        self.bar.start()
        if self.before < self.total:  # the first row may be minutes away
            self._print_line()
        elif self.visible:
            sentence = f"{self.name}: {self.total}/{self.total} {self.noun} are there already; none is repeated."
            self.console.print(sentence, soft_wrap=True)
        return self

    def __exit__(self, *exception):
        self.bar.stop()

    def warn(self, sentence):
        """Shows a warning, whether the progress is visible or not."""
        self.console.warn(sentence)

    def add(self, row, total=None):
        """Takes note of a row that has been added to the results, and of the number of all, if that has changed."""
        self.rows.append(row)
        self.last = time.monotonic()
        self.total = total or self.total
        self.bar.update(self.task, completed=len(self.rows), total=self.total)
        self._print_line()

    def _print_line(self):
        """Where there is no terminal, how far it is."""
        if self.visible and self.bar.disable:
            parts = [f"{self.name}: {len(self.rows)}/{self.total} {self.noun}", self.left(), self.summary()]
            self.console.print(", ".join(filter(None, parts)), soft_wrap=True)

    def summary(self):
        """What there is to say of the rows so far."""
        return self.summarize(self.rows)

    def left(self):
        """The time that is left if the runs to come take as long as those since the beginning of this call did."""
        ended = len(self.rows) - self.before
        if not ended:
            return "-:--:-- left"
        seconds = (self.last - self.started) / ended * (self.total - len(self.rows)) - (time.monotonic() - self.last)
        return f"{datetime.timedelta(seconds=round(max(0, seconds)))} left"


class _Bar(Progress):
    """A bar, and the summary in the line below."""

    def __init__(self, progress, disable):
        self.of = progress
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn(progress.noun), _Left(progress))
        super().__init__(
            TextColumn("{task.description}", markup=False), *columns, console=progress.console, disable=disable
        )

    def get_renderables(self):
        """What is drawn each time."""
        yield from super().get_renderables()
        yield Text(printable(self.of.summary()))


class _Left(ProgressColumn):
    """The time that is left; Rich's own counts the last 30 seconds only, in which no run may have ended."""

    def __init__(self, progress):
        super().__init__()
        self.of = progress

    def render(self, task):
        """The text of the column."""
        return Text(self.of.left(), style="progress.remaining")
