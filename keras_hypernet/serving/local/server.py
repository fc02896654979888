"""Server: TensorFlow Serving's two interfaces for exported models, for laptops, tests and demonstrations."""

import asyncio
import concurrent.futures
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import traceback

import uvicorn

from keras_hypernet.common.checks import MOST_SECONDS, finite, integer
from keras_hypernet.serving.local import events
from keras_hypernet.serving.local.callers import Callers
from keras_hypernet.serving.local.connections import bounded
from keras_hypernet.serving.local.engine import Engine
from keras_hypernet.serving.local.grpc_service import make_server
from keras_hypernet.serving.local.limits import allow_open_files
from keras_hypernet.serving.local.rest import application

# Connections that wait to be accepted. The server accepts all of them at once, while other requests wait.
_BACKLOG = 64


class Server:
    """Serves models by REST and gRPC.

    Args:
        folder: Folder of all exported models.
        names: The models to serve.
        host: Address to listen on; by default, the loopback address.
        rest_port, grpc_port: Ports; 0 for free ports, which the attributes of these names hold after the start.
        limits: The `Limits` of the server.
        cache_bytes: Maximum size of the cached weights of earlier conditions; 0 turns the cache off.
        poll_seconds: Interval between two searches of the folder for new versions.
        grace_seconds: Time to finish requests after a stop signal.
        page: Whether the demonstration page is served at `/`.
        allow_hosts: Allowed host names by REST, besides `host`, `localhost` and IP addresses; `["*"]` for all. Host
            names are checked if this argument is given or `host` is a loopback address.
        allow_origins: Origins of other web pages that may send REST requests (CORS); `["*"]` for all.

    Raises:
        ValueError: If there is no such model, none of its versions can be loaded, or an argument is not valid.
        OSError: If an address or a port cannot be listened on.
    """

    def __init__(
        self,
        folder,
        names,
        host="127.0.0.1",
        rest_port=8501,
        grpc_port=8500,
        limits=None,
        cache_bytes=64 * 2**20,
        poll_seconds=1.0,
        grace_seconds=20.0,
        page=True,
        allow_hosts=(),
        allow_origins=(),
    ):
        self._callers = Callers(host, allow_hosts, allow_origins)
        for name, port in (("rest_port", rest_port), ("grpc_port", grpc_port)):
            integer(name, port, least=0, most=65535)
        if rest_port == grpc_port != 0:
            raise ValueError(f"`rest_port` and `grpc_port` must be two ports. Received: {rest_port} for both")
        finite("cache_bytes", cache_bytes, 0)
        finite("poll_seconds", poll_seconds, 0.001, MOST_SECONDS)
        finite("grace_seconds", grace_seconds, 0, MOST_SECONDS)
        self.host, self.rest_port, self.grpc_port = host, rest_port, grpc_port
        self.engine = Engine(folder, names, limits, cache_bytes)
        self._poll_seconds, self._grace_seconds, self._page = poll_seconds, grace_seconds, page
        self._ready = concurrent.futures.Future()

    def run(self):
        """Serves until SIGTERM or SIGINT; returns when all running requests are answered.

        A second signal ends the process at once with exit code 1. So does the end of the grace period if a request is
        still running, because TensorFlow cannot be interrupted.
        """
        asyncio.run(self._serve(signals=True))

    def __enter__(self):
        """Serves in a thread; returns when the server is ready."""
        thread = concurrent.futures.ThreadPoolExecutor(1, "server")
        self._ended = thread.submit(asyncio.run, self._serve(signals=False))
        thread.shutdown(wait=False)  # after this one task
        concurrent.futures.wait([self._ready, self._ended], return_when=concurrent.futures.FIRST_COMPLETED)
        if not self._ready.done():
            self._ended.result()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        concurrent.futures.wait([self._ended])

    async def _serve(self, signals):
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_log_of_loop)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._stop)
        allow_open_files(self.engine.limits)
        rest, rest_server, grpc_server = await self._start()
        poll = asyncio.create_task(self._poll())
        await self._stopping.wait()
        events.log("stopping")
        end = self._loop.time() + self._grace_seconds
        rest_server.should_exit = True
        await asyncio.gather(rest, grpc_server.stop(self._grace_seconds))
        poll.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await poll  # raises the error of a loop that has failed
        while signals and self.engine.running:  # including requests of disconnected clients
            if self._loop.time() >= end:
                self._end("stopped with requests unanswered")
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self.engine.close)
        events.log("stopped")

    async def _start(self):
        """Loads the models and starts both interfaces; returns REST's task and both servers."""
        # Before models are loaded, so that a port in use is an error at once.
        self._bind(self.grpc_port).close()
        rest_socket = self._bind(self.rest_port)
        address, self.rest_port = rest_socket.getsockname()[:2]
        self._callers.checked |= ipaddress.ip_address(address).is_loopback
        address = f"[{self.host}]" if ":" in self.host else self.host
        with contextlib.ExitStack() as unless_served:
            unless_served.callback(rest_socket.close)
            await asyncio.to_thread(self.engine.repository.poll)
            for name in self.engine.repository.unavailable():
                errors = " ".join(error for _, _, error in self.engine.repository.states()[name])
                raise ValueError(f"Model {name!r} has no version that can be served. {errors}".strip())
            grpc_server = make_server(self.engine)
            try:
                self.grpc_port = grpc_server.add_insecure_port(f"{address}:{self.grpc_port}")
            except RuntimeError as error:
                raise _unusable(self.host, self.grpc_port, "gRPC gives no reason") from error
            unless_served.pop_all()
        config = uvicorn.Config(
            application(self.engine, self._page, self._callers),
            log_config=None,
            access_log=False,
            lifespan="off",
            backlog=_BACKLOG,
            ws="none",
            http=bounded(self.engine.limits),
            timeout_keep_alive=self.engine.limits.idle_seconds,
            timeout_graceful_shutdown=self._grace_seconds,
        )
        rest_server = _QuietServer(config)
        await grpc_server.start()
        rest = asyncio.create_task(rest_server.serve(sockets=[rest_socket]))
        while not rest_server.started and not rest.done():
            await asyncio.sleep(0.005)
        self._ready.set_result(None)
        page = {"page": f"http://{address}:{self.rest_port}/"} if self._page else {}
        events.log("ready", host=self.host, rest=self.rest_port, grpc=self.grpc_port, **page)
        return rest, rest_server, grpc_server

    def _stop(self):
        if self._stopping.is_set():
            self._end("stopped by a second signal")
        self._stopping.set()

    def _end(self, event):
        events.log(event, requests=len(self.engine.running))
        logging.shutdown()
        os._exit(1)

    def _bind(self, port):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # With this protocol, asyncio sends small parts of a response without delay.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.host, port))
        except OSError as error:
            listening.close()
            if isinstance(error, socket.gaierror):
                expected = "The host must be a name or an address of this machine."
                raise OSError(f"{expected} Received: {self.host!r} ({error.strerror})") from error
            raise _unusable(self.host, port, error.strerror) from error
        return listening

    async def _poll(self):
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await asyncio.to_thread(self.engine.repository.poll)
            except Exception:  # a disk may be unavailable for a moment
                events.log_rarely("the folder of models could not be read", traceback=traceback.format_exc())


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield  # this server handles them


def _unusable(host, port, reason):
    return OSError(f"Port {port} of {host} is not available ({reason}): try --rest-port, --grpc-port.")


def _log_of_loop(_, context):
    """Logs errors outside requests, such as a connection without a free file descriptor."""
    error = context.get("exception")
    trace = {} if error is None else {"traceback": "".join(traceback.format_exception(error))}
    events.log_rarely("error in the event loop", error=context["message"], **trace)
