"""Limits: the limits of a server."""

import dataclasses

from keras_hypernet.common.checks import integer

# Open files besides the connections: TensorFlow's, the models', and connections being accepted or closed.
_OTHER_FILES = 256
# gRPC counts the bytes of a message in 31 bits, and the server leaves room for names.
_LARGEST_BODY = 2046 * 2**20


@dataclasses.dataclass
class Limits:
    """The limits of a server.

    Attributes:
        max_body_bytes: Size of a request, and of its response in gRPC or JSON; at most 2046 MiB. All REST bodies
            together may have four times this size; bodies of up to 64 KiB are always accepted. A JSON body may have one
            value for each 16 bytes of this size.
        max_batch_rows: Size of the first dimension of an input.
        max_concurrent: Number of running requests, including requests that wait for a processor. By gRPC, messages
            still being read count too, and a few more are allowed.
        max_connections: Connections by REST, and as many by gRPC.
        header_seconds: Time to send the headers of a request, or by gRPC the settings of a connection.
        body_seconds: Time to send the body of a request, and by REST to read the response.
        idle_seconds: Time until a connection without a request is closed.
    """

    max_body_bytes: int = 64 * 2**20
    max_batch_rows: int = 4096
    max_concurrent: int = 256
    max_connections: int = 1024
    header_seconds: int = 10
    body_seconds: int = 30
    # Long, because a request is lost if the client sends it just when the server closes the connection.
    idle_seconds: int = 75

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            integer(name, value)
        if self.max_body_bytes > _LARGEST_BODY:
            carried = f"{_LARGEST_BODY:,} (2046 MiB), which gRPC can carry."
            raise ValueError(f"`max_body_bytes` must be at most {carried} Received: {self.max_body_bytes:,}")


def allow_open_files(limits):
    """Raises this process's limit on open files as `Limits.max_connections` requires; ValueError if not permitted."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return
    needed = 2 * limits.max_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"`max_connections` {limits.max_connections} needs {needed} open files, and this process may have {hard}. "
            f"Pass at most {max(1, (hard - _OTHER_FILES) // 2)}, or raise the limit (ulimit -Hn)."
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
