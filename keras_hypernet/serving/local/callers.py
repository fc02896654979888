"""Callers: checks by the headers `Host` and `Origin` which host names and web pages may send requests."""

import ipaddress
import re
import urllib.parse

from keras_hypernet.serving.errors import ServingError

_HOST = r"[^/:\s]+"
_ORIGIN = r"\*|null|[a-z][a-z0-9+.-]*://[^/\s]+"


class Callers:
    """Rejects requests that foreign web pages send through a browser on this machine.

    A page cannot forge `Host`, the name in the URL, or `Origin`, its own address. Checking `Host` prevents DNS
    rebinding, where a name of the attacker resolves to this machine. Other programs may send any header, so the check
    does not authenticate callers. Starlette's TrustedHostMiddleware ignores `Origin`, and its response is neither JSON
    nor logged.

    Allowed hosts are `localhost`, IP addresses, which cannot be rebound, the `host` that the server listens on, and
    `hosts`. Allowed pages are those of this server and of `origins`; `"*"` allows all. The check is active only if
    `hosts` are given.
    """

    def __init__(self, host, hosts=(), origins=()):
        for argument, values, pattern, expected in (
            ("allow_hosts", hosts, _HOST, "names without scheme and port, such as models.example, or '*'"),
            ("allow_origins", origins, _ORIGIN, "origins without a path, such as http://localhost:3000, or '*'"),
        ):
            if isinstance(values, str) or not all(re.fullmatch(pattern, value) for value in values):
                raise ValueError(f"`{argument}` must be a list of {expected}. Received: {values!r}")
        self.checked, self.origins = bool(hosts), list(origins)
        self._hosts = {"localhost", *(name.lower() for name in (host, *hosts))}

    def check(self, headers):
        """Raises ServingError (403) unless the headers of a request are those of an allowed caller."""
        host, origin = headers.get("host"), headers.get("origin")
        if not self.checked or host is None:  # HTTP/1.0, which browsers do not speak
            return
        if not self._is_allowed(host):
            raise _refused("Host", "localhost, an IP address, or a name that --allow-host gives", host)
        own = origin is None or origin.partition("://")[2].lower() == host.lower()
        if not own and not {"*", origin} & set(self.origins):
            raise _refused("Origin", "this server, or a web page that --allow-origin gives", origin)

    def _is_allowed(self, host):
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname or ""
            return bool({"*", name} & self._hosts or ipaddress.ip_address(name))
        except ValueError:  # an unpaired bracket, or not an address
            return False


def _refused(header, expected, received):
    return ServingError("PERMISSION_DENIED", f"The {header} of a request must be {expected}. Received: {received[:80]}")
