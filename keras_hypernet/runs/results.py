"""An append-only file of rows, one run per line."""

import contextlib
import json
import os
import pathlib

from keras_hypernet.common.files import check_writable
from keras_hypernet.common.locks import locked


class ResultsFile:
    """A file of JSON objects, one a line; it need not exist.

    `parse` is a function of a line's bytes. It returns the row and a key, the same for rows of the same run, or raises
    ValueError if the line holds no row.
    """

    def __init__(self, path, parse):
        self.path, self.parse = pathlib.Path(path), parse

    def read(self):
        """Returns the first readable row of each run, and a sentence for each line without such a row."""
        rows, sentences, numbers = [], [], {}
        for number, line in enumerate(self._content().split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                row, key = self.parse(line)
            except ValueError as error:
                sentences.append(f"Line {number} of {self.path} is not a row ({error}); the others are used.")
                continue
            first = numbers.setdefault(key, number)
            if first == number:
                rows.append(row)
            else:
                sentences.append(f"Line {number} of {self.path} repeats the run of line {first}, which is used.")
        return rows, sentences

    def mend(self):
        """Completes or removes the unfinished last line of a killed process; returns sentences about removed lines."""
        content = self._content()
        last = content.rpartition(b"\n")[2]
        if not last:
            return []
        try:
            with contextlib.suppress(RecursionError):  # nested too deeply
                json.loads(last)  # complete, even if only another version can read the row
        except ValueError as error:
            os.truncate(self.path, len(content) - len(last))
            number = content.count(b"\n") + 1
            return [f"Line {number} of {self.path}, the last, was not complete ({error}), and is removed."]
        with self.path.open("ab") as file:
            file.write(b"\n")
        return []

    def append(self, row):
        """Appends a row completely or not at all; OSError, with the file unchanged, if the row cannot be written."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)
            raise OSError(
                f"{self.path} cannot be appended to, and was not changed: {error.strerror or error}. Fix that, and "
                "continue with --resume, which repeats the run."
            ) from error

    def _content(self):
        return self.path.read_bytes() if self.path.exists() else b""

    @contextlib.contextmanager
    def locked(self):
        """Excludes other processes from the file, which is created if necessary.

        Raises BusyError if another process holds the file, and NotWritableError if the folder takes no files.
        """
        check_writable(self.path.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("ab").close()
        with locked(self.path, "adding to", "another --out"):
            yield
