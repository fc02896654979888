"""The server's log: one line of JSON with its time for each event and each request."""

import datetime
import json
import logging
import time

logger = logging.getLogger(__name__)
access = logging.getLogger("keras_hypernet.serving.access")
_LONGEST = 200  # characters of a name, path or error in a request's line, because a client may send very long ones
_rare = {}  # by event: the time of the last line, and the number of events since; of the event loop alone


def log(event, failed=False, **facts):
    """Writes the line of an event, as an error if `failed`."""
    line = json.dumps({"time": _now(), "event": event, **facts})
    logger.log(logging.ERROR if failed else logging.INFO, line)


def log_rarely(event, **facts):
    """Writes the line of a failure that clients can cause repeatedly: at most once a second for each event.

    The field `times` is the number of events since the last line.
    """
    written, times = _rare.get(event, (float("-inf"), 0))
    due = time.monotonic() - written >= 1
    _rare[event] = (time.monotonic(), 0) if due else (written, times + 1)
    if due:
        log(event, failed=True, times=times + 1, **facts)


def log_request(facts, status, response_bytes):
    """Writes the line of a request from its facts, among them `started`, in seconds."""
    if access.isEnabledFor(logging.INFO):
        taken = {"milliseconds": round(1000 * (time.perf_counter() - facts.pop("started")), 2)}
        facts = {
            name: value[:_LONGEST] if isinstance(value, str) and name != "traceback" else value
            for name, value in facts.items()
        }
        access.info(json.dumps({"time": _now(), **facts, "status": status, "response_bytes": response_bytes, **taken}))


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
