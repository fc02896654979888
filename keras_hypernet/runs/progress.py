"""The progress of many runs: their number, the time left, the best so far."""

import collections
import datetime
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from keras_hypernet.common.terminal import LiteralConsole, printable


class RunsProgress(Progress):
    """Shows progress on standard error: a live bar on a terminal, elsewhere a line for each row.

    Of `total` runs of the experiment or search `name`, `rows` have ended. `describe_best` is a function of rows that
    returns a text about the best results. Its `console` shows warnings even if the progress is not `visible`.
    """

    def __init__(self, name, total, rows, describe_best, noun="runs", visible=True):
        self.describe_best, self.noun = describe_best, noun
        self.name, self.total, self.visible = name, total, visible
        self.rows = list(rows)
        self.before = len(self.rows)
        self.started = self.last = time.monotonic()
        console = LiteralConsole(stderr=True)
        columns = TextColumn("{task.description}", markup=False), BarColumn(20), MofNCompleteColumn(), TextColumn(noun)
        left = TextColumn("{task.fields[runs].left}", style="progress.remaining")
        super().__init__(*columns, left, console=console, disable=not (visible and console.is_terminal))
        self.add_task(printable(name), total=total, completed=self.before, runs=self)

    def __enter__(self):
        super().__enter__()
        if self.before < self.total:  # the first row may be minutes away
            self._print_line()
        elif self.visible:
            sentence = f"{self.name}: {self.total}/{self.total} {self.noun} are there already; none is repeated."
            self.console.print(sentence, soft_wrap=True)
        return self

    def add(self, row, total=None):
        """Adds a row, and sets the total number of runs if given."""
        self.rows.append(row)
        self.last = time.monotonic()
        self.total = total or self.total
        self.update(self.task_ids[0], completed=len(self.rows), total=self.total)
        self._print_line()

    def _print_line(self):
        if self.visible and self.disable:
            parts = [f"{self.name}: {len(self.rows)}/{self.total} {self.noun}", self.left, self.summary()]
            self.console.print(", ".join(filter(None, parts)), soft_wrap=True)

    def get_renderables(self):
        yield from super().get_renderables()
        yield Text(printable(self.summary()))

    def summary(self):
        """The best results so far, and the numbers of diverged and failed runs."""
        lost = collections.Counter(row["status"] for row in self.rows if row["status"] != "finished")
        parts = [self.describe_best(self.rows), ", ".join(f"{number} {status}" for status, number in lost.items())]
        return "; ".join(filter(None, parts))

    @property
    def left(self):
        """The time left if the remaining runs take as long as the runs of this call did.

        Rich's own column counts only the last 30 seconds, in which often no run ends.
        """
        ended = len(self.rows) - self.before
        if not ended:
            return "-:--:-- left"
        seconds = (self.last - self.started) / ended * (self.total - len(self.rows)) - (time.monotonic() - self.last)
        return f"{datetime.timedelta(seconds=round(max(0, seconds)))} left"
