"""The log of the server: its events and the requests, each a line of JSON with its time."""

import datetime
import json
import logging
import threading
import time

logger = logging.getLogger(__name__)
access = logging.getLogger("keras_hypernet.serving.access")
# Characters of a name, a path or an error of a request: a client may send as many as a message holds.
_LONGEST = 200
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


def log_request(facts, status, response_bytes):
    """Writes the line of a request, from the facts that are known of it, `started` among them, in seconds."""
    if access.isEnabledFor(logging.INFO):
        started = facts.pop("started", None)
        taken = {} if started is None else {"milliseconds": round(1000 * (time.perf_counter() - started), 2)}
        facts = {
            name: value[:_LONGEST] if isinstance(value, str) and name != "traceback" else value
            for name, value in facts.items()
        }
        access.info(json.dumps({"time": now(), **facts, "status": status, "response_bytes": response_bytes, **taken}))


def now():
    """The time, as the log has it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
