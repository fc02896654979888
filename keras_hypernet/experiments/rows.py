"""The results of an experiment: a file of rows, a run a line, that is only ever appended to."""

import contextlib
import json
import os
import pathlib
import tempfile

from keras_hypernet.experiments.experiment import run_key


class ResultsFile:
    """`<experiment>.jsonl`: a JSON object a line.

    Args:
        path: Path of the file, which need not exist.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def read(self):
        """Reads all rows that can be read.

        Returns:
            A pair: the rows, a list of dicts, and for each line that is not one a sentence that says so.
        """
        rows, broken = [], []
        lines = self.path.read_text(encoding="utf-8").split("\n") if self.path.exists() else []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                run_key(row["config"])
                rows.append(row)
            except (ValueError, KeyError, TypeError) as error:
                reason = "it has no `config`" if not isinstance(error, ValueError) else str(error)
                broken.append(f"Line {number} of {self.path} is not a row ({reason}); the others are used.")
        return rows, broken

    def append(self, row):
        """Appends a row in one step: it is in the file whole, or not at all.

        Raises:
            OSError: If it cannot be written. The file is as before; the row is kept in a file that the message names.
        """
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # what another program left unfinished stays a line of its own
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError("not all of the row could be written")
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, size)
                raise OSError(
                    f"{self.path} cannot be appended to: {error}. Its {size} bytes are as before. {self._keep(line)}"
                    "Then go on with --resume."
                ) from error
        finally:
            os.close(descriptor)

    def _keep(self, line):
        """Puts a row that the file did not take into a temporary one; returns the advice what to do with it."""
        try:
            with tempfile.NamedTemporaryFile(prefix=f"{self.path.stem}-", suffix=".jsonl", delete=False) as file:
                file.write(line)
            return f"Make room, and append the row that was to be added: cat {file.name} >> {self.path}. "
        except OSError:
            return "Make room; the run of the row that was to be added is repeated. "

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes from adding to the file meanwhile.

        Raises:
            ValueError: If another process does so.
        """
        try:
            import fcntl
        except ImportError:  # not a Unix system
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"Another process is adding to {self.path}. Wait until it is done, or choose another --out."
                ) from error
            yield


def group_rows(rows, varies):
    """Rows that differ in the seed alone, together: a dict from `(panel, method, value)` to them, in order.

    Example:

    >>> rows = [{"panel": "mnist", "method": "hyper", "depth": depth, "seed": 0} for depth in (3, 2, 3)]
    >>> {group: len(found) for group, found in group_rows(rows, "depth").items()}
    {('mnist', 'hyper', 2): 1, ('mnist', 'hyper', 3): 2}
    """
    groups = {}
    for row in rows:
        groups.setdefault((row["panel"], row["method"], row[varies]), []).append(row)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    return dict(sorted(groups.items(), key=lambda item: (panels.index(item[0][0]), item[0][1], item[0][2])))
