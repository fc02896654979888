"""A file of rows, a run a line, that is only ever appended to."""

import contextlib
import json
import os
import pathlib
import shlex
import tempfile

from keras_hypernet.common.files import check_writable
from keras_hypernet.common.locks import locked


class ResultsFile:
    """A JSON object a line.

    Args:
        path: Path of the file, which need not exist.
        parse: Function of a line's bytes that returns its row and a key, the same for rows of the same run; raises
            ValueError if the line holds no row.
    """

    def __init__(self, path, parse):
        self.path, self.parse = pathlib.Path(path), parse

    def read(self):
        """Reads all rows that can be read; of rows of the same run, the first.

        Returns:
            A pair: the rows, a list of dicts, and for each line that is not one, or one too many, a sentence that
            says so.
        """
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
        """Completes or removes a last line whose end is missing, as where a process was killed while it wrote.

        Returns:
            A list of sentences that say what was removed.
        """
        content = self._content()
        last = content.rpartition(b"\n")[2]
        if not last:
            return []
        try:
            with contextlib.suppress(RecursionError):  # nested too deeply
                json.loads(last)  # whole, whether or not it is a row that this version can read
        except ValueError as error:
            os.truncate(self.path, len(content) - len(last))
            number = content.count(b"\n") + 1
            return [f"Line {number} of {self.path}, the last, was not complete ({error}), and is removed."]
        with self.path.open("ab") as file:
            file.write(b"\n")
        return []

    def append(self, row):
        """Appends a row in one step: it is in the file whole, or not at all.

        Raises:
            OSError: If it cannot be written. The file is as before; the row is kept in a file that the message names.
        """
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._not_appended(line, error) from error
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            # What another program left unfinished stays a line of its own.
            end = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
            try:
                _write(descriptor, end + line)
                os.fsync(descriptor)
            except OSError as error:
                failure = self._not_appended(line, error)
                os.ftruncate(descriptor, size)
                raise failure from error
        finally:
            os.close(descriptor)

    def _not_appended(self, line, error):
        """Puts a row that the file did not take into a temporary one; returns the error that says so."""
        advice = "When that is mended, the run of the row is repeated"
        with contextlib.suppress(OSError):
            descriptor, kept = tempfile.mkstemp(prefix=f"{self.path.stem}-", suffix=".jsonl")
            try:
                _write(descriptor, line)
                command = f"cat {shlex.quote(kept)} >> {shlex.quote(str(self.path))}"
                advice = f"The row is kept: when that is mended, {command}"
            except OSError:
                pathlib.Path(kept).unlink()
            finally:
                os.close(descriptor)
        return OSError(
            f"{self.path} cannot be appended to, and is as it was: {error.strerror or error}. {advice}, and go on "
            "with --resume."
        )

    def _content(self):
        return self.path.read_bytes() if self.path.exists() else b""

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes from adding to the file meanwhile, which is created if there is none.

        Raises:
            BusyError: If another process does so.
            NotWritableError: If the folder takes no files.
        """
        check_writable(self.path.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("ab").close()
        with locked(self.path, "adding to", "another --out"):
            yield


def _write(descriptor, content):
    """Writes all of it; a device that takes but a part says at the next attempt why."""
    while content:
        content = content[os.write(descriptor, content) :]
