"""Callers: which host names and web pages may ask a server, by the headers `Host` and `Origin` of a request."""

import ipaddress
import re
import urllib.parse

from keras_hypernet.serving.errors import ServingError

_HOST = r"[^/:\s]+"
_ORIGIN = r"\*|null|[a-z][a-z0-9+.-]*://[^/\s]+"


class Callers:
    """Refuses what a web page from elsewhere has a browser of this machine ask.

    A page cannot forge these two headers. `Host` is the name in the URL: by DNS rebinding, a name that the page's owner
    controls leads to this machine, and the browser lets the page read the answers. `Origin` is where the page comes
    from. Programs other than browsers send what they like: neither header says who asks.

    Starlette's TrustedHostMiddleware does not know `Origin`, and its answer is neither JSON nor a line of the log.

    Args:
        host: What the server listens on, an address or a name.
        hosts: Further names by which it is asked, beside `localhost` and every IP address, which nobody can rebind;
            `"*"` for every name.
        origins: Origins of web pages that may ask, beside those of the server itself; `"*"` for every origin.

    Attributes:
        checked: Whether the headers are checked. By default they are if there are `hosts`.
        origins: As given.

    Raises:
        ValueError: If a host is not a name alone, or an origin is not one.
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
        """Raises ServingError (403) unless a request comes from a caller that may ask, by its headers."""
        host, origin = headers.get("host"), headers.get("origin")
        if not self.checked or host is None:  # HTTP/1.0, which no browser speaks
            return
        if not self._is_allowed(host):
            raise _refused("Host", "localhost, an IP address, or a name that --allow-host gives", host)
        own = origin is None or origin.partition("://")[2].lower() == host.lower()
        if not own and not {"*", origin} & set(self.origins):
            raise _refused("Origin", "this server, or a web page that --allow-origin gives", origin)

    def _is_allowed(self, host):
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        except ValueError:  # a bracket without the other one
            return False
        return "*" in self._hosts or name in self._hosts or _is_address(name)


def _refused(header, expected, received):
    return ServingError("PERMISSION_DENIED", f"The {header} of a request must be {expected}. Received: {received[:80]}")


def _is_address(name):
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
