"""Engine: what REST and gRPC have in common: which version answers, the limits, the checks, the run, the counting."""

import asyncio
import concurrent.futures
import dataclasses
import os
import threading
import time

import numpy as np

from keras_hypernet.serving.cache import WeightCache
from keras_hypernet.serving.errors import ServingError, invalid, too_large
from keras_hypernet.serving.metrics import Metrics
from keras_hypernet.serving.repository import Repository
from keras_hypernet.serving.split import run_default


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server accepts.

    Attributes:
        max_body_bytes: Of a request, and of what it asks for.
        max_batch_rows: Size of the 0th dimension of an input.
        max_concurrent: Requests that are worked on, those that wait for a processor included.
    """

    max_body_bytes: int = 64 * 2**20
    max_batch_rows: int = 4096
    max_concurrent: int = 256

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{field.name}` must be a positive integer. Received: {value!r}")


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What a request asks for: the model, and one of its versions by number or label, or the latest."""

    name: str
    version: int | None = None
    label: str | None = None


class Engine:
    """Answers requests with the models of a `Repository`, in threads.

    Args:
        folder: Folder of all exported models.
        names: The models to serve.
        limits: `Limits`.
        cache_bytes: How much the weights of earlier conditions may take; 0 turns their cache off.
    """

    def __init__(self, folder, names, limits=None, cache_bytes=64 * 2**20):
        self.limits = limits or Limits()
        self.cache = WeightCache(cache_bytes)
        self.repository = Repository(folder, names, on_unload=self.cache.drop)
        self.metrics = Metrics(self)
        self.running, self._counting = 0, threading.Lock()
        # More than there are processors: one request is parsed while another one runs.
        self._threads = concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1), "serving")

    def close(self):
        """Ends the threads, after what they are doing."""
        self._threads.shutdown(wait=True)

    async def predict(self, api, spec, work):
        """Does the work of a request in a thread, within the limit of concurrent requests, and counts it.

        Args:
            api: `"REST"` or `"gRPC"`, for the metrics.
            spec: The `ModelSpec`.
            work: Function of the `Servable`, called in the thread.

        Returns:
            What `work` returns.

        Raises:
            ServingError: If the request is one too many, or there is no such version; and those of `work`.
        """
        started, code = time.perf_counter(), "INTERNAL"
        try:
            result = await asyncio.wrap_future(self._submit(spec, work))
            code = "OK"
            return result
        except ServingError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self.metrics.count(spec.name, api, code, time.perf_counter() - started)

    def _submit(self, spec, work):
        with self._counting:
            if self.running >= self.limits.max_concurrent:
                raise ServingError(
                    "RESOURCE_EXHAUSTED",
                    f"The server is working on {self.running} requests, as many as it accepts. Try again later.",
                )
            self.running += 1
        # Not when the client has gone, but when the thread is done.
        future = self._threads.submit(self._work, spec, work)
        future.add_done_callback(self._done)
        return future

    def _done(self, _):
        with self._counting:
            self.running -= 1

    def _work(self, spec, work):
        with self.repository.use(spec.name, spec.version, spec.label) as servable:
            try:
                return work(servable)
            except MemoryError as error:
                raise ServingError("RESOURCE_EXHAUSTED", "The request needs more memory than there is.") from error

    def run(self, servable, signature, inputs):
        """Checks the inputs of a request against a signature and runs it.

        Args:
            servable: A `Servable`.
            signature: Name of one of its signatures.
            inputs: Dict of arrays of the right dtypes.

        Returns:
            A dict of arrays.

        Raises:
            ServingError: If a shape does not fit, a limit is exceeded, or TensorFlow refuses them.
        """
        self._check(servable, signature, inputs)
        if signature == "serving_default":
            outputs = run_default(servable, inputs, self.cache)
        else:
            outputs = servable.run(signature, inputs)
        return {name: np.asarray(value) for name, value in outputs.items()}

    def _check(self, servable, signature, inputs):
        rows = 1
        for name, info in servable.inputs[signature].items():
            shape = inputs[name].shape
            sizes = info.shape
            fits = sizes is None or (
                len(shape) == len(sizes) and all(s in (None, r) for s, r in zip(sizes, shape, strict=True))
            )
            if not fits:
                expected = ",".join("?" if size is None else str(size) for size in sizes)
                raise invalid(
                    f"Input {name!r} must have the shape [{expected}]. Received: [{','.join(map(str, shape))}]"
                )
            if shape and sizes and sizes[0] is None:
                rows = max(rows, shape[0])
        if rows > self.limits.max_batch_rows:
            raise too_large(
                f"A request may have {self.limits.max_batch_rows} rows. Received: {rows}. Send it in parts."
            )
        sizes = [info.row_bytes for info in servable.outputs[signature].values()]
        asked = rows * sum(size or 0 for size in sizes)
        if asked > self.limits.max_body_bytes:
            raise too_large(
                f"The answer would take {asked:,} bytes, and may {self.limits.max_body_bytes:,}. Send it in parts."
            )


def check_signature(servable, signature, code="INVALID_ARGUMENT"):
    """Raises ServingError unless a model has a signature, in the words of TensorFlow Serving's two interfaces."""
    if signature not in servable.inputs:
        if code == "FAILED_PRECONDITION":
            raise ServingError(code, f'Serving signature key "{signature}" not found.')
        raise invalid(f'Serving signature name: "{signature}" not found in signature def')
