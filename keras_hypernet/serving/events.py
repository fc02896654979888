"""Events of the server, each a line of JSON with its time, as the requests are."""

import datetime
import json
import logging

logger = logging.getLogger(__name__)


def log(event, failed=False, **facts):
    """Writes the line of an event: as an error if something failed."""
    line = json.dumps({"time": now(), "event": event, **facts})
    if failed:
        logger.error(line)
    else:
        logger.info(line)


def now():
    """The time, as the log has it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
