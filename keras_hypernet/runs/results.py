"""An append-only file of rows, one run per line."""

import contextlib
import json
import os
import pathlib
import shlex
import tempfile

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
        """Returns all readable rows, of rows of the same run the first, and a sentence for each other line."""
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
        """Appends a row in one step: completely or not at all.

        Raises OSError if the row cannot be written. The file is unchanged; the message names a file that keeps the row.
        """
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                # An unfinished line of another program stays a line of its own.
                end = b"" if file.read(1) in (b"", b"\n") else b"\n"
                try:
                    _write(file, end + line)
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as error:
            raise self._not_appended(line, error) from error

    def _not_appended(self, line, error):
        """Keeps an unwritable row in a temporary file; returns the error that names that file."""
        advice = "When that is mended, the run of the row is repeated"
        with (
            contextlib.suppress(OSError),
            tempfile.NamedTemporaryFile(
                buffering=0, prefix=f"{self.path.stem}-", suffix=".jsonl", delete=False
            ) as file,
        ):
            try:
                _write(file, line)
                command = f"cat {shlex.quote(file.name)} >> {shlex.quote(str(self.path))}"
                advice = f"The row is kept: when that is mended, {command}"
            except OSError:
                pathlib.Path(file.name).unlink()
        return OSError(
            f"{self.path} cannot be appended to, and is as it was: {error.strerror or error}. {advice}, and go on "
            "with --resume."
        )

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


def _write(file, content):
    """Writes everything to the disk; after a partial write, the next attempt raises the reason."""
    while content:
        content = content[file.write(content) :]
    os.fsync(file.fileno())
