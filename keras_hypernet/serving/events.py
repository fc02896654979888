"""Events of the server, each a line of JSON with its time, as the requests are."""

import datetime
import json
import logging
import threading
import time

logger = logging.getLogger(__name__)
_lock, _rare = threading.Lock(), {}


def log(event, failed=False, **facts):
    """Writes the line of an event: as an error if something failed."""
    line = json.dumps({"time": now(), "event": event, **facts})
    if failed:
        logger.error(line)
    else:
        logger.info(line)


def log_rarely(event, **facts):
    """Writes the line of a failure that a client may cause as often as it likes: once a second, for each event.

    The line says in `times` how often the event has happened since the last line.
    """
    with _lock:
        written, times = _rare.get(event, (float("-inf"), 0))
        due = time.monotonic() - written >= 1
        _rare[event] = (time.monotonic(), 0) if due else (written, times + 1)
    if due:
        log(event, failed=True, times=times + 1, **facts)


def now():
    """The time, as the log has it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
